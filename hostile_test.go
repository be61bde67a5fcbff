package relay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// message is a good message to anybody with a description.
func message(description string) string {
	text, _ := json.Marshal(description)
	return `{"source_uuid": "aaaaaaaa-0000-4000-8000-000000000001", "source_name": "a", "peer_uuid": "bbbbbbbb-0000-4000-8000-000000000002",` +
		` "description_type": "offer", "description": ` + string(text) + `, "error": null, "message_type": "peer_connection"}`
}

func TestT37_AFrameThatIsNoMessageHarmsNothing(t *testing.T) {
	tests := []struct {
		name, frame string
		is          error
	}{
		{"malformed JSON", `{"source_uuid": `, codec.ErrSyntax},
		{"an empty frame", ``, codec.ErrSyntax},
		{"white space", ` `, codec.ErrSyntax},
		{"two messages in one frame", message("1") + message("2"), codec.ErrSyntax},
		{"deep nesting", strings.Repeat("[", 100_000), codec.ErrSyntax},
		{"a list", `[]`, codec.ErrNotObject},
		{"a number", `1`, codec.ErrNotObject},
		{"null", `null`, codec.ErrNotObject},
		{"no type", `{}`, codec.ErrMissingField},
		{"an unknown type", `{"message_type": "news"}`, codec.ErrUnknownType},
		{"a stray reply", okReply, codec.ErrUnexpectedType},
		{"a registration", `{"name": "a", "uuid": "aaaaaaaa-0000-4000-8000-000000000001", "message_type": "relay_registration"}`, codec.ErrUnexpectedType},
		{"an extra key", strings.Replace(message("x"), `"error"`, `"extra": 1, "error"`, 1), codec.ErrUnknownField},
		{"a UUID that is none", strings.Replace(message("x"), "aaaaaaaa", "zzzzzzzz", 1), codec.ErrUUID},
		{"no description", strings.Replace(message("x"), `"description": "x", `, "", 1), codec.ErrMissingField},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := relaytest.NewInMemory(t)
				r.Script(func(conn transport.Conn) {
					answer(conn, okReply)
					time.Sleep(time.Second)
					tell(conn, test.frame)
					time.Sleep(time.Second)
					tell(conn, message("after it"))
					alive(conn)
				})
				c := r.Client("a")
				told := watching(c)
				_, err := c.Recv(t.Context())
				decode, ok := errors.AsType[*codec.DecodeError](err)
				if !ok || !errors.Is(err, test.is) {
					t.Errorf("%v, want a *codec.DecodeError that is %v", err, test.is)
				}
				if len(err.Error()) > 300 {
					t.Errorf("an error of %d bytes", len(err.Error()))
				}
				if m, err := c.Recv(t.Context()); err != nil || m.Description != "after it" {
					t.Errorf("%q, %v; want the message behind it", m.Description, err)
				}
				synctest.Wait()
				events := of[relay.Malformed](told)
				if len(events) != 1 || events[0].Err != error(decode) {
					t.Errorf("events %v", events)
				}
				if stats := c.Stats(); stats.Malformed != 1 || stats.Received != 1 || stats.Connects != 1 {
					t.Errorf("stats %+v", stats)
				}
			})
		})
	}
}

// A flood of nonsense costs a bounded memory, and loses no message.
func TestT37_AFloodOfNonsenseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		r.Script(func(conn transport.Conn) {
			answer(conn, okReply)
			for range 1000 {
				tell(conn, `[]`)
			}
			tell(conn, message("at last"))
			alive(conn)
		})
		c := r.Client("a")
		connect(t, c)
		synctest.Wait()
		nonsense := 0
		for {
			m, err := c.Recv(t.Context())
			if err == nil {
				if m.Description != "at last" {
					t.Error(m)
				}
				break
			}
			nonsense++
		}
		if nonsense > 100 || c.Stats().Malformed != 1000 || c.Stats().Connects != 1 {
			t.Errorf("%d errors kept, stats %+v", nonsense, c.Stats())
		}
	})
}

