package interop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
)

func TestRelayClient_RelayRegistrationError(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		script    func(*websocket.Conn)
		code      int
		says      string // what the error's text must hold
		permanent bool
	}{
		{"closed as unauthorized", closes(4001, "UnauthorizedError: no token"), 4001, "UnauthorizedError: no token", true},
		{"closed as forbidden", closes(4002, "ForbiddenError: not you"), 4002, "ForbiddenError: not you", true},
		{"closed as taken over", closes(4004, takenOver), 4004, takenOver, true},
		{"closed with an internal error", closes(1011, "oops"), 1011, "oops", false},
		{"closed as going away", closes(1001, ""), 1001, "", false},
		{"closed as a bad message", closes(4000, "Unknown message type."), 4000, "Unknown message type.", false},
		{"cut", func(*websocket.Conn) {}, 0, "", false},
		{"an error reply", says(`{"success": false, "message": "SomeError: why", "error": true, "message_type": "relay_response"}`), 0, "SomeError: why", true},
		{"no JSON", says("hello"), 0, "", true},
		{"an unknown type", says(`{"message_type": "hello"}`), 0, "", true},
		{"an unknown key", says(`{"message_type": "relay_response", "extra": 1}`), 0, "", true},
		{"a message of another type", says(goldenFrames[3]), 0, "", true},
		{"no object", says("[]"), 0, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, scriptedRelay(t, test.script))
			err := c.TryConnect(soon(t))
			refusal, ok := errors.AsType[*relay.RegistrationError](err)
			if !ok || refusal.Code != test.code || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("TryConnect: %v, want a RegistrationError with code %d that says %q", err, test.code, test.says)
			}
			if test.permanent {
				<-c.Done()
				if _, ok := errors.AsType[*relay.RegistrationError](c.Err()); !ok {
					t.Errorf("ended with %v, want the RegistrationError", c.Err())
				}
			} else if c.State() == relay.Closed {
				t.Errorf("has ended: %v", c.Err())
			}
		})
	}
	onEachRelay(t, func(t *testing.T, r testRelay) {
		old := newClient(t, r.URL())
		connect(t, old)
		connect(t, newClient(t, r.URL(), relay.WithUUID(old.UUID())))
		<-old.Done()
		for what, err := range map[string]error{"Connect": old.Connect(soon(t)), "Send": old.Send(soon(t), offer(old.UUID(), "")), "Err": old.Err()} {
			if refusal, ok := errors.AsType[*relay.RegistrationError](err); !ok || refusal.Code != 4004 || refusal.Reason != takenOver {
				t.Errorf("taken over: %s: %v, want a RegistrationError with 4004", what, err)
			}
		}
	})
}

func TestRelayClient_connect(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		r.Stop(t)
		c := newClient(t, r.URL(), peerConfig{}.options()...)
		if err := c.TryConnect(soon(t)); err == nil {
			t.Error("retry=False: connected to a relay that is down")
		}
		connected := make(chan error, 1)
		go func() { connected <- c.Connect(soon(t)) }() // received from below
		eventually(t, patience, "retry=True: waits", func() bool { return c.State() == relay.Backoff })
		r.Start(t)
		if err := <-connected; err != nil {
			t.Errorf("retry=True: %v", err)
		}
		// A no-op when connected.
		for _, connect := range []func(context.Context) error{c.Connect, c.TryConnect} {
			if err := connect(soon(t)); err != nil || c.Stats().Connects != 1 {
				t.Errorf("again: %v after %d connects, want no more than the first", err, c.Stats().Connects)
			}
		}
	})
}

func TestRelayClient_is_connected_by_await_and_async_with(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		c, err := relay.Dial(soon(t), r.URL()) // await RelayClient(...)
		if err != nil || c.State() != relay.Connected {
			t.Fatalf("Dial: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}

		c = newClient(t, r.URL()) // async with RelayClient(...)
		ctx, leave := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.Run(ctx) }() // received from below
		eventually(t, patience, "Run connects", func() bool { return c.State() == relay.Connected })
		leave()
		if err := <-ran; err != nil || c.State() != relay.Closed {
			t.Errorf("Run: %v, and the client is %v", err, c.State())
		}
	})
}

