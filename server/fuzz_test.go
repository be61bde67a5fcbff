package server

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// FuzzT38_FrameStream sends any bytes as frames to a server, and holds what comes
// back against a reading of RFC 6455 of its own and a model of the relay. The
// bytes are one client's; the decoder of messages has fuzz targets of its own.
func FuzzT38_FrameStream(f *testing.F) {
	toSelf := message(alice, alice, "to oneself")
	hello := masked(fin|1, encode(codec.Registration{Name: "fuzz", UUID: alice}))
	for _, test := range frameCases() {
		if frames := test.frames(toSelf); len(frames) < 1000 {
			f.Add([]byte(hello + frames))
		}
	}
	plain := func(first byte, payload string) string { // a mask of zeroes: the fuzzer sees through it
		return headerOnly(first, 16, uint64(len(payload))) + payload
	}
	register := plain(fin|1, encode(codec.Registration{Name: "a name that makes it long enough", UUID: alice}))
	for _, frames := range []string{
		"", register, register + register, plain(fin|1, toSelf), register + plain(fin|1, toSelf) + plain(fin|1, toSelf),
		register + plain(fin|1, message(alice, bob, "to nobody")), register + plain(fin|1, message(bob, alice, "a foreign source")),
		register + plain(fin|2, toSelf), register + plain(1, toSelf) + plain(0, strings.Repeat(" ", 130)) + masked(fin, ""),
		register + plain(fin|1, strings.Replace(toSelf, "{", `{"peer_uuid": 1, `, 1)), plain(fin|1, strings.Repeat("[", 200)),
		register + plain(fin|1, strings.Replace(toSelf, "to one", "\xff", 1)) + masked(fin|0x40|1, ""), closing(1000, "bye"), closing(1014, ""),
		register + masked(fin|9, "ping") + plain(fin|1, toSelf) + masked(fin|8, "\x03"),
	} {
		f.Add([]byte(frames))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		if len(stream) > 1<<16 {
			t.Skip()
		}
		stream, read := completed(stream)
		want := predict(read)
		conn := newStreamConn(stream)
		defer conn.Close()
		bound := time.AfterFunc(patience, func() { conn.Close() })
		defer bound.Stop()
		s, err := New()
		if err != nil {
			t.Fatal(err)
		}
		s.ServeHTTP(&hijackable{conn: conn}, upgradeRequest)
		p := rawPeer{t, conn, bufio.NewReader(&conn.out)}
		if answer, err := http.ReadResponse(p.r, nil); err != nil || answer.StatusCode != 101 {
			t.Fatalf("%v, %v", answer, err)
		}
		want.check(t, p, read.pings)
		conn.Close()
		if err := s.Shutdown(t.Context()); err != nil || s.Stats().Clients != 0 {
			t.Fatalf("Shutdown: %v, %d clients are left", err, s.Stats().Clients)
		}
	})
}

// theEnd is the message behind a stream that has not ended by itself: a client
// registers, and writes to itself.
const theEnd = "the end of the stream"

// completed adds to a stream what completes its last frame and message, and the
// message theEnd; not if it ends with a violation or a close.
func completed(stream []byte) ([]byte, reading) {
	for {
		r := readFrames(stream)
		switch {
		case r.code != 0:
			return stream, r
		case r.missing > 0:
			stream = append(stream, make([]byte, r.missing)...)
		case r.open:
			stream = append(stream, masked(fin, "")...)
		default:
			stream = append(stream, masked(fin|1, encode(codec.Registration{Name: "end", UUID: dave}))...)
			stream = append(stream, masked(fin|1, message(dave, dave, theEnd))...)
			return stream, readFrames(stream)
		}
	}
}

// A reading is what RFC 6455 says about a client's stream.
type reading struct {
	messages []string
	binary   []bool   // of each message
	pings    []string // their payloads
	code     int      // of the answer to its end: 1002, 1009, or to the client's close; 0: it has not ended
	missing  int      // bytes that the last frame lacks, at least
	open     bool     // the last message lacks fragments
}

