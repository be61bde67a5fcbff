package process

import (
	"fmt"
	"os"
)

// OpenFiles counts the open files of a process; -1 where there is no /proc, or
// no such process.
func OpenFiles(pid int) int {
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return -1
	}
	return len(files)
}
