package relay_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
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
	mu    sync.Mutex
	said  bytes.Buffer
	kinds map[string]int // of events
}

func newEar() *ear { return &ear{kinds: make(map[string]int)} }

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
	e.fields(reflect.ValueOf(err), 0)
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		e.err(err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range err.Unwrap() {
			e.err(one)
		}
	}
}

// event hears an event and the errors in it.
func (e *ear) event(event relay.Event) {
	e.mu.Lock()
	e.kinds[fmt.Sprintf("%T", event)]++
	e.mu.Unlock()
	_, _ = fmt.Fprintf(e, "%v\n%+v\n%#v\n", event, event, event)
	e.fields(reflect.ValueOf(event), 0)
}

// fields hears all that a program could print of a value, however deep.
func (e *ear) fields(v reflect.Value, depth int) {
	if !v.IsValid() || depth > 8 {
		return
	}
	if err, ok := v.Interface().(error); ok && depth > 0 && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		e.err(err)
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			e.fields(v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				e.fields(v.Field(i), depth+1)
			}
		}
	case reflect.Slice, reflect.Array:
		_, _ = fmt.Fprintf(e, "%s\n%v\n", v.Interface(), v.Interface()) // bytes as text, too
		for i := range min(v.Len(), 16) {
			e.fields(v.Index(i), depth+1)
		}
	case reflect.Map:
		_, _ = fmt.Fprintf(e, "%v\n", v.Interface())
	default:
		_, _ = fmt.Fprintf(e, "%v\n", v.Interface())
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
		relay.WithMaxMessageBytes(2000),
		e.logger(),
	}, opts...)...)
	if err != nil {
		e.err(err)
		t.Fatal("New failed")
	}
	return c
}

// exercise lets a client try what it can for a while, and hears what it returns,
// logs and tells.
func exercise(c *relay.Client, e *ear) {
	told := watching(c)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	over, done := context.WithCancel(ctx)
	done()
	_, _ = fmt.Fprintf(e, "%v %+v %s %v %+v\n", c, c, c.Name(), c.State(), c.Stats())
	e.err(c.TryConnect(ctx))
	for i := range 20 { // to ourselves: they come back, and fill a small Inbox
		e.err(c.Send(ctx, to(c.UUID(), padded(i))))
	}
	for range 20 {
		e.err(c.Send(ctx, to(nobody, "x")))
	}
	for _, bad := range []relay.Message{to(nobody, strings.Repeat("x", 3000)), to(nobody, "\xff")} {
		e.err(c.Send(ctx, bad))
		select {
		case c.Outbox() <- bad:
		case <-c.Done():
		case <-ctx.Done():
		}
	}
	e.err(c.Flush(ctx))
	time.Sleep(10 * time.Second)
	for range 3 {
		_, err := c.Recv(ctx)
		e.err(err)
	}
	_, err := c.Recv(over)
	e.err(errors.Join(err, c.Send(over, to(nobody, "x")), c.Flush(over), c.Connect(over)))
	e.err(c.Connect(ctx))
	time.Sleep(time.Minute)
	for range 3 {
		select {
		case c.Outbox() <- to(nobody, "last"):
		default:
		}
	}
	hurry, end := context.WithTimeout(context.Background(), time.Second)
	defer end()
	e.err(c.Shutdown(hurry))
	e.err(c.Err())
	e.err(c.Send(ctx, to(nobody, "too late")))
	<-told.done
	for _, event := range told.all() {
		e.event(event)
	}
}

// A situation is one of those that the other numbered tests are about.
type situation struct {
	number, name string
	set          func(*relaytest.Relay)
	options      []relay.Option
}

// repeats upgrades every request and hands over what a relay that repeats it
// would say: in debugging, or to help.
func repeats(say func(conn transport.Conn, request string)) func(*relaytest.Relay) {
	return func(r *relaytest.Relay) {
		r.Handle(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			conn, err := new(transport.Upgrader).Upgrade(w, req)
			if err != nil {
				return
			}
			defer func() { _ = conn.Abort() }()
			say(conn, req.Header.Get("Authorization")+" "+req.URL.RawQuery)
		}))
	}
}

func scripted(f func(transport.Conn)) func(*relaytest.Relay) {
	return func(r *relaytest.Relay) { r.Script(f) }
}

func replies(frames ...string) func(*relaytest.Relay) {
	return scripted(func(conn transport.Conn) { answer(conn, frames...); alive(conn) })
}

func after(d time.Duration, f func(*relaytest.Relay)) func(*relaytest.Relay) {
	return func(r *relaytest.Relay) { time.AfterFunc(d, func() { f(r) }) }
}

