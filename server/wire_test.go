package server

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/seed73300619/relay/codec"
)

func TestT37_WhatAClientMustNotSendEndsItsConnection(t *testing.T) {
	const stranger = "ForbiddenError: Client has not registered and authenticated with the relay server."
	good := message(alice, bob, "hello")
	tests := []struct {
		name, frame string
		kind        int // 0: text
		fresh       bool
		code        int
		reason      string
	}{
		{name: "no JSON", frame: "hello", code: 4000, reason: "Unknown message type."},
		{name: "nothing at all", frame: "", code: 4000, reason: "Unknown message type."},
		{name: "half of an object", frame: good[:40], code: 4000, reason: "Unknown message type."},
		{name: "a list", frame: "[]", code: 4000, reason: "Unknown message type."},
		{name: "null", frame: "null", code: 4000, reason: "Unknown message type."},
		{name: "a number", frame: "7", code: 4000, reason: "Unknown message type."},
		{name: "an object of nothing", frame: "{}", code: 4000, reason: "Unknown message type."},
		{name: "another type", frame: `{"message_type": "other"}`, code: 4000, reason: "Unknown message type."},
		{name: "a type that is a list", frame: `{"message_type": []}`, code: 4000, reason: "Unknown message type."},
		{name: "a type that is an object", frame: `{"message_type": {}}`, code: 4000, reason: "Unknown message type."},
		{name: "a huge integer", frame: `{"message_type": ` + strings.Repeat("9", 5000) + "}", code: 4000, reason: "Unknown message type."},
		{name: "deep nesting", frame: strings.Repeat("[", 100_000), code: 4000, reason: "Unknown message type."},
		{name: "an answer", frame: registered, code: 4000, reason: "Unknown message type."},
		{name: "a bad uuid", frame: `{"name": "x", "uuid": "nobody", "message_type": "relay_registration"}`, code: 4000, reason: "Unknown message type."},
		{name: "an unknown key", frame: strings.Replace(good, "{", `{"more": 1, `, 1), code: 4000, reason: "Unknown message type."},
		{name: "something behind it", frame: good + "{}", code: 4000, reason: "Unknown message type."},
		{name: "a byte order mark", frame: "\ufeff" + good, code: 4000, reason: "Unknown message type."},
		{name: "a binary message", frame: good, kind: websocket.BinaryMessage, code: 4000, reason: "Unknown message type."},
		{name: "no UTF-8", frame: strings.Replace(good, "hello", "\xff", 1), code: 1007},
		{name: "a message before registering", frame: good, fresh: true, code: 4002, reason: stranger},
		{name: "nonsense before registering", frame: "[]", fresh: true, code: 4000, reason: "Unknown message type."},
		{name: "a frame over the limit", frame: strings.Repeat("x", 1<<20+1), code: 1009, reason: "frame exceeds limit of 1048576 bytes"},
	}
	s := newServer(t)
	url := listen(t, s)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ws, _, err := websocket.DefaultDialer.Dial(url, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer ws.Close()
			if !test.fresh {
				// Two of them: both must go (S1, S3).
				for _, id := range []codec.Registration{{Name: "a", UUID: alice}, {Name: "b", UUID: bob}} {
					ws.WriteMessage(websocket.TextMessage, []byte(encode(id)))
					if _, answer, err := ws.ReadMessage(); err != nil || string(answer) != registered {
						t.Fatal(string(answer), err)
					}
				}
			}
			ws.WriteMessage(max(test.kind, websocket.TextMessage), []byte(test.frame))
			for err = nil; err == nil; {
				_, _, err = ws.ReadMessage()
			}
			if want := (&websocket.CloseError{Code: test.code, Text: test.reason}); err.Error() != want.Error() {
				t.Fatalf("closed with %v, want %v", err, want)
			}
			eventually(t, "nothing is left registered", func() bool { return s.Stats().Clients == 0 })
		})
	}
	eventually(t, "every end was counted", func() bool {
		closed := s.Stats().Closed
		return closed[4000] == uint64(len(tests)-3) && closed[4002] == 1 && closed[1007] == 1 && closed[1009] == 1
	})
}

func TestAMessageOverTheConfiguredSizeClosesWith4003(t *testing.T) {
	good := message(alice, alice, "hello")
	s := newServer(t, WithMaxMessageBytes(len(good)))
	p := dial(t, listen(t, s)).register(alice)
	p.write(good)
	if got := p.read(); got != good {
		t.Fatal(got)
	}
	p.write(good + " ")
	p.expectClose(4003, "Message length exceeds limit.")
}

