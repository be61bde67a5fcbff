package suite

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// journal is what happened in a run, in order, for who has to find out why it
// failed.
type journal struct {
	began time.Time

	mu       sync.Mutex
	lines    []string
	failures []string
}

// note writes down what happened now.
func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf("%8.3f ", time.Since(j.began).Seconds())+fmt.Sprintf(format, args...))
}

// fail notes what must not happen.
func (j *journal) fail(format string, args ...any) {
	j.note("FAILED: "+format, args...)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failures = append(j.failures, fmt.Sprintf(format, args...))
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n") + "\n"
}
