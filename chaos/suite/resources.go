package suite

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Resources are what this process has in use.
type Resources struct {
	Goroutines int // without those that toxiproxy forgets when a link of it is cut
	Files      int // open; -1 where the system has no list of them
}

// Measure counts what is in use now.
func Measure() (r Resources) {
	stacks := make([]byte, 1<<20)
	for {
		n := runtime.Stack(stacks, true)
		if n < len(stacks) {
			stacks = stacks[:n]
			break
		}
		stacks = make([]byte, 2*len(stacks))
	}
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if !strings.Contains(stack, "github.com/Shopify/toxiproxy") {
			r.Goroutines++
		}
	}
	files, err := os.ReadDir("/dev/fd")
	if err != nil {
		r.Files = -1
	} else {
		r.Files = len(files)
	}
	return r
}

func (r Resources) String() string {
	return fmt.Sprintf("%d goroutines, %d files open", r.Goroutines, r.Files)
}

// Exceed says whether there is more of anything than before.
func (r Resources) Exceed(before Resources) bool {
	return r.Goroutines > before.Goroutines || r.Files > before.Files
}

// Back waits, but no longer than d, until no more is in use than r, and returns
// what is: what has ended may take a moment to be gone.
func (r Resources) Back(d time.Duration) Resources {
	for end := time.Now().Add(d); ; time.Sleep(10 * time.Millisecond) {
		if now := Measure(); !now.Exceed(r) || time.Now().After(end) {
			return now
		}
	}
}
