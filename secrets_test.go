package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// canary is in every place that holds a secret, in the forms in which it could
// come out: as it is, and as basic authorization has it.
const canary = "c4n4ry-s3cr3t"

var sightings = []string{canary, "YzRuNHJ5", "c4n4ry"}

// ear hears everything that a client says.
type ear struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (e *ear) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.said.Write(p)
}

// logger lets the ear hear what is logged.
func (e *ear) logger() relay.Option {
	return relay.WithLogger(slog.New(slog.NewTextHandler(e, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})))
}

// count returns how often something was said.
func (e *ear) count(what string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Count(e.said.String(), what)
}

// err hears an error and all that it wraps.
func (e *ear) err(err error) {
	if err == nil {
		return
	}
	_, _ = fmt.Fprintf(e, "%v\n%+v\n%q\n%#v\n", err, err, err, err)
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		e.err(err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range err.Unwrap() {
			e.err(one)
		}
	}
}

func (e *ear) event(event relay.Event) {
	_, _ = fmt.Fprintf(e, "%v\n%+v\n%#v\n", event, event, event)
	switch event := event.(type) {
	case relay.StateChange:
		e.err(event.Err)
	case relay.InDoubt:
		e.err(event.Err)
	case relay.Malformed:
		e.err(event.Err)
	}
}

// check fails the test if the canary was heard, or nothing at all.
func (e *ear) check(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.said.Len() == 0 {
		t.Error("nothing was said: this test hears nothing")
	}
	for line := range strings.Lines(e.said.String()) {
		for _, sighting := range sightings {
			if strings.Contains(line, sighting) {
				t.Errorf("the secret came out: %.300s", line)
			}
		}
	}
}

// secretive is a client full of secrets that tells the ear everything.
func secretive(t *testing.T, e *ear, address string, opts ...relay.Option) *relay.Client {
	t.Helper()
	scheme, rest, _ := strings.Cut(address, "://")
	address = fmt.Sprintf("%s://%s:%s@%s/path?token=%s", scheme, canary, canary, rest, canary)
	c, err := relay.New(address, append([]relay.Option{
		relay.WithHeader(http.Header{"X-Secret": {canary}, "Cookie": {"session=" + canary}}),
		e.logger(),
	}, opts...)...)
	if err != nil {
		e.err(err)
		t.Fatal("New failed")
	}
	return c
}

// exercise lets a client try what it can for a while.
func exercise(c *relay.Client, e *ear) {
	told := watching(c)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	e.err(c.TryConnect(ctx))
	e.err(c.Send(ctx, relay.Message{PeerUUID: c.UUID(), Description: "x"}))
	e.err(c.Flush(ctx))
	_, err := c.Recv(ctx)
	e.err(err)
	e.err(c.Connect(ctx))
	time.Sleep(time.Minute)
	e.err(c.Close())
	e.err(c.Err())
	<-told.done
	for _, event := range told.all() {
		e.event(event)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	reply := func(frames ...string) func(*relaytest.Relay) {
		return func(r *relaytest.Relay) {
			r.Script(func(conn transport.Conn) { answer(conn, frames...); alive(conn) })
		}
	}
	tests := map[string]func(*relaytest.Relay){
		"a relay that works":         func(*relaytest.Relay) {},
		"one that is down":           func(r *relaytest.Relay) { r.Stop() },
		"one that refuses":           func(r *relaytest.Relay) { r.Refuse() },
		"one that is frozen":         func(r *relaytest.Relay) { r.Freeze() },
		"a reply that is an error":   reply(`{"success": false, "error": true, "message": "no", "message_type": "relay_response"}`),
		"a reply that is malformed":  reply(`{"x`),
		"a reply that is too long":   reply(strings.Repeat(" ", 2<<20)),
		"a frame that is malformed":  reply(okReply, `{"x`),
		"a frame that is not UTF-8":  reply(okReply, "\xff"),
		"a relay that never replies": reply(),
		"a connection that is cut":   func(r *relaytest.Relay) { time.AfterFunc(5*time.Second, r.Cut) },
		"a relay that crashes":       func(r *relaytest.Relay) { time.AfterFunc(5*time.Second, r.Stop) },
		"a relay that falls silent":  func(r *relaytest.Relay) { time.AfterFunc(5*time.Second, func() { r.Freeze() }) },
		"an answer with the request": func(r *relaytest.Relay) { // as debugging proxies give it
			r.Handle(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Location", "ws://elsewhere/?"+req.URL.RawQuery)
				w.WriteHeader(http.StatusFound)
			}))
		},
	}
	for _, status := range []int{200, 301, 400, 401, 403, 407, 429, 500, 503} {
		tests[fmt.Sprint("HTTP status ", status)] = func(r *relaytest.Relay) {
			r.Respond(status, http.Header{"Location": {r.URL + "/elsewhere"}})
		}
	}
	for _, code := range []int{1000, 1001, 1011, 4000, 4001, 4002, 4003, 4004} {
		tests[fmt.Sprint("close code ", code, " before registering")] = func(r *relaytest.Relay) { r.Reject(code, "because") }
		tests[fmt.Sprint("close code ", code, " after registering")] = func(r *relaytest.Relay) {
			r.Script(func(conn transport.Conn) {
				answer(conn, okReply)
				_, _, _ = conn.ReadFrame()
				_ = conn.Close(code, "because")
			})
		}
	}
	for name, set := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, opts := range [][]relay.Option{
					{}, // the userinfo is what authorizes
					{relay.WithTokenSource(func(context.Context) (string, error) { return canary, nil })},
				} {
					r, e := relaytest.NewInMemory(t), new(ear)
					set(r)
					exercise(secretive(t, e, r.URL, append(opts, relay.WithDialContext(r.DialContext))...), e)
					e.check(t)
					r.Close()
				}
			})
		})
	}
}

func TestSecretsStaySecretBeneathTheWebSocket(t *testing.T) {
	// echo sends everything back that it gets.
	echo := piped(func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	fails := func(err error) relay.Option {
		return relay.WithDialContext(func(context.Context, string, string) (net.Conn, error) { return nil, err })
	}
	tests := []struct {
		name, scheme string
		options      []relay.Option
	}{
		{"an unknown host", "ws", []relay.Option{fails(&net.DNSError{Err: "no such host", Name: "relay.test", IsNotFound: true})}},
		{"no network", "ws", []relay.Option{fails(errors.New("no network"))}},
		{"an echo instead of an answer", "ws", []relay.Option{echo}},
		{"an echo instead of TLS", "wss", []relay.Option{echo}},
		{"a silent port", "ws", []relay.Option{piped(swallow)}},
		{"a silent port for TLS", "wss", []relay.Option{piped(swallow)}},
		{"a token that no header can carry", "ws", []relay.Option{echo, relay.WithTokenSource(func(context.Context) (string, error) {
			return canary + "\r\nX-Evil: 1", nil
		})}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := new(ear)
				exercise(secretive(t, e, test.scheme+"://relay.test", test.options...), e)
				e.check(t)
			})
		})
	}
}

func TestNewKeepsHeaderValuesOutOfItsErrors(t *testing.T) {
	for _, value := range []string{canary + "\r\n", "\n" + canary, "\x00" + canary} {
		e := new(ear)
		_, err := relay.New("ws://localhost", relay.WithHeader(http.Header{"X-Secret": {value}}))
		e.err(err)
		e.check(t)
	}
}