func situations() []situation {
	works := func(*relaytest.Relay) {}
	small := func(o relay.Overflow) []relay.Option {
		return []relay.Option{relay.WithInbox(relay.InboxPolicy{MaxBytes: 3000, WhenFull: o})}
	}
	source := func(f func() (string, error)) []relay.Option {
		return []relay.Option{relay.WithTokenSource(func(context.Context) (string, error) { return f() })}
	}
	mad := new(moody)
	mad.in.Store(true)
	all := []situation{
		{"T1", "a relay that is down", (*relaytest.Relay).Stop, nil},
		{"T1", "one that refuses", func(r *relaytest.Relay) { r.Refuse() }, nil},
		{"T2", "one that accepts and closes", scripted(func(conn transport.Conn) { answer(conn, okReply) }), nil},
		{"T3", "a healthy connection that is lost", after(40*time.Second, (*relaytest.Relay).Cut), nil},
		{"T4", "503 with a Retry-After", func(r *relaytest.Relay) { r.Respond(503, http.Header{"Retry-After": {"7"}}) }, nil},
		{"T5", "a redirect with the request", func(r *relaytest.Relay) { // as debugging proxies give it
			r.Handle(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Location", "ws://elsewhere/?"+req.URL.RawQuery)
				w.WriteHeader(http.StatusFound)
			}))
		}, nil},
		{"T5", "a page with the request", func(r *relaytest.Relay) {
			r.Handle(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				w.WriteHeader(http.StatusNotFound)
				user, password, _ := req.BasicAuth()
				_, _ = fmt.Fprintln(w, req.RequestURI, req.Header, req.URL.Query(), user, password)
			}))
		}, nil},
		{"T6", "a close reason with the request", repeats(func(conn transport.Conn, request string) {
			answer(conn)
			_ = conn.Close(4002, request)
		}), nil},
		{"T6", "a close reason with the request, later", repeats(func(conn transport.Conn, request string) {
			answer(conn, okReply)
			_, _, _ = conn.ReadFrame()
			_ = conn.Close(4001, request)
		}), nil},
		{"T6", "a refusal with the request", repeats(func(conn transport.Conn, request string) {
			answer(conn, fmt.Sprintf(`{"success": false, "error": true, "message": %q, "message_type": "relay_response"}`, request))
			alive(conn)
		}), nil},
		{"T6", "a reply that is an error", replies(`{"success": false, "error": true, "message": "no", "message_type": "relay_response"}`), nil},
		{"T6", "a reply that is malformed", replies(`{"x`), nil},
		{"T6", "a reply that is too long", replies(strings.Repeat(" ", 2<<20)), nil},
		{"T8", "a relay that never replies", replies(), nil},
		{"T9", "one that is frozen", func(r *relaytest.Relay) { r.Freeze() }, nil},
		{"T9", "one that falls silent", after(5*time.Second, func(r *relaytest.Relay) { r.Freeze() }), nil},
		{"T10", "one that does not read", scripted(func(conn transport.Conn) { answer(conn, okReply); time.Sleep(time.Minute) }), nil},
		{"T12", "one that crashes", after(5*time.Second, (*relaytest.Relay).Stop), nil},
		{"T13", "a connection that is cut", after(time.Millisecond, (*relaytest.Relay).Cut), nil},
		{"T15", "a link that flaps", func(r *relaytest.Relay) {
			for i := range 100 {
				time.AfterFunc(time.Duration(i)*time.Second/2, r.Cut)
			}
		}, nil},
		{"T17", "a loss, with WithResend", after(50*time.Millisecond, (*relaytest.Relay).Cut), []relay.Option{relay.WithResend(100)}},
		{"T17", "a relay that confirms nothing", scripted(func(conn transport.Conn) { answer(conn, okReply); alive(conn) }), []relay.Option{relay.WithResend(10)}},
		{"T20", "a relay that works", works, nil}, // exercise sends what cannot be sent
		{"T20", "a frame that is malformed", replies(okReply, `{"x`), nil},
		{"T20", "a frame that is not UTF-8", replies(okReply, "\xff"), nil},
		{"T21", "an Inbox that waits", works, small(relay.Wait)},
		{"T21", "one that drops the oldest", works, small(relay.DropOldest)},
		{"T21", "one that drops the newest", works, small(relay.DropNewest)},
		{"T21", "one that disconnects", works, small(relay.Disconnect)},
		{"T27", "a token source", works, source(func() (string, error) { return canary, nil })},
		{"T27", "a token source whose token is refused", func(r *relaytest.Relay) { r.Respond(401, nil) }, source(func() (string, error) { return canary, nil })},
		{"T27", "a token source that fails", works, source(func() (string, error) { return canary, errors.New("no") })},
		{"T27", "a token source that panics", works, source(func() (string, error) { panic("no") })},
		{"T27", "a token that no header can carry", works, source(func() (string, error) { return canary + "\r\nX-Evil: 1", nil })},
		{"T50", "a log handler that panics", works, []relay.Option{relay.WithLogger(slog.New(mad))}},
	}
	for _, status := range []int{200, 301, 400, 401, 403, 404, 407, 408, 425, 429, 500, 502, 503, 504} {
		all = append(all, situation{"T5", fmt.Sprint("status ", status), func(r *relaytest.Relay) {
			r.Respond(status, http.Header{"Location": {r.URL + "/elsewhere"}})
		}, nil})
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 4000, 4001, 4002, 4003, 4004, 4999} {
		all = append(all,
			situation{"T6", fmt.Sprint("close code ", code, " before registering"), func(r *relaytest.Relay) { r.Reject(code, "because") }, nil},
			situation{"T19", fmt.Sprint("close code ", code, " after messages"), scripted(func(conn transport.Conn) {
				answer(conn, okReply)
				_, _, _ = conn.ReadFrame()
				_ = conn.Close(code, "because")
			}), nil})
	}
	return all
}

