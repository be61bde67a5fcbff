package relaytest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// dialled opens a raw connection to a relay in memory.
func dialled(t *testing.T, r *relaytest.Relay) net.Conn {
	t.Helper()
	conn, err := r.DialContext(t.Context(), "tcp", "anything")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func bubble(t *testing.T, test func(t *testing.T, r *relaytest.Relay)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, relaytest.NewInMemory(t)) })
}

func TestDeadlinesOfAConnectionInMemory(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		r.Freeze()
		conn := dialled(t, r)
		one := make([]byte, 1)
		start := time.Now()
		_ = conn.SetReadDeadline(start.Add(time.Minute))
		if _, err := conn.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("a Read after %v: %v", time.Since(start), err)
		}
		if _, err := conn.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the next Read:", err)
		}
		// A deadline can be moved while a Read waits for it, and before it has passed.
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		go func() {
			time.Sleep(59 * time.Second)
			_ = conn.SetReadDeadline(time.Now().Add(time.Hour))
		}()
		start = time.Now()
		if _, err := conn.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Hour+59*time.Second {
			t.Errorf("a Read whose deadline was moved, after %v: %v", time.Since(start), err)
		}
		// One in the past ends a call at once; the other direction goes on.
		_ = conn.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			_ = conn.SetReadDeadline(time.Now().Add(-time.Second))
		}()
		if _, err := conn.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		if _, err := conn.Write(one); err != nil {
			t.Error(err)
		}
		// A full connection makes Write wait, and says how much it took.
		_ = conn.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := conn.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n >= 1<<20 {
			t.Errorf("wrote %d: %v", n, err)
		}
		_ = conn.Close()
		if _, err := conn.Read(one); !errors.Is(err, net.ErrClosed) {
			t.Error("a Read after Close:", err)
		}
		if _, err := conn.Write(one); !errors.Is(err, net.ErrClosed) {
			t.Error("a Write after Close:", err)
		}
	})
}

func TestACutIsAReset(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		conn := dialled(t, r)
		go func() { time.Sleep(time.Second); r.Cut() }()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		if _, err := conn.Write(make([]byte, 1)); !errors.Is(err, syscall.EPIPE) {
			t.Error(err)
		}
	})
}

// talk runs a script on the relay's side of one client's connection, after the
// registration.
func talk(r *relaytest.Relay, script func(conn transport.Conn)) {
	r.Script(func(conn transport.Conn) {
		if _, _, err := conn.ReadFrame(); err != nil {
			return
		}
		_ = conn.WriteFrame([]byte(`{"message_type": "relay_response"}`))
		_ = conn.Flush()
		script(conn)
	})
}

func TestScript(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		var mu sync.Mutex
		var frames []string
		talk(r, func(conn transport.Conn) {
			for {
				frame, _, err := conn.ReadFrame()
				if err != nil {
					return
				}
				mu.Lock()
				frames = append(frames, string(frame))
				mu.Unlock()
			}
		})
		c := r.Client("c")
		if err := c.Send(t.Context(), relay.Message{PeerUUID: c.UUID(), Description: "d"}); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		synctest.Wait()
		if len(frames) == 0 || !bytes.Contains([]byte(frames[0]), []byte(`"description": "d"`)) {
			t.Errorf("%q", frames)
		}
	})
}

func TestAScriptThatReturnsEndsTheConnection(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		var calls atomic.Int64
		talk(r, func(transport.Conn) { calls.Add(1) })
		c := r.Client("c", relay.WithBackoff(time.Second, time.Second))
		_ = c.Inbox()
		time.Sleep(time.Minute)
		if n := calls.Load(); n < 50 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestFreezeKeepsWhatIsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		a, b := r.Client("a"), r.Client("b")
		if err := errors.Join(a.Connect(t.Context()), b.Connect(t.Context())); err != nil {
			t.Fatal(err)
		}
		thaw := r.Freeze()
		if err := a.Send(t.Context(), relay.Message{PeerUUID: b.UUID(), Description: "d"}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if m, err := b.Recv(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("something got through:", m, err)
		}
		if a.State() != relay.Connected || b.State() != relay.Connected {
			t.Error("somebody was told")
		}
		thaw()
		thaw()
		if m, err := b.Recv(t.Context()); err != nil || m.Description != "d" {
			t.Error(m, err)
		}
		if a.Stats().Connects != 1 || b.Stats().Connects != 1 {
			t.Error("reconnected")
		}
	})
}

// Whatever was done to a relay, it can be stopped: a test must be able to end.
func TestAFrozenRelayStops(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		c := r.Client("c")
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		thaw := r.Freeze()
		start := time.Now()
		r.Stop()
		r.Stop()
		if d := time.Since(start); d > 0 {
			t.Errorf("Stop took %v", d)
		}
		thaw()
		r.Start()
		r.Start()
		time.Sleep(time.Minute)
		if c.State() != relay.Connected {
			t.Error(c.State())
		}
	})
}

func TestARestartIsOnTheSamePort(t *testing.T) {
	r := relaytest.New(t)
	c := r.Client("c", relay.WithBackoff(time.Millisecond, 10*time.Millisecond))
	for range 5 {
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(t.Context()); err != nil && !errors.Is(err, relay.ErrInDoubt) {
			t.Fatal(err)
		}
		r.Stop()
		r.Start()
	}
	if r.Server() == nil {
		t.Error("no server")
	}
	r.Stop()
	if r.Server() != nil {
		t.Error("a server, while stopped")
	}
}

func TestRefuseAndReject(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		old, c := r.Client("old"), r.Client("c")
		if err := old.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		restore := r.Refuse()
		if err := c.TryConnect(t.Context()); err == nil {
			t.Error("connected")
		}
		if old.State() != relay.Connected {
			t.Error("an open connection was touched")
		}
		restore()
		if err := c.TryConnect(t.Context()); err != nil {
			t.Error(err)
		}
		restore = r.Reject(4002, "no")
		rejected := r.Client("rejected")
		refused, ok := errors.AsType[*relay.RegistrationError](rejected.Connect(t.Context()))
		if !ok || refused.Code != 4002 || refused.Reason != "no" {
			t.Error(refused)
		}
		restore()
	})
}

func TestShutdownSaysGoodbye(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		c := r.Client("c")
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for e := range c.Events() {
			if change, ok := e.(relay.StateChange); ok && change.From == relay.Connected {
				if closed, ok := errors.AsType[*transport.CloseError](change.Err); !ok || closed.Code != 1001 {
					t.Error(change)
				}
				return
			}
		}
	})
}

// A relay can be stopped and started by many at a time.
func TestConcurrentUse(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		c := r.Client("c", relay.WithBackoff(time.Millisecond, time.Millisecond))
		_ = c.Inbox()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for range 20 {
					r.Stop()
					r.Start()
					thaw := r.Freeze()
					time.Sleep(time.Millisecond)
					r.Cut()
					thaw()
					_ = r.Server()
				}
			})
		}
		all.Wait()
		r.Start()
		time.Sleep(time.Minute)
		if c.State() != relay.Connected {
			t.Error(c.State())
		}
	})
}

func TestACloseIsTheEndOfAStream(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		conn := dialled(t, r)
		_, _ = conn.Write([]byte("nonsense\r\n\r\n"))
		answer, err := io.ReadAll(conn)
		if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400")) {
			t.Errorf("%q, %v", answer, err)
		}
	})
}
