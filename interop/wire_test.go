package interop

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
)

// A wireStep sends one frame on a raw connection and says what comes back.
type wireStep struct {
	send   string
	binary bool
	want   []string // frames, byte for byte
	closed int      // or the code of the close that comes back
	reason string
}

const badMessage = "Unknown message type."

// wireTest runs on a connection of its own. In all its texts ALICE and BOB are
// fresh UUIDs.
type wireTest struct {
	name  string
	steps []wireStep
	ours  []wireStep // where ours is meant to be better
}

var (
	registerAlice = wireStep{send: `{"name": "alice", "uuid": "ALICE", "message_type": "relay_registration"}`, want: []string{success}}
	toBob         = `{"source_uuid": "ALICE", "source_name": "alice", "peer_uuid": "BOB", "description_type": "offer", "description": "d", "error": null, "message_type": "peer_connection"}`
	toAlice       = strings.Replace(toBob, "BOB", "ALICE", 1)
	noBob         = `"Cannot forward peer connection message to peer BOB because this peer is not registered this relay server."`
)

var wireTests = []wireTest{
	{name: "a registration has one reply, each time", steps: []wireStep{registerAlice, registerAlice, {send: toAlice, want: []string{toAlice}}}},
	{name: "a registration with its keys in another order", steps: []wireStep{
		{send: ` {"message_type":"relay_registration","uuid":"{ALICE}","name":"\u00e9"} `, want: []string{success}},
	}},
	{name: "a message goes on as the real relay encodes it", steps: []wireStep{registerAlice, {send: toAlice, want: []string{toAlice}}}},
	{name: "the last of two equal keys counts", steps: []wireStep{registerAlice, {
		send: strings.Replace(toAlice, "{", `{"peer_uuid": "BOB", `, 1), want: []string{toAlice},
	}}},
	{name: "a UUID spelled oddly goes on as a canonical one", steps: []wireStep{registerAlice, {
		send: strings.Replace(toAlice, `"peer_uuid": "ALICE"`, `"peer_uuid": "urn:uuid:ALICE"`, 1), want: []string{toAlice},
	}}},
	{name: "a message to nobody comes back", steps: []wireStep{registerAlice, {
		send: toBob, want: []string{strings.Replace(toBob, "null", noBob, 1)},
	}}},
	{name: "a message that has an error already comes back with the relay's", steps: []wireStep{registerAlice, {
		send: strings.Replace(toBob, "null", `"mine"`, 1), want: []string{strings.Replace(toBob, "null", noBob, 1)},
	}}},
	{name: "a message before registering", steps: []wireStep{{
		send: toBob, closed: 4002, reason: "ForbiddenError: Client has not registered and authenticated with the relay server.",
	}}},
	{name: "no JSON", steps: []wireStep{registerAlice, {send: "hello", closed: 4000, reason: badMessage}}},
	{name: "trailing data", steps: []wireStep{registerAlice, {send: toBob + "x", closed: 4000, reason: badMessage}}},
	{name: "an unknown type", steps: []wireStep{{send: `{"message_type": "hello"}`, closed: 4000, reason: badMessage}}},
	{name: "no type", steps: []wireStep{{send: `{}`, closed: 4000, reason: badMessage}}},
	{name: "an unknown key", steps: []wireStep{registerAlice, {send: strings.Replace(toBob, "{", `{"extra": 1, `, 1), closed: 4000, reason: badMessage}}},
	{name: "a missing key", steps: []wireStep{registerAlice, {send: strings.Replace(toBob, `"description": "d", `, "", 1), closed: 4000, reason: badMessage}}},
	{name: "no UUID", steps: []wireStep{registerAlice, {send: strings.Replace(toBob, "BOB", "bob", 1), closed: 4000, reason: badMessage}}},
	{name: "a binary frame", steps: []wireStep{registerAlice, {send: toBob, binary: true, closed: 4000, reason: badMessage}}},
	{name: "no UTF-8", steps: []wireStep{registerAlice, {send: strings.Replace(toBob, `"d"`, "\"\xff\"", 1), closed: 1007}}},
	{name: "over 1 MiB", steps: []wireStep{registerAlice, {send: strings.Replace(toBob, `"d"`, `"`+strings.Repeat("d", 1<<20)+`"`, 1), closed: 1009}}},
	{name: "no object",
		steps: []wireStep{registerAlice, {send: "[]", closed: 1011}},
		ours:  []wireStep{registerAlice, {send: "[]", closed: 4000, reason: badMessage}}},
	{name: "a response from a client",
		steps: []wireStep{registerAlice, {send: success, closed: 1011}},
		ours:  []wireStep{registerAlice, {send: success, closed: 4000, reason: badMessage}}},
}

func TestWire_what_comes_back(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		_, ours := r.(*ourRelay)
		for _, test := range wireTests {
			t.Run(test.name, func(t *testing.T) {
				names := strings.NewReplacer("ALICE", uuid.NewString(), "BOB", uuid.NewString())
				c := dialRaw(t, r)
				steps := test.steps
				if ours && test.ours != nil {
					steps = test.ours
				}
				for i, step := range steps {
					if err := step.play(c, names); err != nil {
						t.Fatalf("step %d: %v", i+1, err)
					}
				}
			})
		}
	})
}

func (s wireStep) play(c *websocket.Conn, names *strings.Replacer) error {
	kind := websocket.TextMessage
	if s.binary {
		kind = websocket.BinaryMessage
	}
	// A relay may close before it has read all: that shows below.
	_ = c.WriteMessage(kind, []byte(names.Replace(s.send)))
	for _, want := range s.want {
		_, got, err := c.ReadMessage()
		if want := names.Replace(want); err != nil || string(got) != want {
			return fmt.Errorf("got %.300q, %v, want %.300q", got, err, want)
		}
	}
	if s.closed == 0 {
		return nil
	}
	_, got, err := c.ReadMessage()
	closed, ok := errors.AsType[*websocket.CloseError](err)
	if !ok || closed.Code != s.closed || s.reason != "" && closed.Text != s.reason {
		return fmt.Errorf("got %.300q, %v, want a close with %d %q", got, err, s.closed, s.reason)
	}
	return nil
}

func TestWire_a_ping_is_answered_and_a_close_echoed(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		c := dialRaw(t, r)
		var pong string
		c.SetPongHandler(func(data string) error { pong = data; return nil })
		deadline := time.Now().Add(patience)
		c.WriteControl(websocket.PingMessage, []byte("there?"), deadline)
		// A pong is seen while a message is read; it may overtake, or follow, one.
		names := strings.NewReplacer("ALICE", uuid.NewString())
		for range 3 {
			if err := registerAlice.play(c, names); err != nil {
				t.Fatal(err)
			}
		}
		if pong != "there?" {
			t.Errorf("the pong says %q", pong)
		}
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(3001, "bye"), deadline)
		_, _, err := c.ReadMessage()
		if closed, ok := errors.AsType[*websocket.CloseError](err); !ok || closed.Code != 3001 {
			t.Errorf("the answer to a close with 3001 is %v", err)
		}
	})
}

func dialRaw(t testing.TB, r testRelay) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.DefaultDialer.DialContext(t.Context(), r.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(patience))
	return c
}
