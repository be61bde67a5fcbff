package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// What clients say, rightly or wrongly, is in nothing that the server tells: its
// log, its figures, its reasons. Each wrong way has its line in the log, because
// a warning of a kind is said once a second, and here seconds pass.
func TestT28_NothingThatWasSaidIsTold(t *testing.T) {
	const canary = "c4n4ry"
	good := strings.Replace(message(alice, alice, canary), `"test"`, `"`+canary+`"`, 1)
	ends := map[string]string{ // what ends a connection
		"no JSON":              canary,
		"a string":             `"` + canary + `"`,
		"half an object":       good[:strings.Index(good, canary)+3+len(canary)/2] + canary,
		"no such type":         `{"message_type": "` + canary + `"}`,
		"a type that is none":  `{"message_type": ["` + canary + `"]}`,
		"an unknown field":     strings.Replace(good, "{", `{"`+canary+`": "`+canary+`", `, 1),
		"a missing field":      strings.Replace(good, `"description_type": "offer", `, "", 1),
		"a UUID that is none":  strings.Replace(good, alice.String(), canary, 1),
		"its own UUID is none": `{"name": "` + canary + `", "uuid": "` + canary + `", "message_type": "relay_registration"}`,
		"something behind it":  good + canary,
		"no UTF-8":             strings.Replace(good, canary, canary+"\xff", 1),
		"an answer":            encode(codec.Response{Message: canary, Error: true}),
		"too long":             strings.Repeat(canary, 2000),
		"beyond the protocol":  strings.Repeat(canary, 200_000),
	}
	bounces := []string{
		strings.Replace(good, alice.String()+`", "desc`, carol.String()+`", "desc`, 1), // to nobody
		strings.Replace(good, alice.String(), carol.String(), 1),                       // from somebody else
		strings.Replace(good, `"error": null`, `"error": "`+canary+`"`, 1),             // arrives
	}
	synctest.Test(t, func(t *testing.T) {
		var told syncBuffer
		refusal := error(nil)
		s := newServer(t, WithMaxMessageBytes(10_000),
			WithLogger(slog.New(slog.NewJSONHandler(&told, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))),
			WithAuthenticator(asks(func(context.Context, *Credentials) (User, error) { return User{}, refusal })))
		enter := func() peer {
			client, end := transport.Pipe()
			go func() { fmt.Fprintf(&told, "ServeConn: %v\n", s.ServeConn(context.Background(), end)) }()
			t.Cleanup(func() { client.Abort() })
			return peer{t, client}
		}
		end := func(p peer) {
			var err error
			for err == nil {
				_, _, err = p.ReadFrame()
			}
			bye, ok := errors.AsType[*transport.CloseError](err)
			if !ok {
				t.Fatalf("ended with %v", err)
			}
			fmt.Fprintf(&told, "close reason: %d %s\n", bye.Code, bye.Reason)
			p.Close(1000, canary)
			fmt.Fprintf(&told, "%+v\n", s.Stats())
			time.Sleep(2 * time.Second)
		}
		for _, frame := range ends {
			p := enter().register(alice)
			p.write(good)
			p.read()
			for _, frame := range bounces {
				p.write(frame)
				p.read()
				time.Sleep(2 * time.Second)
			}
			fmt.Fprintf(&told, "%+v\n", s.Connections())
			p.write(frame)
			end(p)
		}
		stranger := enter()
		stranger.write(good)
		end(stranger)
		first := enter().register(alice)
		for range 5 {
			second := enter().register(alice)
			end(first)
			first = second
		}
		first.Close(4242, canary)
		for _, refusal = range []error{&RefusedError{Code: CodeForbidden, Reason: "no"}, &RefusedError{Code: CodeUnauthorized, Reason: "no"}, errors.New("down")} {
			p := enter()
			p.write(encode(codec.Registration{Name: "x", UUID: alice}))
			end(p)
		}
		text := told.String()
		for line := range strings.Lines(text) {
			if strings.Contains(line, canary) {
				t.Errorf("told: %.300s", line)
			}
		}
		closed, bounced := strings.Count(text, "closing a connection for what it sent"), strings.Count(text, `"msg":"bounced"`)
		if want := len(ends); closed != want { // one of them is the transport's, one is a stranger's
			t.Errorf("%d lines about connections that were closed, want %d: not all was tried", closed, want)
		}
		if want := 2 * len(ends); bounced != want {
			t.Errorf("%d lines about bounces, want %d", bounced, want)
		}
		t.Logf("hunted in %d lines, among them %d about connections closed and %d about bounces", strings.Count(text, "\n"), closed, bounced)
	})
}
