package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Proxy listens on a port of 127.0.0.1 and links whoever connects with its
// upstream. Make one with [New].
type Proxy struct {
	listener *net.TCPListener
	dialer   net.Dialer
	buffer   int             // of the sockets; 0: the kernel's choice
	running  context.Context // ended by Close
	end      context.CancelFunc
	workers  sync.WaitGroup // the goroutines of the listener, of the links and of Flap

	mu       sync.Mutex
	changed  *sync.Cond // of stats
	upstream string
	refusing bool
	onNew    func(*Link)
	links    []*Link // open, oldest first
	stats    Stats
}

// Option changes how a proxy is made.
type Option func(*Proxy)

// Buffer sets the size of the receive and send buffers of the proxy's sockets, in
// bytes; the kernel doubles it, and has a minimum of a few KiB. With small ones a
// link that is frozen fills up soon. Default: the kernel's choice, up to
// megabytes.
func Buffer(bytes int) Option {
	return func(p *Proxy) { p.buffer = bytes }
}

// New starts a proxy for an upstream address, host:port. It dials the upstream
// once for each connection that it accepts. The caller must close it.
func New(upstream string, options ...Option) (*Proxy, error) {
	p := &Proxy{upstream: upstream}
	for _, option := range options {
		option(p)
	}
	p.changed = sync.NewCond(&p.mu)
	p.dialer.Control = p.setBuffer
	config := net.ListenConfig{Control: p.setBuffer} // accepted sockets inherit it
	listener, err := config.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faultproxy: %w", err)
	}
	p.listener = listener.(*net.TCPListener)
	p.running, p.end = context.WithCancel(context.Background())
	p.workers.Go(p.accept)
	return p, nil
}

func (p *Proxy) setBuffer(_, _ string, socket syscall.RawConn) error {
	if p.buffer == 0 {
		return nil
	}
	var failed error
	err := socket.Control(func(fd uintptr) {
		failed = errors.Join(
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, p.buffer),
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, p.buffer))
	})
	return errors.Join(err, failed)
}

// Addr is where the proxy listens, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL is Addr as the address of a relay.
func (p *Proxy) URL() string { return "ws://" + p.Addr() }

// Close stops listening, resets all links and waits until no goroutine of the
// proxy is left.
func (p *Proxy) Close() error {
	p.end()
	err := p.listener.Close()
	p.takeDown()
	p.workers.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("faultproxy: %w", err)
	}
	return nil
}

// SetUpstream makes links to come lead to another address; those that are open
// stay where they are.
func (p *Proxy) SetUpstream(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = address
}

// Refuse says whether connections to come are reset as soon as they have been
// accepted. Open links are left alone.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = on
}

// OnNew sets what is done to each link to come before a byte of it is read; nil:
// nothing. It is called by one goroutine at a time, which accepts no other
// connection meanwhile.
func (p *Proxy) OnNew(fault func(*Link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onNew = fault
}

// Each does something to all links that are open now.
func (p *Proxy) Each(fault func(*Link)) {
	for _, l := range p.Links() {
		fault(l)
	}
}

// Links returns the links that are open, the oldest first.
func (p *Proxy) Links() []*Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.links)
}

// Flap lets the link be up for a while, then resets all connections and refuses
// new ones for a while, and again, until stop is called, which leaves the link up
// and waits until the flapping has ended.
func (p *Proxy) Flap(up, down time.Duration) (stop func()) {
	running, cancel := context.WithCancel(p.running)
	ended := make(chan struct{})
	p.workers.Go(func() {
		defer close(ended)
		for pause(running, up) {
			p.takeDown()
			still := pause(running, down)
			p.Refuse(false)
			if !still {
				return
			}
		}
	})
	return func() {
		cancel()
		<-ended
	}
}

// takeDown resets all links and refuses new ones: none slips through between.
func (p *Proxy) takeDown() {
	p.mu.Lock()
	p.refusing = true
	links := slices.Clone(p.links)
	p.mu.Unlock()
	for _, l := range links {
		l.Reset()
	}
}

// pause waits, and reports false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// accept links whoever connects, until Close.
func (p *Proxy) accept() {
	for {
		client, err := p.listener.AcceptTCP()
		switch {
		case err == nil:
			p.admit(client)
		case p.running.Err() != nil:
			return
		default: // out of file descriptors, most likely
			pause(p.running, 5*time.Millisecond)
		}
	}
}

// admit makes a link of a connection, or resets it.
func (p *Proxy) admit(client *net.TCPConn) {
	l := newLink(p, client)
	p.mu.Lock()
	refused, upstream, fault := p.refusing, p.upstream, p.onNew
	if refused {
		p.stats.Refused++
	} else {
		p.stats.Accepted++
		p.stats.Open++
		p.links = append(p.links, l)
	}
	p.changed.Broadcast()
	p.mu.Unlock()
	if refused {
		l.Reset()
		return
	}
	if fault != nil {
		fault(l)
	}
	p.workers.Go(func() {
		l.run(upstream)
		p.forget(l)
	})
}

func (p *Proxy) forget(l *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links = slices.DeleteFunc(p.links, func(other *Link) bool { return other == l })
	p.stats.Open--
	p.changed.Broadcast()
	close(l.done)
}
