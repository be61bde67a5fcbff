package relay_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// encoded returns the size of a message as c would send it.
func encoded(t *testing.T, c *relay.Client, m relay.Message) int {
	t.Helper()
	m.SourceUUID, m.SourceName, m.DescriptionType = c.UUID(), c.Name(), relay.Offer
	frame, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return len(frame)
}

// The limit is exact, and counts what goes over the wire.
func TestT20_OverTheLimitIsRefused(t *testing.T) {
	for _, test := range []struct {
		name, unit string
		width      int // of the unit, encoded
	}{
		{"ASCII", "x", 1},
		{"a surrogate pair", "😀", 12},
		{"a quote", `"`, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				reader, c := r.Client("reader", relay.WithUUID(nobody)), r.Client("sender")
				w := watching(c)
				connect(t, reader)
				room := 1<<20 - encoded(t, c, to(nobody, ""))
				fits := strings.Repeat(test.unit, room/test.width) + strings.Repeat("y", room%test.width)
				over := fits + "z"
				if n := encoded(t, c, to(nobody, fits)); n != 1<<20 {
					t.Fatal(n)
				}
				if err := c.Send(t.Context(), to(nobody, fits)); err != nil {
					t.Error(err)
				}
				if err := c.Send(t.Context(), to(nobody, over)); !errors.Is(err, relay.ErrTooLarge) {
					t.Error(err)
				}
				c.Outbox() <- to(nobody, over)
				c.Outbox() <- to(nobody, fits)
				if got := receive(t, reader, 2); got[0] != fits || got[1] != fits {
					t.Error("not what was sent")
				}
				synctest.Wait()
				dropped := of[relay.Dropped](w)
				if len(dropped) != 1 || !errors.Is(dropped[0].Err, relay.ErrTooLarge) || dropped[0].Message.Description != over {
					t.Errorf("%d Dropped events", len(dropped))
				}
				if stats := c.Stats(); stats.Dropped != 1 || stats.Sent != 2 || stats.Connects != 1 {
					t.Errorf("%+v", stats)
				}
			})
		})
	}
}

// loneSurrogate is what some encoders make of half of a UTF-16 pair: no UTF-8.
const loneSurrogate = "\xed\xa0\x80"

// unsendable are messages that no relay can be sent, and the field that is why;
// "" when it is the size.
var unsendable = []struct {
	name, field string
	m           relay.Message
}{
	{"invalid UTF-8", "description", to(nobody, "a\xffb")},
	{"UTF-8 cut short", "description", to(nobody, "ä"[:1])},
	{"an overlong encoding", "description", to(nobody, "\xc0\x80")},
	{"a lone surrogate", "description", to(nobody, loneSurrogate)},
	{"a pair of surrogates in UTF-8", "description", to(nobody, "\xed\xa0\xbd\xed\xb8\x80")},
	{"invalid UTF-8 in the name", "source_name", relay.Message{PeerUUID: nobody, SourceName: "\xff"}},
	{"invalid UTF-8 in the error", "error", relay.Message{PeerUUID: nobody, Error: "\xff"}},
	{"an unknown description type", "description_type", relay.Message{PeerUUID: nobody, DescriptionType: "rollback"}},
	{"over the limit", "", to(nobody, strings.Repeat("x", 1<<20))},
	{"over the limit once encoded", "", to(nobody, strings.Repeat("\x00", 1<<18))},
}

// checkRefused checks that an error says which field is wrong, or that it is the
// size.
func checkRefused(t *testing.T, name, field string, err error) {
	t.Helper()
	encode, ok := errors.AsType[*codec.EncodeError](err)
	if field == "" && !errors.Is(err, relay.ErrTooLarge) || field != "" && (!ok || encode.Field != field || !strings.Contains(err.Error(), field)) {
		t.Errorf("%s: %v, want an error that names %q", name, err, field)
	}
}

// What cannot be sent is refused before a byte of it is written, by an error of
// Send or by an event that carries it. Its neighbours arrive, in order, over the
// same connection.
func TestT20_WhatCannotBeSentIsRefusedAndHarmsNoOther(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		var mu sync.Mutex
		var frames []string // all that the relay read, but for barriers
		r.Script(func(conn transport.Conn) {
			p.serve(&spy{Conn: conn, saw: func(frame string) {
				mu.Lock()
				defer mu.Unlock()
				if !strings.Contains(frame, "relay-barrier") {
					frames = append(frames, frame)
				}
			}})
		})
		c := r.Client("sender")
		w := watching(c)
		connect(t, c)
		sent := 0
		neighbour := func() {
			c.Outbox() <- to(nobody, fmt.Sprint(sent))
			sent++
		}
		for _, test := range unsendable {
			neighbour()
			checkRefused(t, test.name, test.field, c.Send(t.Context(), test.m))
			neighbour()
			c.Outbox() <- test.m
			neighbour()
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		equal(t, "handled", p.texts(), numbers(0, sent))
		synctest.Wait()
		dropped := of[relay.Dropped](w)
		if len(dropped) != len(unsendable) {
			t.Fatalf("%d Dropped events, want %d", len(dropped), len(unsendable))
		}
		for i, test := range unsendable {
			checkRefused(t, test.name, test.field, dropped[i].Err)
			if got := dropped[i].Message; got.Description != test.m.Description || got.PeerUUID != nobody {
				t.Errorf("%s: the event carries another message", test.name)
			}
		}
		if n := len(frames) - 1; n != sent { // the registration
			t.Errorf("the relay read %d messages, want the %d good ones", n, sent)
		}
		if stats := c.Stats(); stats.Connects != 1 || stats.Sent != uint64(sent) || stats.Dropped != uint64(len(unsendable)) || stats.InDoubt != 0 {
			t.Errorf("%+v", stats)
		}
		t.Logf("%d refused by Send and %d by event, %d neighbours arrived", len(unsendable), len(dropped), sent)
	})
}

// What only looks as if it could not be sent arrives as it is: JSON has an escape
// for each of these.
func TestT20_OddTextArrivesUnchanged(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		reader, c := r.Client("reader", relay.WithUUID(nobody)), r.Client("sender")
		connect(t, reader)
		odd := []string{"\x00", "a\x00b", "\x01\x1f\x7f", "\u2028\u2029", "\ufffe\uffff", "\ufeff", `\ud800`, `"\`, "</script>", "\U0010ffff", "e\u0301", ""}
		for _, text := range odd {
			if err := c.Send(t.Context(), to(nobody, text)); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
		equal(t, "received", receive(t, reader, len(odd)), odd)
	})
}