// What breaks the WebSocket itself costs the connection, and no more.
func TestT35_AFrameThatBreaksTheConnectionIsSurvived(t *testing.T) {
	tests := []struct {
		name, frame string
		code        int // with which the client closes
		is          error
	}{
		{"invalid UTF-8", "{\"description\": \"\xff\"}", 1007, codec.ErrInvalidUTF8},
		{"over the read limit", message(strings.Repeat("x", 1<<20+1<<17)), 1009, transport.ErrFrameTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := relaytest.NewInMemory(t)
				var closed atomic.Int64
				var attempts clock
				r.Script(func(conn transport.Conn) {
					attempts.tick()
					if len(attempts.ticks()) > 1 {
						answer(conn, okReply, message("back"))
						alive(conn)
						return
					}
					answer(conn, okReply)
					tell(conn, test.frame)
					_, _, err := conn.ReadFrame()
					if goodbye, ok := errors.AsType[*transport.CloseError](err); ok {
						closed.Store(int64(goodbye.Code))
					}
				})
				c := r.Client("a")
				told := watching(c)
				if m, err := c.Recv(t.Context()); err != nil || m.Description != "back" {
					t.Fatalf("%q, %v", m.Description, err)
				}
				if n := closed.Load(); n != int64(test.code) {
					t.Errorf("the relay was closed with %d, want %d", n, test.code)
				}
				var why error
				for _, change := range of[relay.StateChange](told) {
					if change.To == relay.Backoff {
						why = change.Err
					}
				}
				if !errors.Is(why, test.is) {
					t.Errorf("the event says %v, want %v", why, test.is)
				}
			})
		})
	}
}

func TestAMessageOfOneMebibyteArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		size := 1<<20 - len(message(""))
		r.Script(func(conn transport.Conn) {
			frame := message(strings.Repeat("x", size))
			if len(frame) != 1<<20 {
				t.Errorf("a frame of %d bytes", len(frame))
			}
			answer(conn, okReply, frame)
			alive(conn)
		})
		c := r.Client("a")
		if m, err := c.Recv(t.Context()); err != nil || len(m.Description) != size {
			t.Errorf("%d bytes, %v", len(m.Description), err)
		}
	})
}

func TestAFloodOfPingsDoesNotStopAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		r.Script(func(conn transport.Conn) {
			answer(conn, okReply)
			for i := range 10_000 {
				conn.Ping()
				if i%100 == 0 {
					tell(conn, message(fmt.Sprint(i)))
				}
				if conn.Flush() != nil {
					return
				}
			}
			alive(conn)
		})
		c := r.Client("a")
		equal(t, "messages among the pings", receive(t, c, 100)[:3], []string{"0", "100", "200"})
		if err := c.Send(t.Context(), relay.Message{PeerUUID: c.UUID()}); err != nil {
			t.Error(err)
		}
		if n := c.Stats().Connects; n != 1 {
			t.Errorf("%d connects", n)
		}
	})
}

// The relay breaks the protocol, and neither hears a goodbye nor closes: what
// went wrong is told, not that the client has closed the connection for it.
func TestWhatBrokeTheConnectionIsToldAlsoIfTheRelayStays(t *testing.T) {
	for name, frame := range map[string]string{
		"a reserved opcode":       "\x83\x01 ",
		"a length in many bytes":  "\x81\x7e\x00\x01 ",
		"a message over all size": "\x81\x7f\x00\x00\x00\x00\x7f\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := relay.New("ws://relay.test", piped(func(conn net.Conn) {
					registers(conn)
					_, _ = io.WriteString(conn, frame)
					swallow(conn)
				}))
				if err != nil {
					t.Fatal(err)
				}
				connect(t, c)
				change := firstBackoff(t, c)
				if !errors.Is(change.Err, transport.ErrProtocol) && !errors.Is(change.Err, transport.ErrFrameTooLarge) {
					t.Errorf("%v: want what was wrong with the frame", change)
				}
				_ = c.Close()
			})
		})
	}
}
