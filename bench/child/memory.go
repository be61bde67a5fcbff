package child

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
)

// everyones are the commands that every child knows.
var everyones = map[string]Command{
	"cpu":     To(cpu),
	"memory":  To(func(context.Context, struct{}) (Memory, error) { return measure() }),
	"profile": To(func(_ context.Context, path string) (struct{}, error) { return struct{}{}, profile(path) }),
}

// Memory is what a process holds, in bytes unless otherwise said, once what
// nobody needs has been given back.
type Memory struct {
	HeapAlloc  uint64 // of live objects
	HeapInuse  uint64 // of the spans that they are in
	StackInuse uint64 // of the spans that stacks are in
	Goroutines int

	Resident
}

// Resident is what the kernel says of a process, in bytes unless otherwise said.
type Resident struct {
	RSS, PSS uint64
	Files    int // that are open
}

// measure collects until nothing more comes free: pools are emptied by the
// second collection, and stacks that have grown are halved by each. A process
// that is idle gets there by itself, with the collections that the runtime
// makes every two minutes.
func measure() (Memory, error) {
	var s runtime.MemStats
	for held := ^uint64(0); ; {
		debug.FreeOSMemory() // which collects
		runtime.ReadMemStats(&s)
		now := s.HeapAlloc + s.StackInuse
		if now+now/256 >= held {
			break
		}
		held = now
	}
	resident, err := ResidentOf(os.Getpid())
	return Memory{s.HeapAlloc, s.HeapInuse, s.StackInuse, runtime.NumGoroutine(), resident}, err
}

// ResidentOf asks the kernel, which must be Linux, about a process.
func ResidentOf(pid int) (Resident, error) {
	proc := "/proc/" + strconv.Itoa(pid)
	text, err := os.ReadFile(proc + "/smaps_rollup")
	if err != nil {
		return Resident{}, err
	}
	var r Resident
	for line := range bytes.Lines(text) {
		if after, ok := bytes.CutPrefix(line, []byte("Rss:")); ok {
			_, err = fmt.Sscanf(string(after), "%d kB", &r.RSS)
		} else if after, ok := bytes.CutPrefix(line, []byte("Pss:")); ok {
			_, err = fmt.Sscanf(string(after), "%d kB", &r.PSS)
		}
		if err != nil {
			return r, fmt.Errorf("child: %s/smaps_rollup says %q: %w", proc, line, err)
		}
	}
	r.RSS *= 1 << 10
	r.PSS *= 1 << 10
	files, err := os.ReadDir(proc + "/fd")
	r.Files = len(files)
	return r, err
}

// profile writes the live objects of the heap, by where they were made. The
// child's environment should have GODEBUG=memprofilerate=1.
func profile(path string) error {
	if _, err := measure(); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return pprof.WriteHeapProfile(file)
}
