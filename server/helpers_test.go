package server

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

var (
	alice = uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000001")
	bob   = uuid.MustParse("bbbbbbbb-0000-4000-8000-000000000002")
	carol = uuid.MustParse("cccccccc-0000-4000-8000-000000000003")
	dave  = uuid.MustParse("dddddddd-0000-4000-8000-000000000004")
)

// patience bounds what happens soon, even on a busy machine.
const patience = time.Minute

// newServer returns a server that is shut down, and found empty, at the end, and
// of which no goroutine and no file is left.
func newServer(t *testing.T, opts ...Option) *Server {
	t.Helper()
	leavesNothing(t)
	s, err := New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error("Shutdown:", err)
		}
		if st := s.Stats(); st.Connections != 0 || st.Clients != 0 || st.QueuedBytes != 0 {
			t.Errorf("left over after Shutdown: %d connections, %d clients, %d bytes", st.Connections, st.Clients, st.QueuedBytes)
		}
	})
	return s
}

// leavesNothing fails the test when at its end there are more goroutines or open
// files than now.
func leavesNothing(t *testing.T) {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), openFiles()
	t.Cleanup(func() {
		eventually(t, "all goroutines and files are gone", func() bool { return runtime.NumGoroutine() <= goroutines && openFiles() <= files })
	})
}

// openFiles is 0 where nobody can tell.
func openFiles() int {
	names, _ := os.ReadDir("/proc/self/fd")
	return len(names)
}

// listen serves s on a loopback socket and returns its URL.
func listen(t *testing.T, s *Server) string {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return "ws" + strings.TrimPrefix(h.URL, "http")
}

// A peer is a client that does nothing by itself.
type peer struct {
	t *testing.T
	transport.Conn
}

// dial connects over a socket.
func dial(t *testing.T, url string) peer {
	t.Helper()
	ws, err := new(transport.Dialer).Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	bound := time.AfterFunc(patience, func() { ws.Abort() })
	t.Cleanup(func() { bound.Stop(); ws.Abort() })
	return peer{t, ws}
}

// join connects in memory.
func join(t *testing.T, s *Server) peer {
	t.Helper()
	client, server := transport.Pipe()
	go s.ServeConn(context.Background(), server) // until Shutdown
	t.Cleanup(func() { client.Abort() })
	return peer{t, client}
}

// wakes returns a channel that receives when a ping or a pong waits for Flush.
func wakes(c transport.Conn) <-chan struct{} {
	wake := make(chan struct{}, 1)
	c.OnWake(func() { notify(wake) })
	return wake
}

func (p peer) write(frame string) {
	p.t.Helper()
	if err := errors.Join(p.WriteFrame([]byte(frame)), p.Flush()); err != nil {
		p.t.Fatal(err)
	}
}

func (p peer) read() string {
	p.t.Helper()
	frame, _, err := p.ReadFrame()
	if err != nil {
		p.t.Fatal(err)
	}
	return string(frame)
}

func (p peer) register(ids ...uuid.UUID) peer {
	p.t.Helper()
	for _, id := range ids {
		p.write(encode(codec.Registration{Name: "test", UUID: id}))
		if got := p.read(); got != registered {
			p.t.Fatalf("answer to a registration: %s", got)
		}
	}
	return p
}

const registered = `{"success": true, "message": null, "error": false, "message_type": "relay_response"}`

func (p peer) send(from, to uuid.UUID, text string) {
	p.t.Helper()
	p.write(message(from, to, text))
}

func (p peer) receive() codec.PeerConnection {
	p.t.Helper()
	m, err := codec.DecodePeerConnection([]byte(p.read()))
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// expectClose reads up to the end, which must be a close frame.
func (p peer) expectClose(code int, reason string) {
	p.t.Helper()
	for {
		_, _, err := p.ReadFrame()
		var bye *transport.CloseError
		switch {
		case err == nil:
		case !errors.As(err, &bye):
			p.t.Fatalf("ended with %v, want close code %d", err, code)
		case bye.Code != code || bye.Reason != reason:
			p.t.Fatalf("closed with %d %q, want %d %q", bye.Code, bye.Reason, code, reason)
		default:
			p.Close(1000, "")
			return
		}
	}
}

func encode(m codec.RelayMessage) string {
	frame, err := m.Append(nil)
	if err != nil {
		panic(err)
	}
	return string(frame)
}

func message(from, to uuid.UUID, text string) string {
	return encode(codec.PeerConnection{
		SourceUUID: from, SourceName: "test", PeerUUID: to, DescriptionType: codec.Offer, Description: text,
	})
}

// eventually waits until ok. There is nothing to be told by.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}
