package transport

import (
	"net"
	"syscall"
)

// tcpNotSentLowAt is TCP_NOTSENT_LOWAT of linux/tcp.h, which package syscall
// does not name.
const tcpNotSentLowAt = 25

// limitUnsent keeps the kernel from taking much more than it can send. Without
// it a slow line hides behind megabytes of buffer: writing makes progress in
// leaps, and a pong or a close frame waits behind them.
func limitUnsent(conn net.Conn) {
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = over.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // a hint: without it all works, less evenly
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowAt, maxUnsent)
	})
}

const maxUnsent = 128 << 10