// readFrames reads a client's stream, in the order of the RFC: the first two
// bytes, the length, the key, the sum, the payload.
func readFrames(b []byte) (r reading) {
	var text []byte
	binary := false
	for len(b) > 0 {
		if len(b) < 2 {
			r.missing = 1
			return r
		}
		last, reserved, op, withKey := b[0]>>7 == 1, b[0]>>4&7, b[0]&15, b[1]>>7 == 1
		control, size, head := op >= 8, uint64(b[1]&127), 2
		bad := reserved != 0 || !withKey || control && (!last || size > 125) || op > 2 && op < 8 || op > 10 ||
			op == 0 && !r.open || (op == 1 || op == 2) && r.open || op == 8 && size == 1
		switch {
		case bad:
			r.code = 1002
			return r
		case size >= 126:
			wide := map[uint64]int{126: 2, 127: 8}[size]
			if len(b) < 2+wide {
				r.missing = 2 + wide - len(b)
				return r
			}
			spelled := size
			size, head = 0, 2+wide
			for _, digit := range b[2:head] {
				size = size<<8 | uint64(digit)
			}
			if spelled == 126 && size < 126 || spelled == 127 && size < 1<<16 {
				r.code = 1002
				return r
			}
		}
		if !control && (size > maxFrameBytes || len(text)+int(size) > maxFrameBytes) {
			if r.code = 1009; len(b) < head+4 {
				r.code, r.missing = 0, head+4-len(b) // it may be judged later than it could be
			}
			return r
		}
		if whole := head + 4 + int(size); len(b) < whole {
			r.missing = whole - len(b)
			return r
		}
		key, payload := b[head:head+4], slices.Clone(b[head+4:head+4+int(size)])
		for i := range payload {
			payload[i] ^= key[i%4]
		}
		b = b[head+4+int(size):]
		switch op {
		case 8:
			r.code = answerToClose(payload)
			return r
		case 9:
			r.pings = append(r.pings, string(payload))
		case 10:
		default:
			if op != 0 {
				text, binary = nil, op == 2
			}
			text = append(text, payload...)
			if r.open = !last; last {
				r.messages, r.binary = append(r.messages, string(text)), append(r.binary, binary)
				text = nil
			}
		}
	}
	return r
}

// answerToClose is the code of the answer to a close frame.
func answerToClose(payload []byte) int {
	if len(payload) == 0 {
		return 1005
	}
	code := int(binary.BigEndian.Uint16(payload))
	assigned := code >= 3000 && code <= 4999 || code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006
	if !assigned || !utf8.Valid(payload[2:]) {
		return 1002
	}
	return code
}

// A prediction is what a server sends.
type prediction struct {
	frames []string // in order; messages to peers as their Go syntax: their spelling may change
	codes  []int    // of the close, one of them; none: it goes on
	whole  bool     // all frames come; else what the client's end overtakes is lost
}

// predict is the model of the relay, for one client that is alone.
func predict(r reading) prediction {
	p := prediction{whole: r.code == 0}
	owned := clients{}
	for i, text := range r.messages {
		var frame string
		var code int
		switch m, err := codec.Decode([]byte(text)); {
		case r.binary[i]:
			code = codeUnknown
		case errors.Is(err, codec.ErrInvalidUTF8):
			code = codeNotUTF8
		case err != nil:
			code = codeUnknown
		default:
			frame, code = owned.answer(m)
		}
		if code != 0 {
			p.codes = append(p.codes, code)
			break // what comes behind it is read, not handled, and may end the connection first
		}
		p.frames = append(p.frames, frame)
	}
	if r.code != 0 {
		p.codes = append(p.codes, r.code)
	}
	return p
}

// clients are those that are registered on one connection.
type clients map[uuid.UUID]bool

