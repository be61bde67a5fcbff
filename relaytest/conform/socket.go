package conform

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/rand"
	"crypto/sha1" // what RFC 6455 asks for
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
)

// The opcodes of RFC 6455.
const (
	opContinuation byte = 0x0
	opText         byte = 0x1
	opBinary       byte = 0x2
	opClose        byte = 0x8
	opPing         byte = 0x9
	opPong         byte = 0xa
)

// maxRead bounds a frame of a relay; the largest that should come is a
// message of 1 MiB with every character escaped.
const maxRead = 16 << 20

// A frame is one WebSocket frame, good or bad.
type frame struct {
	op       byte // reserved ones too
	rsv      byte // 4, 2 and 1 are RSV1, RSV2 and RSV3
	more     bool // FIN is not set
	unmasked bool
	wide     bool // 64 bits for the length, however short
	deflate  bool // as permessage-deflate does
	payload  []byte
}

// encode gives the frame as a client sends it.
func (f frame) encode() []byte {
	if f.deflate {
		f.payload, f.rsv = deflate(f.payload), f.rsv|4
	}
	first := f.op | f.rsv<<4
	if !f.more {
		first |= 0x80
	}
	b := []byte{first, 0}
	switch n := len(f.payload); {
	case f.wide || n > 0xffff:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	case n <= 125:
		b[1] = byte(n)
	default:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	if f.unmasked {
		return append(b, f.payload...)
	}
	b[1] |= 0x80
	var key [4]byte
	_, _ = rand.Read(key[:]) // never fails
	b = append(b, key[:]...)
	start := len(b)
	b = append(b, f.payload...)
	for i := range b[start:] {
		b[start+i] ^= key[i&3]
	}
	return b
}

// closeFrame says goodbye; code 0 stands for a close without a code.
func closeFrame(code int, reason string) frame {
	if code == 0 {
		return frame{op: opClose}
	}
	return frame{op: opClose, payload: append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)}
}

// deflate compresses a message without a look at earlier ones, and without
// repetitions, so that it suits every window.
func deflate(plain []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.HuffmanOnly) // the level is valid
	_, _ = w.Write(plain)
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// A socket is a client's end of a connection that knows only the frames of
// RFC 6455, and sends whatever it is told to.
type socket struct {
	conn   net.Conn
	reader *bufio.Reader
	open   bool // the handshake has succeeded: what comes are frames
	mute   bool // pings are not answered

	writing sync.Mutex   // a flood writes beside the steps
	flooded atomic.Int64 // messages of a flood that were written

	window []byte   // of what came deflated
	ahead  []frame  // messages that were read while waiting for something else
	pongs  []string // the payloads of pongs that came
}

