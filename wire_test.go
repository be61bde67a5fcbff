package relay_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/transport"
)

// What follows speaks to a client byte by byte, beneath HTTP and WebSocket.

func swallow(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// readRequest reads the upgrade request; nil if there was none.
func readRequest(conn net.Conn) *http.Request {
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return nil
	}
	return request
}

// upgrade101 is the answer that a request asks for.
func upgrade101(request *http.Request) string {
	sum := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
}

// upgraded answers the upgrade request as it should be, and more if there is.
func upgraded(conn net.Conn, more ...string) {
	if request := readRequest(conn); request != nil {
		_, _ = io.WriteString(conn, upgrade101(request)+strings.Join(more, ""))
	}
}

// text is a whole text frame of at most 125 bytes, fragment a part of one.
func text(s string) string { return "\x81" + string(rune(len(s))) + s }

func fragment(opcode byte, s string) string { return string([]byte{opcode, byte(len(s))}) + s }

// readFrame reads one small masked frame: the registration.
func readFrame(conn net.Conn) {
	header := make([]byte, 2)
	if _, err := io.ReadFull(conn, header); err != nil {
		return
	}
	size := int(header[1] & 0x7f)
	if size == 126 {
		_, _ = io.ReadFull(conn, header)
		size = int(header[0])<<8 | int(header[1])
	}
	_, _ = io.CopyN(io.Discard, conn, int64(size)+4) // and the mask
}

