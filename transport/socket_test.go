package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestAThousandMessagesAreAHandfulOfWrites(t *testing.T) {
	for _, p := range sockets {
		t.Run(p.name, func(t *testing.T) {
			var conn *countingConn
			client, server := p.connect(t, &Dialer{DialContext: counted(&conn)}, nil)
			reader := result(func() error {
				for range 1000 {
					if _, _, err := server.ReadFrame(); err != nil {
						return err
					}
				}
				return nil
			})
			before := conn.writes.Load()
			for range 1000 {
				if err := client.WriteFrame(bytes.Repeat([]byte("m"), 200)); err != nil {
					t.Fatal(err)
				}
			}
			if err := client.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := within(t, "the reader", reader); err != nil {
				t.Fatal(err)
			}
			// 206,000 bytes: 64 KiB at a time, and TLS records hold 16 KiB.
			if got := conn.writes.Load() - before; got > 20 {
				t.Errorf("%d writes", got)
			}
		})
	}
}

func TestOffsetsAreExactWhenAWriteFailsHalfWay(t *testing.T) {
	var conn *countingConn
	client, server := overSocket(t, false, &Dialer{DialContext: counted(&conn)}, nil)
	var ends []int64
	for range 10 {
		if err := client.WriteFrame([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
		end, _ := client.Offsets()
		ends = append(ends, end)
	}
	room := ends[4] + 3 // in the midst of the sixth message
	conn.room.Store(room)
	if err := client.Flush(); !errors.Is(err, errNoRoom) {
		t.Fatalf("Flush: %v", err)
	}
	if _, flushed := client.Offsets(); flushed != room {
		t.Errorf("flushed %d, want %d", flushed, room)
	}
	if err := client.WriteFrame(nil); !errors.Is(err, errNoRoom) {
		t.Errorf("WriteFrame after the failure: %v", err)
	}
	_ = client.Abort()
	for range 5 {
		expect(t, server, []byte("0123456789"))
	}
	if err := readError(server); err == nil {
		t.Error("the sixth message arrived")
	}
}

func TestWhatThePeersGoodbyeMetInTheBufferHasNotLeft(t *testing.T) {
	client, server := overSocket(t, false, nil, nil)
	send(t, client, []byte("first"))
	sent, _ := client.Offsets()
	if err := client.WriteFrame([]byte("second")); err != nil {
		t.Fatal(err)
	}
	closed := result(func() error { return server.Close(1001, "") })
	var goodbye *CloseError
	if err := readError(client); !errors.As(err, &goodbye) {
		t.Fatal(err)
	}
	if err := within(t, "Close", closed); err != nil {
		t.Errorf("the goodbye was not answered: %v", err)
	}
	if err := client.Flush(); !errors.As(err, &goodbye) {
		t.Errorf("Flush: %v", err)
	}
	if _, flushed := client.Offsets(); flushed != sent {
		t.Errorf("flushed %d, want %d", flushed, sent)
	}
}

func TestPeerThatStopsReading(t *testing.T) {
	for _, p := range sockets {
		t.Run(p.name, func(t *testing.T) {
			client, _ := p.connect(t, &Dialer{WriteTimeout: 100 * time.Millisecond, CloseTimeout: 100 * time.Millisecond}, nil)
			writer := result(func() error {
				for {
					if err := client.WriteFrame(bytes.Repeat([]byte("m"), 1<<20)); err != nil {
						return err
					}
				}
			})
			if err := within(t, "the writer", writer); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the writer got %v", err)
			}
			if buffered, flushed := client.Offsets(); flushed >= buffered {
				t.Errorf("buffered %d, flushed %d", buffered, flushed)
			}
			if err := client.Close(1000, ""); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

func TestCloseReleasesABlockedWriter(t *testing.T) {
	for _, p := range sockets {
		t.Run(p.name, func(t *testing.T) {
			client, _ := p.connect(t, &Dialer{CloseTimeout: 100 * time.Millisecond}, nil)
			writer := result(func() error {
				for {
					if err := client.WriteFrame(bytes.Repeat([]byte("m"), 1<<20)); err != nil {
						return err
					}
				}
			})
			for last, at := int64(-1), time.Now(); time.Since(at) < 50*time.Millisecond; { // until nothing moves
				if _, flushed := client.Offsets(); flushed != last {
					last, at = flushed, time.Now()
				}
				<-time.After(time.Millisecond)
			}
			if err := client.Close(1000, ""); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Close: %v", err)
			}
			if err := within(t, "the writer", writer); !errors.Is(err, ErrClosed) {
				t.Errorf("the writer got %v", err)
			}
		})
	}
}

func TestCloseTakesOverFromTheReader(t *testing.T) {
	for name, answer := range map[string][]byte{
		"a message still comes": appendFrame(appendFrame(nil, opText, []byte("too late"), true), opClose, closePayload(1000, ""), true),
		"the peer answers":      appendFrame(nil, opClose, closePayload(1000, ""), true),
	} {
		t.Run(name, func(t *testing.T) {
			c, raw := rawPair(t, true)
			reader := result(func() error { _, _, err := c.ReadFrame(); return err })
			for s := c.(*session); ; <-time.After(time.Millisecond) { // until the reader reads
				s.mu.Lock()
				reads := s.reading
				s.mu.Unlock()
				if reads {
					break
				}
			}
			closed := result(func() error { return c.Close(4004, "taken") })
			if op, payload := raw.frame(t); op != opClose || *parseClose(payload) != (CloseError{4004, "taken"}) {
				t.Errorf("opcode %d %q", op, payload)
			}
			_, _ = raw.Write(answer)
			if err := within(t, "the reader", reader); !errors.Is(err, ErrClosed) {
				t.Errorf("the reader got %v", err)
			}
			if err := within(t, "Close", closed); err != nil {
				t.Errorf("Close: %v", err)
			}
			if more, err := io.ReadAll(raw.r); len(more) != 0 || err != nil {
				t.Errorf("behind the close frame came %q, %v", more, err)
			}
		})
	}
}

func TestPongCarriesTheLatestPing(t *testing.T) {
	c, raw := rawPair(t, true)
	_, _ = raw.Write(appendFrame(appendFrame(nil, opPing, []byte("one"), true), opPing, []byte("two"), true))
	_, _ = raw.Write(appendFrame(nil, opText, []byte("m"), true))
	expect(t, c, []byte("m"))
	within(t, "the wake", wakes(c))
	send(t, c)
	if op, payload := raw.frame(t); op != opPong || string(payload) != "two" {
		t.Errorf("opcode %d %q", op, payload)
	}
	_ = c.Abort()
}

func TestEndWithoutCloseFrame(t *testing.T) {
	for _, sent := range [][]byte{{}, {0x81}, {0x81, 0x85, 1, 2}, {0x81, 0x85, 1, 2, 3, 4, 'a'}} {
		c, raw := rawPair(t, true)
		_, _ = raw.Write(sent)
		_ = raw.Close()
		var goodbye *CloseError
		if _, _, err := c.ReadFrame(); !errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &goodbye) {
			t.Errorf("after %v: %v", sent, err)
		}
		_ = c.Abort()
	}
}

func TestResetIsPassedThrough(t *testing.T) {
	c, raw := rawPair(t, false)
	_ = raw.Conn.(*net.TCPConn).SetLinger(0)
	_ = raw.Close()
	var op *net.OpError
	if _, _, err := c.ReadFrame(); !errors.As(err, &op) {
		t.Errorf("ReadFrame: %v", err)
	}
	_ = c.Abort()
}

func TestReadAfterReadErrorNeverPanics(t *testing.T) {
	c, raw := rawPair(t, true)
	_ = raw.Close()
	for range 2000 {
		if _, _, err := c.ReadFrame(); err == nil {
			t.Fatal("no error")
		}
	}
	_ = c.Abort()
}

func TestIdleConnectionHoldsNoBuffer(t *testing.T) {
	client, server := overSocket(t, false, nil, nil)
	big := bytes.Repeat([]byte("m"), 1<<20)
	sent := result(func() error { return errors.Join(client.WriteFrame(big), client.Flush()) })
	expect(t, server, big)
	if err := within(t, "the writer", sent); err != nil {
		t.Fatal(err)
	}
	if s := client.(*session).link.(*socket); s.waiting != nil || s.taken != nil {
		t.Error("the client holds a write buffer")
	}
	reader := result(func() error { return readError(server) })
	closed := result(func() error { return client.Close(1000, "") })
	within(t, "the reader", reader)
	within(t, "Close", closed)
	if s := server.(*session).link.(*socket); s.message != nil {
		t.Errorf("the server went on holding %d bytes while it waited", cap(s.message.b))
	}
}

// pipeListener is a network in memory: it must do without *net.TCPConn.
type pipeListener struct{ conns chan net.Conn }

func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipeListener) Close() error   { return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func TestSocketWorksInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := pipeListener{make(chan net.Conn)}
		accepted := make(chan Conn, 1)
		h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := new(Upgrader).Upgrade(w, r)
			if err != nil {
				t.Error(err)
			}
			accepted <- c
		})}
		served := result(func() error { return h.Serve(ln) })
		dial := &Dialer{Proxy: noProxy, DialContext: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			ln.conns <- there
			return here, nil
		}}
		client, err := dial.Dial(t.Context(), "ws://relay.example/")
		if err != nil {
			t.Fatal(err)
		}
		server := <-accepted
		writing := result(func() error { return errors.Join(client.WriteFrame([]byte("m")), client.Flush()) })
		expect(t, server, []byte("m"))
		if err := <-writing; err != nil {
			t.Fatal(err)
		}

		// Nobody reads: net.Pipe takes nothing.
		start := time.Now()
		if err := errors.Join(client.WriteFrame([]byte("m")), client.Flush()); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		reader := result(func() error { return readError(client) })
		synctest.Wait() // the reader is blocked
		_ = client.Abort()
		if err := <-reader; !errors.Is(err, ErrClosed) {
			t.Errorf("the reader got %v", err)
		}
		if err := readError(server); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the server got %v", err)
		}
		if err := server.Close(1001, ""); err != nil {
			t.Errorf("Close: %v", err)
		}
		close(ln.conns)
		<-served
	})
}

