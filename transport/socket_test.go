package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
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

// rawConn speaks WebSocket by hand, to break the rules.
type rawConn struct {
	net.Conn
	r      *bufio.Reader
	masked bool
}

// frame reads one frame.
func (c *rawConn) frame(t *testing.T) (op opcode, payload []byte) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	head := make([]byte, 2)
	if _, err := io.ReadFull(c.r, head); err != nil {
		t.Fatalf("raw read: %v", err)
	}
	var key [4]byte
	if head[1]&0x80 != 0 {
		_, _ = io.ReadFull(c.r, key[:])
	}
	payload = make([]byte, head[1]&0x7f) // these tests read no longer ones
	_, _ = io.ReadFull(c.r, payload)
	for i := range payload {
		payload[i] ^= key[i&3]
	}
	return opcode(head[0] & 0xf), payload
}

// rawPair connects a Conn with a raw peer; the Conn is the server or the client.
func rawPair(t *testing.T, server bool) (Conn, *rawConn) {
	t.Helper()
	noLeaks(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if !server {
		return rawServer(t, ln)
	}
	accepted := make(chan Conn, 1)
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := new(Upgrader).Upgrade(w, r)
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	})}
	served := result(func() error { return h.Serve(ln) })
	t.Cleanup(func() { _ = h.Close(); <-served })
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	raw := &rawConn{conn, bufio.NewReader(conn), true}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
	answer, err := http.ReadResponse(raw.r, nil)
	if err != nil || answer.StatusCode != 101 || answer.Header.Get("Sec-WebSocket-Extensions")+answer.Header.Get("Sec-WebSocket-Protocol") != "" {
		t.Fatal(answer, err)
	}
	return <-accepted, raw
}

