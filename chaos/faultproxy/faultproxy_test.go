package faultproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 20 * time.Second

// upstream listens, and hands out what it accepts.
type upstream struct {
	t        *testing.T
	listener net.Listener
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &upstream{t: t, listener: listener}
}

func (u *upstream) addr() string { return u.listener.Addr().String() }

// newProxy is a proxy before an upstream. At its end nothing may be left of it.
func newProxy(t *testing.T, u *upstream, options ...Option) *Proxy {
	t.Helper()
	t.Cleanup(func() { checkNothingLeft(t) })
	p, err := New(u.addr(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if s := p.Stats(); s.Open != 0 || len(p.Links()) != 0 {
			t.Errorf("after Close: %+v", s)
		}
	})
	return p
}

func checkNothingLeft(t *testing.T) {
	buffer := make([]byte, 1<<20)
	for deadline := time.Now().Add(patience); ; runtime.Gosched() { // those that have just ended go in a moment
		left := ""
		for stack := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
			if strings.Contains(stack, "faultproxy.(*") && !strings.Contains(stack, "testing.tRunner") {
				left = stack
			}
		}
		switch {
		case left == "":
			return
		case time.Now().After(deadline):
			t.Fatalf("a goroutine is left after Close:\n%s", left)
		}
	}
}

// link opens a connection through the proxy, and returns both its ends.
func link(t *testing.T, p *Proxy, u *upstream) (client, server *net.TCPConn, l *Link) {
	t.Helper()
	client = dial(t, p)
	conn, err := u.listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server = watched(t, conn)
	links := p.Links()
	return client, server, links[len(links)-1]
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp4", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return watched(t, conn)
}

// reset fails unless a connection is reset, as early as it may be.
func reset(t *testing.T, p *Proxy) {
	t.Helper()
	conn, err := net.Dial("tcp4", p.Addr())
	if err == nil {
		_, err = watched(t, conn).Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%v; want a reset", err)
	}
}

func watched(t *testing.T, conn net.Conn) *net.TCPConn {
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// read fails unless the text arrives.
func read(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

// ends fails unless exactly this text arrives, and then the end: an error, or
// nil for FIN.
func ends(t *testing.T, conn net.Conn, want string, end error) {
	t.Helper()
	got, err := io.ReadAll(conn)
	if string(got) != want || !errors.Is(err, end) {
		t.Fatalf("read %q, %v; want %q, then %v", got, err, want, end)
	}
}

// silent fails if anything arrives in the next 50 ms.
func silent(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v; want silence", n, err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
}

func await(t *testing.T, p *Proxy, what string, reached func(Stats) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Await(ctx, reached); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func gone(t *testing.T, l *Link) {
	t.Helper()
	select {
	case <-l.Done():
	case <-time.After(patience):
		t.Fatal("the link is still open")
	}
}

func TestWithoutAFaultItIsTransparent(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u)
	client, server, l := link(t, p, u)
	write(t, client, "hello")
	read(t, server, "hello")
	write(t, server, "hi")
	read(t, client, "hi")

	if err := client.CloseWrite(); err != nil { // each FIN is passed on by itself
		t.Fatal(err)
	}
	ends(t, server, "", nil)
	write(t, server, "bye")
	read(t, client, "bye")
	server.Close()
	ends(t, client, "", nil)
	gone(t, l)

	want := Stats{Accepted: 1, Bytes: [2]int64{5, 5}}
	if got := p.Stats(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestManyBytesArriveUnchanged(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u, Buffer(4<<10))
	client, server, l := link(t, p, u)
	l.Latency(time.Millisecond)
	data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	go func() {
		client.Write(data)
		client.CloseWrite()
	}()
	if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes of %d, %v", len(got), len(data), err)
	}
}

func TestAResetIsPassedOn(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u)
	client, server, l := link(t, p, u)
	abort(server)
	ends(t, client, "", syscall.ECONNRESET)
	gone(t, l)
}

func TestAnUpstreamThatIsNotThereResets(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u)
	u.listener.Close()
	reset(t, p)
	await(t, p, "links end", func(s Stats) bool { return s.Accepted == 1 && s.Open == 0 })
}