func TestRelayClient_close(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		c, other := newClient(t, r.URL()), newClient(t, r.URL())
		connect(t, c, other)
		send(t, c, other.UUID(), "the last words")
		for range 2 {
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if m := receive(t, other); m.Description != "the last words" {
			t.Errorf("received %+v", m)
		}
		untilUnregistered(t, other, c.UUID())
		if err := c.Send(soon(t), offer(other.UUID(), "")); !errors.Is(err, relay.ErrClosed) {
			t.Errorf("Send after Close: %v, want ErrClosed", err)
		}
		if _, err := c.Recv(soon(t)); !errors.Is(err, relay.ErrClosed) {
			t.Errorf("Recv after Close: %v, want ErrClosed", err)
		}
		if err := c.Connect(soon(t)); !errors.Is(err, relay.ErrClosed) {
			t.Errorf("Connect after Close: %v, want ErrClosed", err)
		}
	})
	t.Run("before any use", func(t *testing.T) {
		if err := newClient(t, "ws://127.0.0.1:1").Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRelayClient_recv(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		ours, sender := newClient(t, r.URL()), newClient(t, r.URL())
		received := make(chan relay.Message, 1)
		go func() { // received from below
			m, _ := ours.Recv(soon(t)) // connects
			received <- m
		}()
		eventually(t, patience, "Recv connects", func() bool { return ours.State() == relay.Connected })
		send(t, sender, ours.UUID(), "hello")
		if m := <-received; m.Description != "hello" || m.SourceUUID != sender.UUID() {
			t.Errorf("received %+v", m)
		}
	})
}

func TestRelayClient_RelayMessageDecodeError(t *testing.T) {
	t.Parallel()
	for _, frame := range []string{"no JSON", `{"message_type": "unknown"}`, strings.Replace(goldenFrames[3], "{", `{"extra": 1, `, 1), strings.Replace(goldenFrames[3], "aaaa", "no", 1)} {
		url := scriptedRelay(t, func(c *websocket.Conn) {
			c.WriteMessage(websocket.TextMessage, []byte(success))
			c.WriteMessage(websocket.TextMessage, []byte(frame))
			c.WriteMessage(websocket.TextMessage, []byte(goldenFrames[3]))
			waitForEnd(c)
		})
		real := startPythonPeer(t, url, peerConfig{})
		_, err := real.Recv(soon(t))
		if exception, _ := errors.AsType[*pythonError](err); exception == nil || exception.Class != "RelayMessageDecodeError" {
			t.Errorf("%s: the real recv: %v", frame, err)
		}

		// With ours the error may overtake the message.
		ours := newClient(t, url)
		var malformed, messages int
		for range 2 {
			_, err := ours.Recv(soon(t))
			if _, ok := errors.AsType[*codec.DecodeError](err); ok {
				malformed++
			} else if err == nil {
				messages++
			}
		}
		if malformed != 1 || messages != 1 {
			t.Errorf("%s: Recv gave %d decode errors and %d messages, want one of each", frame, malformed, messages)
		}
		if m := receive(t, real); m.SourceName != "alice" {
			t.Errorf("%s: then the real recv gave %+v", frame, m)
		}
		if s := ours.Stats(); s.Malformed != 1 || s.Connects != 1 {
			t.Errorf("%s: %d malformed frames over %d connections, want one and one", frame, s.Malformed, s.Connects)
		}
	}
}

func TestRelayClient_send(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		receiver, sender := newClient(t, r.URL()), newClient(t, r.URL())
		connect(t, receiver)
		if sender.State() != relay.Idle {
			t.Errorf("before the first send: %v", sender.State())
		}
		for i := range 100 {
			send(t, sender, receiver.UUID(), fmt.Sprint(i)) // connects
		}
		for i := range 100 {
			if m := receive(t, receiver); m.Description != fmt.Sprint(i) || m.SourceUUID != sender.UUID() {
				t.Fatalf("received %+v, want number %d", m, i)
			}
		}
	})
}

func TestRelayClient_send_while_the_relay_is_down_waits_for_it(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		c := newClient(t, r.URL(), peerConfig{}.options()...)
		connect(t, c)
		r.Stop(t)
		short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		eventually(t, patience, "the loss is noticed", func() bool { return c.State() != relay.Connected })
		if err := c.Send(short, offer(c.UUID(), "too early")); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, relay.ErrNotConnected) {
			t.Errorf("Send: %v, want the context's error and ErrNotConnected", err)
		}
		sent := make(chan error, 1)
		go func() { sent <- c.Send(soon(t), offer(c.UUID(), "patient")) }() // received from below
		r.Start(t)
		if err := <-sent; err != nil {
			t.Errorf("Send: %v", err)
		}
		if m := receive(t, c); m.Description != "patient" {
			t.Errorf("received %+v, want what was not taken back", m)
		}
	})
}