// answer is what comes back for a message, or the code of the close.
func (owned clients) answer(m codec.RelayMessage) (frame string, code int) {
	switch m := m.(type) {
	case codec.Registration:
		if len(owned) == 64 && !owned[m.UUID] {
			return encode(codec.Response{Error: true, Message: "ForbiddenError: Too many clients are registered on this connection."}), 0
		}
		owned[m.UUID] = true
		return registered, 0
	case codec.PeerConnection:
		switch {
		case len(owned) == 0:
			return "", CodeForbidden
		case !owned[m.SourceUUID]:
			m.Error = foreignSource.text(&codec.Envelope{SourceUUID: m.SourceUUID, PeerUUID: m.PeerUUID})
		case !owned[m.PeerUUID]:
			m.Error = unknownPeer.text(&codec.Envelope{PeerUUID: m.PeerUUID})
		}
		return fmt.Sprintf("%#v", m), 0
	}
	return "", codeUnknown
}

// check reads what the server sends, up to its close or the message theEnd.
func (want prediction) check(t *testing.T, p rawPeer, pings []string) {
	t.Helper()
	var got []string
	ended := false
	for !ended {
		op, payload, err := p.next()
		switch {
		case err != nil:
			t.Fatalf("after %q: %v, want %+v", got, err, want)
		case op == 10 && slices.Contains(pings, payload):
		case op == 8:
			code := 1005
			if payload != "" {
				code = int(binary.BigEndian.Uint16([]byte(payload)))
			}
			if !slices.Contains(want.codes, code) {
				t.Fatalf("after %q: closed with %d %q, want %+v", got, code, payload[min(2, len(payload)):], want)
			}
			ended = true
		case op == 1:
			if m, err := codec.DecodePeerConnection([]byte(payload)); err == nil {
				payload = fmt.Sprintf("%#v", m)
				ended = m.SourceUUID == dave && m.Description == theEnd && len(want.codes) == 0 && len(got) == len(want.frames)-1
			}
			got = append(got, payload)
		default:
			t.Fatalf("after %q: opcode %d, %q, pings were %q", got, op, payload, pings)
		}
	}
	if len(got) > len(want.frames) || !slices.Equal(got, want.frames[:len(got)]) || want.whole && len(got) < len(want.frames) {
		t.Fatalf("got  %q\nwant %+v", got, want)
	}
}

var upgradeRequest = &http.Request{
	Method: http.MethodGet, Host: "relay.test", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, URL: &url.URL{Path: "/"}, RemoteAddr: "127.0.0.1:1",
	Header: http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	},
}

// A streamConn is a connection in memory: a stream to read, after which there is
// silence, and what was written.
type streamConn struct {
	in     []byte
	out    streamBuffer
	closed chan struct{} // closed by Close, once
	once   sync.Once
}

func newStreamConn(in []byte) *streamConn {
	c := &streamConn{in: in, closed: make(chan struct{})}
	c.out.grown.L = &c.out.mu
	return c
}

func (c *streamConn) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		<-c.closed
		return 0, io.EOF
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *streamConn) Write(p []byte) (int, error) { return c.out.Write(p) }

func (c *streamConn) Close() error {
	c.once.Do(func() { close(c.closed); c.out.end() })
	return nil
}

func (c *streamConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *streamConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *streamConn) SetDeadline(time.Time) error      { return nil }
func (c *streamConn) SetReadDeadline(time.Time) error  { return nil }
func (c *streamConn) SetWriteDeadline(time.Time) error { return nil }

// A streamBuffer is read as it grows.
type streamBuffer struct {
	mu    sync.Mutex
	grown sync.Cond
	b     []byte
	ended bool
}

func (s *streamBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = append(s.b, p...)
	s.grown.Broadcast()
	return len(p), nil
}

func (s *streamBuffer) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.b) == 0 && !s.ended {
		s.grown.Wait()
	}
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.b)
	s.b = s.b[n:]
	return n, nil
}

func (s *streamBuffer) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.grown.Broadcast()
}

// hijackable is a response that can become a connection.
type hijackable struct {
	conn   net.Conn
	header http.Header
}

func (h *hijackable) Header() http.Header {
	if h.header == nil {
		h.header = http.Header{}
	}
	return h.header
}
func (h *hijackable) WriteHeader(int)           {}
func (h *hijackable) Write([]byte) (int, error) { return 0, errors.New("refused") }
func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}