func TestAnyPathAndQueryUpgrades(t *testing.T) {
	url := listen(t, newServer(t))
	for _, path := range []string{"", "/", "/any/path", "/?and=query", "/%20"} {
		dial(t, url+path).register(alice).Close(1000, "")
	}
}

func TestRequestsThatAreNoUpgradeAreRefused(t *testing.T) {
	url := "http" + strings.TrimPrefix(listen(t, newServer(t)), "ws")
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUpgradeRequired {
		t.Error(resp.Status)
	}
}

// Who may connect from a browser.
func TestT43_TheOriginTable(t *testing.T) {
	welcome := WithCheckOrigin(func(r *http.Request) bool { return r.Header.Get("Origin") == "https://welcome.example" })
	servers := map[bool]*Server{false: newServer(t), true: newServer(t, welcome)}
	urls := map[bool]string{false: listen(t, servers[false]), true: listen(t, servers[true])}
	refused := map[bool]uint64{}
	for _, test := range []struct {
		name   string
		origin func(host string) []string
		check  bool // with WithCheckOrigin
		status int
	}{
		{"absent", func(string) []string { return nil }, false, 101},
		{"equal", func(host string) []string { return []string{"http://" + host} }, false, 101},
		{"equal by another scheme", func(host string) []string { return []string{"https://" + host} }, false, 101},
		{"foreign", func(string) []string { return []string{"https://evil.example"} }, false, 403},
		{"null", func(string) []string { return []string{"null"} }, false, 403},
		{"another port", func(string) []string { return []string{"http://127.0.0.1:1"} }, false, 403},
		{"no port", func(string) []string { return []string{"http://127.0.0.1"} }, false, 403},
		{"ours within a name", func(host string) []string { return []string{"http://" + host + ".evil.example"} }, false, 403},
		{"ours as the user", func(host string) []string { return []string{"http://" + host + "@evil.example"} }, false, 403},
		{"no URL", func(host string) []string { return []string{"http://" + host + "%"} }, false, 403},
		{"empty", func(string) []string { return []string{""} }, false, 403},
		{"foreign, then equal", func(host string) []string { return []string{"https://evil.example", "http://" + host} }, false, 403},
		{"on the list", func(string) []string { return []string{"https://welcome.example"} }, true, 101},
		{"not on the list", func(string) []string { return []string{"https://evil.example"} }, true, 403},
		{"equal, but not on the list", func(host string) []string { return []string{"http://" + host} }, true, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := urls[test.check]
			header := http.Header{}
			if origin := test.origin(strings.TrimPrefix(url, "ws://")); origin != nil {
				header["Origin"] = origin
			}
			ws, resp, err := websocket.DefaultDialer.Dial(url, header)
			if err == nil {
				ws.Close()
			}
			if resp == nil || resp.StatusCode != test.status {
				t.Errorf("%q is answered %+v, %v, want %d", header["Origin"], resp, err, test.status)
			}
			if test.status == http.StatusForbidden {
				refused[test.check]++
			}
		})
	}
	for check, s := range servers {
		if n := s.Stats().NotUpgraded; n != refused[check] {
			t.Errorf("%d requests counted as not upgraded, want %d", n, refused[check])
		}
	}
}

func TestAPongComesWhenAllBeforeItWasHandled(t *testing.T) {
	s := newServer(t)
	url := listen(t, s)
	dial(t, url).register(bob)
	ws, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	ws.WriteMessage(websocket.TextMessage, []byte(encode(codec.Registration{Name: "a", UUID: alice})))
	if _, _, err := ws.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	const rounds, n = 20, 100
	pongs := make(chan uint64, rounds) // what was forwarded when a pong came
	ws.SetPongHandler(func(string) error { pongs <- s.Stats().Forwarded; return nil })
	var reader sync.WaitGroup
	reader.Go(func() { ws.ReadMessage() }) // until the end
	for round := uint64(1); round <= rounds; round++ {
		for i := range n {
			ws.WriteMessage(websocket.TextMessage, []byte(message(alice, bob, fmt.Sprint(i))))
		}
		ws.WriteMessage(websocket.PingMessage, nil)
		if got := <-pongs; got != round*n {
			t.Fatalf("pong %d came after %d messages", round, got)
		}
	}
	ws.Close()
	reader.Wait()
}