func TestSetUpstreamIsForLinksToCome(t *testing.T) {
	u, other := newUpstream(t), newUpstream(t)
	p := newProxy(t, u)
	client, server, _ := link(t, p, u)
	p.SetUpstream(other.addr())
	newClient, newServer, _ := link(t, p, other)
	write(t, newClient, "new")
	read(t, newServer, "new")
	write(t, client, "old")
	read(t, server, "old")
}

func TestRefuseResetsNewLinks(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u)
	client, server, _ := link(t, p, u)
	p.Refuse(true)
	reset(t, p)
	write(t, client, "still here")
	read(t, server, "still here")
	p.Refuse(false)
	link(t, p, u)
	if s := p.Stats(); s.Refused != 1 || s.Accepted != 2 || s.Open != 2 {
		t.Errorf("%+v", s)
	}
}

func TestAHalfOpenLinkSwallowsAndStays(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u)
	client, server, l := link(t, p, u)
	l.HalfOpen()
	for range 100 { // more than the buffers on the way hold: it is read
		write(t, client, strings.Repeat("x", 100_000))
		write(t, server, strings.Repeat("x", 100_000))
	}
	client.Close()
	silent(t, server)
	if l.Delivered(Up) != 0 || l.Delivered(Down) != 0 || p.Stats().Open != 1 {
		t.Errorf("%d up, %d down, %+v", l.Delivered(Up), l.Delivered(Down), p.Stats())
	}
	l.Reset()
	ends(t, server, "", syscall.ECONNRESET)
	gone(t, l)
}

func TestAFrozenLinkFillsTheWindowAndLosesNothing(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u, Buffer(4<<10))
	client, server, l := link(t, p, u)
	l.Freeze()
	_ = client.SetWriteBuffer(4 << 10)
	_ = client.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	n, err := client.Write(make([]byte, 1<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) || n > 128<<10 {
		t.Fatalf("wrote %d bytes, %v; want a full window", n, err)
	}
	t.Logf("%d bytes went into a frozen link", n)
	silent(t, server)
	l.Thaw()
	if _, err := io.ReadFull(server, make([]byte, n)); err != nil {
		t.Error(err)
	}
	silent(t, server)
}

func TestWhatIsHeldArrivesWhenItsSenderHasGone(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn){
		"by FIN":   func(c *net.TCPConn) { c.Close() },
		"by reset": abort,
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			p := newProxy(t, u)
			client, server, l := link(t, p, u)
			l.Hold(Up)
			write(t, client, "ghost")
			write(t, server, "the other way it goes on")
			read(t, client, "the other way it goes on")
			for l.Held(Up) < 5 { // or the reset would overtake what the client's kernel has
				runtime.Gosched()
			}
			leave(client)
			write(t, server, "into the void") // provokes a reset by the client's kernel
			silent(t, server)
			l.Release(Up)
			read(t, server, "ghost")
			end := map[string]error{"by FIN": nil, "by reset": syscall.ECONNRESET}[name]
			if got, err := io.ReadAll(server); len(got) > 0 || end == nil && err != nil && !errors.Is(err, syscall.ECONNRESET) || end != nil && !errors.Is(err, end) {
				t.Errorf("then %q, %v", got, err)
			}
			server.Close()
			gone(t, l)
		})
	}
}