// dial connects to the target. The connection breaks when ctx ends.
func dial(ctx context.Context, target *Target) (*socket, error) {
	address, err := url.Parse(target.URL)
	if err != nil || address.Host == "" || address.Scheme != "ws" && address.Scheme != "wss" {
		return nil, errors.New("the address is not of the form ws://host:port or wss://host")
	}
	port := address.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[address.Scheme]
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(address.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if address.Scheme == "wss" {
		config := target.TLS.Clone()
		if config == nil {
			config = new(tls.Config)
		}
		if config.ServerName == "" {
			config.ServerName = address.Hostname()
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		conn = secure
	}
	return &socket{conn: conn, reader: bufio.NewReader(conn)}, nil
}

// request is the opening handshake, line by line, with changes: a line of the
// form "Name: value" replaces the one of that name, "Name:" removes it, and
// one that names none is added. The first line is named by "GET".
func (t *Target) request(changes []string) string {
	address, _ := url.Parse(t.URL) // dial has
	path := address.RequestURI()
	lines := []string{
		"GET " + path + " HTTP/1.1", "Host: " + address.Host, "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + handshakeKey,
	}
	for name, values := range t.Header {
		for _, value := range values {
			lines = append(lines, name+": "+value)
		}
	}
change:
	for _, change := range changes {
		if method, rest, ok := strings.Cut(change, " PATH"); ok {
			lines[0] = method + " " + path + rest
			continue
		}
		name, value, _ := strings.Cut(change, ":")
		for i, line := range lines {
			if had, _, _ := strings.Cut(line, ":"); !strings.EqualFold(had, name) {
				continue
			}
			if lines[i] = change; value == "" {
				lines = append(lines[:i], lines[i+1:]...)
			}
			continue change
		}
		lines = append(lines, change)
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

const handshakeKey = "dGhlIHNhbXBsZSBub25jZQ=="

// accept is the answer to handshakeKey.
func accept() string {
	sum := sha1.Sum([]byte(handshakeKey + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// response reads the head of the answer to the handshake.
func (s *socket) response() (*http.Response, error) {
	answer, err := http.ReadResponse(s.reader, nil)
	if err != nil {
		return nil, fmt.Errorf("no HTTP answer: %w", err)
	}
	s.open = answer.StatusCode == http.StatusSwitchingProtocols
	if got := answer.Header.Get("Sec-WebSocket-Accept"); s.open && got != accept() {
		return nil, fmt.Errorf("Sec-WebSocket-Accept is %q", got)
	}
	return answer, nil
}

func (s *socket) write(f frame) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.conn.Write(f.encode())
	return err
}

// pong answers a ping, unless a flood is at it: the relay reads what it
// reads, and would find the pong behind that.
func (s *socket) pong(ping frame) {
	if !s.mute && s.writing.TryLock() {
		defer s.writing.Unlock()
		_, _ = s.conn.Write(frame{op: opPong, payload: ping.payload}.encode()) // reading will show
	}
}

// next returns the next message or close, and answers pings on the way.
func (s *socket) next() (frame, error) {
	if len(s.ahead) > 0 {
		f := s.ahead[0]
		s.ahead = s.ahead[1:]
		return f, nil
	}
	for {
		f, err := s.read()
		switch {
		case err != nil:
			return f, err
		case f.op == opPong:
			s.pongs = append(s.pongs, string(f.payload))
		case f.op == opPing:
			s.pong(f)
		default:
			return f, nil
		}
	}
}

// read returns the next frame, fragments put together.
func (s *socket) read() (frame, error) {
	f, err := s.readFrame()
	for err == nil && f.more {
		var rest frame
		if rest, err = s.readFrame(); err == nil && rest.op != opContinuation {
			err = fmt.Errorf("the relay sent opcode %d between fragments", rest.op)
		}
		f.payload, f.more = append(f.payload, rest.payload...), rest.more
	}
	if err == nil && f.rsv == 4 {
		err = s.inflate(&f)
	} else if err == nil && f.rsv != 0 {
		err = fmt.Errorf("the relay sent a frame with RSV bits %03b", f.rsv)
	}
	return f, err
}

func (s *socket) readFrame() (f frame, err error) {
	var head [8]byte
	if _, err := io.ReadFull(s.reader, head[:2]); err != nil {
		return f, err
	}
	f.op, f.rsv, f.more = head[0]&0xf, head[0]>>4&7, head[0]&0x80 == 0
	if head[1]&0x80 != 0 {
		return f, errors.New("the relay sent a masked frame")
	}
	size := uint64(head[1])
	switch size {
	case 126:
		_, err = io.ReadFull(s.reader, head[:2])
		size = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		_, err = io.ReadFull(s.reader, head[:8])
		size = binary.BigEndian.Uint64(head[:])
	}
	if err == nil && size > maxRead {
		err = fmt.Errorf("the relay announced a frame of %d bytes", size)
	}
	if err != nil {
		return f, err
	}
	f.payload = make([]byte, size)
	_, err = io.ReadFull(s.reader, f.payload)
	return f, err
}

// inflate undoes permessage-deflate, with context takeover.
func (s *socket) inflate(f *frame) error {
	// The tail that the sender leaves out, and an empty last block.
	whole := append(f.payload, 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff)
	plain, err := io.ReadAll(io.LimitReader(flate.NewReaderDict(bytes.NewReader(whole), s.window), maxRead))
	if err != nil {
		return fmt.Errorf("inflating what the relay sent: %w", err)
	}
	s.window = append(s.window, plain...)
	s.window = bytes.Clone(s.window[max(0, len(s.window)-32<<10):])
	f.payload, f.rsv = plain, 0
	return nil
}

// drop ends the connection without a goodbye; with reset, not even that of TCP.
func (s *socket) drop(reset bool) {
	raw := s.conn
	if secure, ok := raw.(*tls.Conn); ok {
		raw = secure.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = raw.Close()
}
