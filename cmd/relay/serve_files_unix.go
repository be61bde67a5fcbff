//go:build unix

package main

import "syscall"

// openFiles returns how many files the process may have open.
func openFiles() (limit uint64, ok bool) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	return uint64(r.Cur), true // signed on some systems
}
