package auth_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"
)

// TestMain fails when the tests, all together, have left a goroutine or a file.
func TestMain(m *testing.M) {
	if listener, err := net.Listen("tcp", "127.0.0.1:0"); err == nil { // what the runtime needs for sockets stays
		_ = listener.Close()
	}
	goroutines, files := runtime.NumGoroutine(), openFiles()
	code := m.Run()
	for late := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines || openFiles() > files; runtime.Gosched() {
		if time.Now().After(late) {
			fmt.Printf("%d goroutines and %d files, %d and %d before the tests\n", runtime.NumGoroutine(), openFiles(), goroutines, files)
			_ = pprof.Lookup("goroutine").WriteTo(os.Stdout, 1)
			code = 1
			break
		}
	}
	os.Exit(code)
}

// openFiles is 0 where nobody can tell.
func openFiles() int {
	names, _ := os.ReadDir("/proc/self/fd")
	return len(names)
}