func TestAResetAtExactlyByteN(t *testing.T) {
	const text = "01234567"
	for n := range len(text) {
		for _, d := range []Direction{Up, Down} {
			t.Run(fmt.Sprint(n, " ", d), func(t *testing.T) {
				u := newUpstream(t)
				p := newProxy(t, u)
				client, server, l := link(t, p, u)
				sender, receiver := client, server
				if d == Down {
					sender, receiver = server, client
				}
				l.At(d, int64(n), (*Link).Reset)
				_, failed := io.WriteString(sender, text)
				ends(t, receiver, text[:n], syscall.ECONNRESET)
				if got, err := io.ReadAll(sender); len(got) > 0 || !errors.Is(errors.Join(failed, err), syscall.ECONNRESET) {
					t.Errorf("the sender: %q, %v, %v; want a reset", got, failed, err)
				}
				gone(t, l)
			})
		}
	}
}

func TestFaultsAtSeveralBytes(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u)
	client, server, l := link(t, p, u)
	l.At(Up, 6, (*Link).FIN)
	l.At(Up, 3, func(l *Link) { l.Hold(Up) })
	write(t, client, "abcdefghi")
	read(t, server, "abc")
	silent(t, server)
	l.Release(Up)
	ends(t, server, "def", nil)
	ends(t, client, "", nil)
	if l.Delivered(Up) != 6 {
		t.Errorf("%d bytes delivered", l.Delivered(Up))
	}
	l.At(Up, 2, (*Link).Reset) // long past: at once; or the FIN has ended it
	client.Close()
	server.Close()
	gone(t, l)
}

func TestAHalfClosedLinkGoesOnTheOtherWay(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u)
	client, server, l := link(t, p, u)
	l.HalfClose(Down)
	ends(t, client, "", nil)
	write(t, client, "still talking")
	read(t, server, "still talking")
	write(t, server, "nobody hears that")
	client.Close()
	ends(t, server, "", nil)
	server.Close()
	gone(t, l)
}

func TestKeepOpenWithholdsTheEnd(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u)
	client, server, l := link(t, p, u)
	l.KeepOpen(Down, true)
	write(t, server, "last words")
	server.Close()
	read(t, client, "last words")
	silent(t, client)
	l.KeepOpen(Down, false)
	ends(t, client, "", nil)
}

func TestLatencyDelaysAndKeepsTheOrder(t *testing.T) {
	const latency = 50 * time.Millisecond
	u := newUpstream(t)
	p := newProxy(t, u)
	client, server, l := link(t, p, u)
	l.Latency(latency)
	start := time.Now()
	for range 10 { // all under way at once
		write(t, client, "x")
	}
	read(t, server, strings.Repeat("x", 10))
	if took := time.Since(start); took < latency {
		t.Errorf("arrived after %v", took)
	}
}

func TestFlapResetsAndRefusesAndComesBack(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u)
	go func() { // serves whoever comes
		for {
			conn, err := u.listener.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(io.Discard, conn)
				conn.Close()
			}()
		}
	}()
	stop := p.Flap(5*time.Millisecond, 5*time.Millisecond)
	for s := p.Stats(); s.Accepted < 5 || s.Refused < 5; s = p.Stats() {
		reset(t, p)
	}
	stop()
	dial(t, p)
	await(t, p, "up again", func(s Stats) bool { return s.Open == 1 })
}

func TestCloseEndsEveryKindOfLink(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, u, Buffer(4<<10))
	faults := []func(*Link){
		func(*Link) {},
		(*Link).HalfOpen,
		(*Link).Freeze,
		func(l *Link) { l.Hold(Up) },
		func(l *Link) { l.KeepOpen(Down, true) },
		func(l *Link) { l.Latency(time.Hour) },
		func(l *Link) { l.HalfClose(Up) },
		(*Link).FIN,
	}
	for _, fault := range faults {
		client, _, l := link(t, p, u)
		fault(l)
		write(t, client, "x")
	}
	stop := p.Flap(time.Hour, time.Hour)
	defer stop()
	before := p.Stats()
	if err := p.Close(); err != nil || before.Open != len(faults) {
		t.Errorf("%v; before it %+v", err, before)
	}
	if err := p.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}