// Whatever happens, the header's values, the user, the password and the query of
// the address are in nothing that is logged, returned or told.
func TestT28_SecretsStaySecret(t *testing.T) {
	var heard struct {
		sync.Mutex
		bytes int
		kinds map[string]int
	}
	heard.kinds = make(map[string]int)
	all := situations()
	for _, s := range all {
		t.Run(s.number+" "+s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, e := relaytest.NewInMemory(t), newEar()
				s.set(r)
				exercise(secretive(t, e, r.URL, append([]relay.Option{relay.WithDialContext(r.DialContext)}, s.options...)...), e)
				e.check(t)
				r.Close()
				time.Sleep(time.Hour) // for scripts that sleep
				heard.Lock()
				defer heard.Unlock()
				heard.bytes += e.said.Len()
				for kind, n := range e.kinds {
					heard.kinds[kind] += n
				}
			})
		})
	}
	t.Logf("%d situations, %d bytes heard, events: %v", len(all), heard.bytes, heard.kinds)
	for _, kind := range []relay.Event{
		relay.StateChange{}, relay.InDoubt{}, relay.Dropped{}, relay.Malformed{}, relay.Stalled{}, relay.Unconfirmed{}, relay.Taken{}, relay.LogPanic{},
	} {
		if heard.kinds[fmt.Sprintf("%T", kind)] == 0 {
			t.Errorf("no %T was heard", kind)
		}
	}
}

func TestT28_SecretsStaySecretBeneathTheWebSocket(t *testing.T) {
	// echo sends everything back that it gets.
	echo := piped(func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	fails := func(err error) relay.Option {
		return relay.WithDialContext(func(context.Context, string, string) (net.Conn, error) { return nil, err })
	}
	tests := []struct {
		name, scheme string
		option       relay.Option
	}{
		{"T7 an unknown host", "ws", fails(&net.DNSError{Err: "no such host", Name: "relay.test", IsNotFound: true})},
		{"T1 no network", "ws", fails(errors.New("no network"))},
		{"T50 a dial function that panics", "ws", relay.WithDialContext(func(context.Context, string, string) (net.Conn, error) { panic("no") })},
		{"T5 an echo instead of an answer", "ws", echo},
		{"T46 an echo instead of TLS", "wss", echo},
		{"T8 a silent port", "ws", piped(swallow)},
		{"T8 a silent port for TLS", "wss", piped(swallow)},
		{"T14 the end instead of an answer", "ws", piped(func(conn net.Conn) { readRequest(conn) })},
		{"T14 the end after the upgrade", "ws", piped(func(conn net.Conn) { upgraded(conn) })},
		{"T13 half a frame", "ws", piped(func(conn net.Conn) { upgraded(conn, "\x81\x7e") })},
		{"T34 a frame that is masked", "ws", piped(func(conn net.Conn) { upgraded(conn, "\x81\x81aaaaa"); swallow(conn) })},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEar()
				exercise(secretive(t, e, test.scheme+"://relay.test", test.option), e)
				e.check(t)
			})
		})
	}
}

func TestT28_SecretsStaySecretInTLS(t *testing.T) {
	expired, pool := certificate(t, "relay.test", []net.IP{net.IPv4(127, 0, 0, 1)}, time.Now().Add(-time.Hour))
	for name, option := range map[string]relay.Option{
		"an unknown authority":   relay.WithTimeout(time.Minute),
		"an expired certificate": relay.WithTLSConfig(&tls.Config{RootCAs: pool}),
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := secureRelay(t, &tls.Config{Certificates: []tls.Certificate{expired}})
			e := newEar()
			c := secretive(t, e, url, option)
			told := watching(c)
			e.err(c.Connect(t.Context()))
			e.err(c.Close())
			<-told.done
			for _, event := range told.all() {
				e.event(event)
			}
			e.check(t)
		})
	}
}

func TestT28_NewKeepsHeaderValuesOutOfItsErrors(t *testing.T) {
	for _, value := range []string{canary + "\r\n", "\n" + canary, "\x00" + canary} {
		e := newEar()
		_, err := relay.New("ws://localhost", relay.WithHeader(http.Header{"X-Secret": {value}}))
		e.err(err)
		e.check(t)
	}
}