func rawServer(t *testing.T, ln net.Listener) (Conn, *rawConn) {
	raws := make(chan *rawConn, 1)
	serve := result(func() error {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		raw := &rawConn{conn, bufio.NewReader(conn), false}
		raws <- raw
		return answerUpgrade(raw.r, conn, "")
	})
	client, err := (&Dialer{Proxy: noProxy}).Dial(t.Context(), "ws://"+ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := <-serve; err != nil {
		t.Fatal(err)
	}
	raw := <-raws
	t.Cleanup(func() { _ = raw.Close(); _ = ln.Close() })
	return client, raw
}

func TestRawFrames(t *testing.T) {
	frame := func(first byte, payload string) func(bool) []byte {
		return func(masked bool) []byte {
			b := appendFrame(nil, opText, []byte(payload), masked)
			b[0] = first
			return b
		}
	}
	join := func(parts ...func(bool) []byte) func(bool) []byte {
		return func(masked bool) (all []byte) {
			for _, p := range parts {
				all = append(all, p(masked)...)
			}
			return all
		}
	}
	header := func(bytes ...byte) func(bool) []byte {
		return func(masked bool) []byte {
			head := slices.Clone(bytes)
			if masked {
				head[1] |= 0x80
				head = append(head, 0, 0, 0, 0)
			}
			return head
		}
	}
	closeFrame := func(code uint16, reason string) func(bool) []byte {
		return frame(0x88, string(binary.BigEndian.AppendUint16(nil, code))+reason)
	}
	tests := []struct {
		name   string
		send   func(masked bool) []byte
		frames []string // read before the error
		binary bool
		want   error // nil: a CloseError
		code   int   // of the close frame sent
	}{
		{"fragments are put together around a ping", join(frame(0x01, "ab"), frame(0x89, "?"), frame(0x00, ""), frame(0x80, "c"), closeFrame(1000, "")), []string{"abc"}, false, nil, 1000},
		{"a binary message is told apart", join(frame(0x82, "\x00\x01"), closeFrame(4000, "x")), []string{"\x00\x01"}, true, nil, 4000},
		{"invalid UTF-8 is passed on", join(frame(0x81, "\xff"), closeFrame(3001, "")), []string{"\xff"}, false, nil, 3001},
		{"a close frame without a code", frame(0x88, ""), nil, false, nil, 1005},
		{"a pong that nobody asked for", join(frame(0x8a, "!"), closeFrame(4999, "")), nil, false, nil, 4999},
		{"close code 1005 on the wire", closeFrame(1005, ""), nil, false, ErrProtocol, 1002},
		{"close code 1006 on the wire", closeFrame(1006, ""), nil, false, ErrProtocol, 1002},
		{"close code 999", closeFrame(999, ""), nil, false, ErrProtocol, 1002},
		{"close code 5000", closeFrame(5000, ""), nil, false, ErrProtocol, 1002},
		{"a close reason that is not UTF-8", closeFrame(1000, "\xff"), nil, false, ErrProtocol, 1002},
		{"RSV1", frame(0xc1, "x"), nil, false, ErrProtocol, 1002},
		{"RSV2", frame(0xa1, "x"), nil, false, ErrProtocol, 1002},
		{"RSV3", frame(0x91, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 3", frame(0x83, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 7", frame(0x87, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 11", frame(0x8b, "x"), nil, false, ErrProtocol, 1002},
		{"opcode 15", frame(0x8f, "x"), nil, false, ErrProtocol, 1002},
		{"a long ping", frame(0x89, strings.Repeat("x", 126)), nil, false, ErrProtocol, 1002},
		{"a ping in fragments", frame(0x09, "x"), nil, false, ErrProtocol, 1002},
		{"a continuation of nothing", frame(0x80, "x"), nil, false, ErrProtocol, 1002},
		{"a message within a message", join(frame(0x01, "x"), frame(0x81, "x")), nil, false, ErrProtocol, 1002},
		{"the wrong masking", func(masked bool) []byte { return frame(0x81, "x")(!masked) }, nil, false, ErrProtocol, 1002},
		{"a length of 63 bits", header(0x81, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), nil, false, ErrFrameTooLarge, 1009},
		{"a negative length", header(0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), nil, false, ErrFrameTooLarge, 1009},
		{"a header one byte over the limit", header(0x81, 127, 0, 0, 0, 0, 0, 0x10, 0, 1), nil, false, ErrFrameTooLarge, 1009},
		{"fragments over the limit", join(frame(0x01, strings.Repeat("x", 1<<20)), frame(0x00, "x")), nil, false, ErrFrameTooLarge, 1009},
	}
	for _, tt := range tests {
		for _, server := range []bool{true, false} {
			t.Run(tt.name+map[bool]string{true: " from a client", false: " from a server"}[server], func(t *testing.T) {
				c, raw := rawPair(t, server)
				wrote := result(func() error { _, err := raw.Write(tt.send(raw.masked)); return err })
				for _, want := range tt.frames {
					p, binary, err := c.ReadFrame()
					if err != nil || string(p) != want || binary != tt.binary {
						t.Fatalf("got %q (binary %v), %v", p, binary, err)
					}
				}
				_, _, err := c.ReadFrame()
				var goodbye *CloseError
				if tt.want == nil && (!errors.As(err, &goodbye) || goodbye.Code != tt.code) || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("ReadFrame: %v", err)
				}
				within(t, "the raw writer", wrote)
				op, payload := raw.frame(t)
				if op != opClose || parseClose(payload).Code != tt.code {
					t.Errorf("sent opcode %d %q, want close %d", op, payload, tt.code)
				}
				closed := result(func() error { return c.Close(1000, "") })
				if tt.want != nil && !server { // what still comes is thrown away, not reset
					if _, err := raw.Write(make([]byte, 100_000)); err != nil {
						t.Errorf("the peer was reset: %v", err)
					}
				}
				_ = raw.SetReadDeadline(time.Now().Add(5 * time.Second))
				if n, err := raw.r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("after the close frame: %d bytes, %v", n, err)
				}
				_ = raw.Close()
				if err := within(t, "Close", closed); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
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
			for len(c.(*session).reading) == 0 { // until the reader reads
				<-time.After(time.Millisecond)
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
	within(t, "Wake", c.Wake())
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

func TestMaskIsItsOwnInverse(t *testing.T) {
	for size := range 70 {
		p := make([]byte, size)
		for i := range p {
			p[i] = byte(rand.Uint32())
		}
		key := rand.Uint32()
		got := bytes.Clone(p)
		mask(got, key)
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