// wireRelay answers each connection on a loopback port with f, and then closes
// it, with a reset if f says so. The test ends when all calls of f have.
func wireRelay(t *testing.T, f func(net.Conn) (reset bool)) (url string, accepted *atomic.Int64) {
	t.Helper()
	accepted = new(atomic.Int64)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			serving.Go(func() {
				if f(conn) {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return "ws://" + listener.Addr().String(), accepted
}

// awaitAttempts waits until the client has begun n attempts to connect.
func awaitAttempts(t *testing.T, c *relay.Client, n int) {
	t.Helper()
	for event := range c.Events() {
		change, ok := event.(relay.StateChange)
		if ok && change.To == relay.Connecting {
			n--
		}
		if n == 0 {
			return
		}
	}
	t.Fatalf("it was not retried: %v", c.Err())
}

func TestTheEndOfTheConnectionAtEveryStageIsRetried(t *testing.T) {
	half := func(conn net.Conn) { readRequest(conn); _, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Pro") }
	stages := []struct {
		name string
		upTo func(net.Conn)
		step transport.Step
	}{
		{"at once", func(net.Conn) {}, transport.StepUpgrade},
		{"after the request", func(conn net.Conn) { readRequest(conn) }, transport.StepUpgrade},
		{"within the 101", half, transport.StepUpgrade},
		{"instead of HTTP", func(conn net.Conn) { readRequest(conn); _, _ = io.WriteString(conn, "220 mail.test ESMTP\r\n") }, transport.StepUpgrade},
		{"after garbage", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, "\x00\xff\x16\x03"+strings.Repeat("z", 1000))
		}, transport.StepUpgrade},
		{"after the 101", func(conn net.Conn) { upgraded(conn) }, registering},
		{"after the registration", func(conn net.Conn) { upgraded(conn); readFrame(conn) }, registering},
		{"within a frame's header", func(conn net.Conn) { upgraded(conn); readFrame(conn); _, _ = io.WriteString(conn, "\x81") }, registering},
		{"within the reply", func(conn net.Conn) {
			upgraded(conn)
			readFrame(conn)
			_, _ = io.WriteString(conn, text(okReply)[:20])
		}, registering},
		{"between fragments of the reply", func(conn net.Conn) {
			upgraded(conn)
			readFrame(conn)
			_, _ = io.WriteString(conn, fragment(0x01, okReply[:20]))
		}, registering},
	}
	for _, stage := range stages {
		for ending, reset := range map[string]bool{"FIN": false, "RST": true} {
			t.Run(ending+" "+stage.name, func(t *testing.T) {
				url, _ := wireRelay(t, func(conn net.Conn) bool { stage.upTo(conn); return reset })
				c, err := relay.New(url, relay.WithBackoff(time.Millisecond, time.Millisecond))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				err = c.TryConnect(t.Context())
				handshake, opening := errors.AsType[*transport.HandshakeError](err)
				_, registration := errors.AsType[*relay.RegistrationError](err)
				if stage.step == registering && !registration || stage.step != registering && !opening {
					t.Errorf("%v: not of the right type", err)
				}
				if opening && handshake.Step > stage.step { // a reset can come as early as in connect
					t.Errorf("%v: not the right step", err)
				}
				if err != nil && (strings.Contains(err.Error(), "ESMTP") || strings.Contains(err.Error(), "zzz")) {
					t.Errorf("%v repeats what the other side sent", err)
				}
				c.Inbox()
				awaitAttempts(t, c, 5)
			})
		}
	}
}

// Answers to the upgrade that are HTTP and no upgrade, and a reply to the
// registration before it was sent.
func TestOddAnswersToTheUpgrade(t *testing.T) {
	tests := []struct {
		name   string
		answer func(*http.Request) string
		works  bool
	}{
		{"a 101 with another key", func(r *http.Request) string {
			return strings.Replace(upgrade101(r), "Accept: ", "Accept: x", 1)
		}, false},
		{"a 101 to another protocol", func(r *http.Request) string {
			return strings.Replace(upgrade101(r), "websocket", "h2c", 1)
		}, false},
		{"an extension that was not offered", func(r *http.Request) string {
			return strings.Replace(upgrade101(r), "Upgrade: ", "Sec-WebSocket-Extensions: permessage-deflate\r\nUpgrade: ", 1)
		}, false},
		{"the reply in one segment with the 101", func(r *http.Request) string { return upgrade101(r) + text(okReply) }, true},
		{"a reply in fragments with a ping between", func(r *http.Request) string {
			return upgrade101(r) + fragment(0x01, okReply[:20]) + fragment(0x89, "ping") + fragment(0x00, "") +
				fragment(0x00, okReply[20:30]) + fragment(0x80, okReply[30:])
		}, true},
		{"an interim status", func(*http.Request) string {
			return "HTTP/1.1 103 Early Hints\r\n\r\n"
		}, false},
		{"a pong that nobody asked for", func(r *http.Request) string {
			return upgrade101(r) + fragment(0x8a, "pong") + text(okReply)
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			over := make(chan struct{})
			url, accepted := wireRelay(t, func(conn net.Conn) bool {
				if request := readRequest(conn); request != nil {
					_, _ = io.WriteString(conn, test.answer(request))
				}
				if test.works {
					<-over
				} else {
					swallow(conn)
				}
				return false
			})
			c, err := relay.New(url, relay.WithBackoff(time.Millisecond, time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			err = c.Connect(t.Context())
			if works := err == nil; works != test.works || accepted.Load() != 1 {
				t.Errorf("%v after %d attempts", err, accepted.Load())
			}
			close(over) // the end that says no goodbye takes no time
			_ = c.Close()
		})
	}
}

// Frames that break RFC 6455 before the registration was answered: a stream that
// is broken, not a relay that refuses.
func TestT34_BrokenFramesInsteadOfAReplyAreRetried(t *testing.T) {
	for name, frame := range map[string]string{
		"a masked frame":                "\x81\x81\x00\x00\x00\x00 ",
		"a reserved bit":                "\xc1\x01 ",
		"a reserved opcode":             "\x83\x01 ",
		"a continuation of nothing":     "\x80\x01 ",
		"a ping in fragments":           "\x09\x01 ",
		"a ping of 126 bytes":           "\x89\x7e\x00\x7e" + strings.Repeat("x", 126),
		"a close frame of one byte":     "\x88\x01\x03",
		"a close frame with code 1016":  "\x88\x02\x03\xf8",
		"a close frame with code 999":   "\x88\x02\x03\xe7",
		"a close reason that is no UTF": "\x88\x03\x03\xe8\xff",
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := wireRelay(t, func(conn net.Conn) bool {
				upgraded(conn, frame)
				swallow(conn)
				return false
			})
			c, err := relay.New(url, relay.WithBackoff(time.Millisecond, time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.TryConnect(t.Context()); !is[*relay.RegistrationError](err) {
				t.Errorf("%v is no *RegistrationError", err)
			}
			c.Inbox()
			awaitAttempts(t, c, 3)
			_ = c.Close()
		})
	}
}
