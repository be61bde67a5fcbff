package main

import (
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// goesFirst returns the listener in a form that the kernel takes down before the
// connections when the process is killed. The kernel ends with the files of a
// dead process that have the lowest numbers, so the listener would be among the
// last: until then it takes clients that redial at once, and cuts them off, and
// a ProxyStore client to which that happens ends its whole process. A second
// number for the listener, above those of all connections, turns that round.
// Where there is no such number, the listener is returned as it is.
func goesFirst(l net.Listener, connections int) net.Listener {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return l
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return l
	}
	high := connections + spareFiles
	if files, known := openFiles(); known && uint64(high) >= files {
		high = int(files) - 1
	}
	var second int
	if ctl := raw.Control(func(fd uintptr) {
		second, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, high)
	}); ctl != nil || err != nil {
		return l
	}
	return &firstToGo{Listener: l, release: sync.OnceFunc(func() { _ = unix.Close(second) })}
}

type firstToGo struct {
	net.Listener
	release func()
}

// Close closes both: while one is open, the port is.
func (l *firstToGo) Close() error {
	l.release()
	return l.Listener.Close()
}
