package relay_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// TestMain fails a run that leaves goroutines of this module behind. Bubbles
// look after themselves; this is for the tests on sockets.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leftover(5 * time.Second); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leftover returns the stacks of the module's goroutines that are still there
// after a while, but for the one that runs the tests.
func leftover(patience time.Duration) string {
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		var profile bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&profile, 2)
		var left []string
		for stack := range strings.SplitSeq(profile.String(), "\n\n") {
			if strings.Contains(stack, "seed73300619/relay") && !strings.Contains(stack, "relay_test.TestMain") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return strings.Join(left, "\n\n")
		}
	}
}

// leavesNothing fails a test, at its very end, if there are more goroutines or
// open files then than there are now. Call it first.
func leavesNothing(t *testing.T) {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), openFiles()
	t.Cleanup(func() {
		for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
			g, f := runtime.NumGoroutine(), openFiles()
			if g <= goroutines && f <= files {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("%d goroutines and %d open files, %d and %d before the test; left:\n%s", g, f, goroutines, files, leftover(0))
				return
			}
		}
	})
}

// openFiles counts the process's open files; 0 where that cannot be known.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// bubble runs a test in a bubble, with a relay in memory.
func bubble(t *testing.T, test func(t *testing.T, r *relaytest.Relay)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, relaytest.NewInMemory(t)) })
}

// nobody is a peer of whom only the tape relay knows.
var nobody = uuid.MustParse("00000000-0000-4000-8000-00000000beef")

// tape is a relay that keeps what it handles, whatever becomes of the
// connections: what it has recorded is what a peer would have got. Like any
// relay it handles the messages of a connection in order and delivers those
// that a client addresses to itself.
type tape struct {
	mu       sync.Mutex
	messages []relay.Message
	owners   map[uuid.UUID]transport.Conn

	echoes  bool                                       // sends back what it has handled, from the peer to whom it was addressed
	deaf    bool                                       // answers pings, handles nothing
	react   func(transport.Conn, relay.Message) bool   // if set, and false: the message is not handled
	handled func(conn transport.Conn, m relay.Message) // if set, called after a message was recorded
}

func (p *tape) serve(conn transport.Conn) {
	defer func() { _ = conn.Close(1000, "") }() // waits for a Close that somebody else has begun
	frame, _, err := conn.ReadFrame()
	if err != nil {
		return
	}
	message, _ := codec.Decode(frame)
	registration, ok := message.(codec.Registration)
	if !ok {
		return
	}
	p.mu.Lock()
	if p.owners == nil {
		p.owners = make(map[uuid.UUID]transport.Conn)
	}
	if old := p.owners[registration.UUID]; old != nil {
		_ = old.Abort()
	}
	p.owners[registration.UUID] = conn
	p.mu.Unlock()

	out, done := make(chan []byte), make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { pump(conn, out, done) })
	defer writer.Wait()
	defer close(done)
	reply, _ := codec.Response{Success: true}.Append(nil)
	out <- reply
	for {
		frame, _, err := conn.ReadFrame()
		if err != nil {
			return
		}
		m, err := codec.DecodePeerConnection(frame)
		if err != nil {
			return
		}
		if m.PeerUUID == registration.UUID {
			if !p.isDeaf() {
				out <- slices.Clone(frame)
			}
			continue
		}
		if !p.record(conn, registration.UUID, m) {
			return
		}
		if p.echoes {
			echo, _ := relay.Message{SourceUUID: m.PeerUUID, PeerUUID: m.SourceUUID, DescriptionType: relay.Answer, Description: m.Description}.Append(nil)
			out <- echo
		}
	}
}

// pump writes frames, and the pongs that are due, until done. A failed
// connection is found by the reader.
func pump(conn transport.Conn, out <-chan []byte, done <-chan struct{}) {
	wake := make(chan struct{}, 1)
	conn.OnWake(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	for {
		select {
		case frame := <-out:
			_ = conn.WriteFrame(frame)
		case <-wake:
		case <-done:
			return
		}
		_ = conn.Flush()
	}
}

func (p *tape) isDeaf() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deaf
}

func (p *tape) setDeaf(deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = deaf
}

// record handles a message; false: the connection is to end.
func (p *tape) record(conn transport.Conn, owner uuid.UUID, m relay.Message) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owners[owner] != conn {
		return false
	}
	if p.deaf {
		return true
	}
	if p.react != nil && !p.react(conn, m) {
		return true
	}
	p.messages = append(p.messages, m)
	if p.handled != nil {
		p.handled(conn, m)
	}
	return true
}

// texts returns the descriptions of what was handled.
func (p *tape) texts() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return texts(p.messages)
}

func texts(messages []relay.Message) []string {
	s := make([]string, len(messages))
	for i, m := range messages {
		s[i] = m.Description
	}
	return s
}

// to makes a message.
func to(peer uuid.UUID, text string) relay.Message {
	return relay.Message{PeerUUID: peer, Description: text}
}

// numbers makes the texts of messages from to to, the last one excluded.
func numbers(from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

// watch reads a client's events until they end.
type watch struct {
	mu     sync.Mutex
	events []relay.Event
	done   chan struct{}
}

func watching(c *relay.Client) *watch {
	w := &watch{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for e := range c.Events() {
			w.mu.Lock()
			w.events = append(w.events, e)
			w.mu.Unlock()
		}
	}()
	return w
}

func (w *watch) all() []relay.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

// of returns the events of one type.
func of[E relay.Event](w *watch) []E {
	var some []E
	for _, e := range w.all() {
		if e, ok := e.(E); ok {
			some = append(some, e)
		}
	}
	return some
}

// doubts returns the texts of all messages reported in doubt.
func (w *watch) doubts() []string {
	var s []string
	for _, e := range of[relay.InDoubt](w) {
		s = append(s, texts(e.Messages)...)
	}
	return s
}

// unsent returns what Close gave back, and fails for any other error.
func unsent(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	rest, ok := errors.AsType[*relay.UnsentError](err)
	if !ok {
		t.Fatalf("Close: %v", err)
	}
	if len(rest.Messages) == 0 || rest.Err == nil {
		t.Errorf("an UnsentError without messages or a reason: %+v", rest)
	}
	return texts(rest.Messages)
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %s, want %s", what, brief(got), brief(want))
	}
}

func brief(s []string) string {
	if len(s) > 40 {
		return fmt.Sprintf("%q … %q (%d)", s[:10], s[len(s)-10:], len(s))
	}
	return fmt.Sprintf("%q (%d)", s, len(s))
}

// connect connects a client or ends the test.
func connect(t *testing.T, c *relay.Client) {
	t.Helper()
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// receive takes n messages and returns their texts.
func receive(t *testing.T, c *relay.Client, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for range n {
		m, err := c.Recv(ctx)
		if err != nil {
			t.Fatalf("after %d of %d messages: %v", len(got), n, err)
		}
		got = append(got, m.Description)
	}
	return got
}

// takes how long f takes, in the bubble's time.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// trickle is a relay that registers, answers nothing else, and sends one frame
// of less than 64 KiB in small pieces.
func trickle(frame []byte, pause time.Duration, size int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		key := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(key[:]))
		reply := `{"success": true, "message_type": "relay_response"}`
		_, _ = rw.Write(append([]byte{0x81, byte(len(reply))}, reply...))
		_, _ = rw.Write(binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(len(frame))))
		_ = rw.Flush()
		for piece := range slices.Chunk(frame, size) {
			time.Sleep(pause)
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, conn)
	})
}