func TestEachByteIsMasked(t *testing.T) {
	sizes := []int{2 << 10, 4<<10 - 1, 5<<10 + 43}
	for size := range 70 {
		sizes = append(sizes, size)
	}
	for _, size := range sizes {
		p := make([]byte, size)
		for i := range p {
			p[i] = byte(rand.Uint32())
		}
		key := rand.Uint32()
		got := make([]byte, size)
		mask(got, p, key)
		for i := range got {
			if want := p[i] ^ byte(key>>(8*(i%4))); got[i] != want {
				t.Fatalf("size %d, byte %d", size, i)
			}
		}
	}
}

func TestSteadyStateAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	client, server := overSocket(t, false, nil, nil)
	p := bytes.Repeat([]byte("m"), 300)
	for name, pair := range map[string][2]Conn{"from the client": {client, server}, "from the server": {server, client}} {
		from, to := pair[0], pair[1]
		write := testing.AllocsPerRun(200, func() {
			if from.WriteFrame(p) != nil || from.Flush() != nil {
				t.Error("write")
			}
		})
		if write != 0 {
			t.Errorf("%s: WriteFrame and Flush allocate %v times", name, write)
		}
		read := testing.AllocsPerRun(200, func() {
			if _, _, err := to.ReadFrame(); err != nil {
				t.Error(err)
			}
		})
		if read > 1 { // gorilla's message reader, 8 bytes
			t.Errorf("%s: ReadFrame allocates %v times", name, read)
		}
	}
}

func BenchmarkWriteFrame(b *testing.B) {
	for _, size := range []int{64, 1024, 16 << 10} {
		b.Run(fmt.Sprint(size, " bytes"), func(b *testing.B) {
			s := newSession(newLimits(0, 0, 0))
			s.link = &socket{wire: &wire{Conn: nullConn{}}, client: true}
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := s.WriteFrame(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// nullConn takes everything.
type nullConn struct{ net.Conn }

func (nullConn) Write(p []byte) (int, error)      { return len(p), nil }
func (nullConn) SetWriteDeadline(time.Time) error { return nil }

// The kernel says only once why a connection is gone; after that a write is told no
// more than that it is.
func TestAWriterLearnsThatItsPeerHasResetTheConnection(t *testing.T) {
	client, server := overSocket(t, false, nil, nil)
	if err := server.Abort(); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		err = errors.Join(client.WriteFrame([]byte("x")), client.Flush())
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}
