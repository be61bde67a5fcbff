// Package faultproxy is a TCP proxy on 127.0.0.1 that breaks the links that go
// through it: it cuts them at an exact byte, holds bytes back and releases them
// when their sender has long gone, keeps sockets open behind which nobody
// listens.
//
// What happens to a link is said by methods of [Link]. To all links that are
// open, [Proxy.Each] does it; to those to come, [Proxy.OnNew]; at an exact byte,
// [Link.At]:
//
//	p.Each((*faultproxy.Link).HalfOpen)
//	p.OnNew(func(l *faultproxy.Link) {
//		l.At(faultproxy.Up, 17, (*faultproxy.Link).Reset)
//	})
//
// Without a fault a link is transparent: bytes, the FIN of either side, and resets
// are passed on. All methods may be called by any goroutine at any time, and none
// waits for the network.
package faultproxy
