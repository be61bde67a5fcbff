package relaytest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/transport"
)

// client makes a client of ours that dials a path.
func (g *ground) client(path string, opts ...relay.Option) *relay.Client {
	g.t.Helper()
	c, err := relay.New(g.relay.URL+path, append([]relay.Option{relay.WithDialContext(g.relay.DialContext)}, opts...)...)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = c.Close() })
	return c
}

// What the package documentation of relay promises about a fault.
type promise string

const (
	retried   promise = "retried"
	permanent promise = "permanent"
	unharmed  promise = "unharmed"    // it stays connected, and all arrives
	patient   promise = "unconfirmed" // it stays connected, and says how many wait for it
)

// promises says what becomes of our client at an address, once.
var promises = map[string]promise{
	"/":            unharmed,
	"/close/none":  retried,
	"/close/CODE":  retried,   // and each other code, and at each moment: see below
	"/close/4001":  permanent, // likewise
	"/close/4002":  permanent,
	"/close/4004":  permanent,
	"/status/CODE": retried,

	"/cut?on=upgrade":               retried,
	"/cut?on=upgrade&at=1":          retried,
	"/cut?on=upgrade&at=60":         retried,
	"/cut":                          retried,
	"/cut?at=10":                    retried,
	"/cut?at=10&with=reset":         retried,
	"/cut?n=3":                      retried,
	"/cut?n=3&at=7":                 retried,
	"/cut?n=4&at=100":               retried,
	"/cut?after=250ms":              retried,
	"/cut?after=250ms&with=reset":   retried,
	"/cut?after=300ms&at=100":       retried,
	"/half-open?on=upgrade":         retried,
	"/half-open?on=register":        retried,
	"/half-open?n=3":                retried,
	"/half-open":                    retried,
	"/half-open?after=450ms":        retried,
	"/no-reply":                     retried,
	"/deaf":                         patient,
	"/deaf?n=3":                     patient,
	"/stall":                        retried,
	"/stall?n=4&for=10s":            retried,
	"/slow":                         unharmed,
	"/slow?delay=10ms&bytes=64":     unharmed,
	"/limit?size=600":               retried,
	"/limit?size=600&code=4003":     retried,
	"/limit?size=100000":            unharmed,
	"/refuse":                       permanent,
	"/refuse?message=No.":           permanent,
	"/garbage?on=upgrade":           retried,
	"/garbage":                      permanent,
	"/garbage?kind=list":            permanent,
	"/garbage?kind=type":            permanent,
	"/garbage?kind=binary":          permanent,
	"/garbage?kind=utf8":            permanent,
	"/garbage?kind=frame":           retried, // the connection is lost
	"/garbage?n=3":                  unharmed,
	"/garbage?n=3&kind=list":        unharmed,
	"/garbage?n=3&kind=type":        unharmed,
	"/garbage?n=3&kind=binary":      unharmed,
	"/garbage?n=3&kind=frame":       retried,
	"/garbage?after=1ms&kind=utf8":  retried, // RFC 6455 has the connection closed with 1007
	"/garbage?after=1ms&kind=frame": retried,
	"/redirect":                     permanent,
	"/redirect?code=307":            permanent,
}

// allPromises adds what follows a rule.
func allPromises() map[string]promise {
	all := make(map[string]promise)
	verdict := func(is bool) promise {
		if is {
			return permanent
		}
		return retried
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4001, 4002, 4003, 4004, 4005, 4999} {
		for _, moment := range []string{"", "?on=upgrade", "?n=3", "?after=0s", "?after=250ms"} {
			all[fmt.Sprintf("/close/%d%s", code, moment)] = verdict(code == 4001 || code == 4002 || code == 4004)
		}
	}
	for _, status := range []int{200, 301, 400, 401, 403, 404, 407, 408, 425, 429, 500, 502, 503, 504, 520} {
		all[fmt.Sprintf("/status/%d", status)] = verdict(status < 500 && status != 408 && status != 425 && status != 429)
	}
	for path, p := range promises {
		if !strings.Contains(path, "CODE") {
			all[path] = p
		}
	}
	return all
}

// account is what became of the messages of one sender.
type account struct {
	mu        sync.Mutex
	delivered []string
	doubtful  []string
	malformed int
	lost      error
}

func (a *account) events(c *relay.Client) {
	for e := range c.Events() {
		a.mu.Lock()
		switch e := e.(type) {
		case relay.InDoubt:
			for _, m := range e.Messages {
				a.doubtful = append(a.doubtful, m.Description[:2])
			}
		case relay.Malformed:
			a.malformed++
		case relay.StateChange:
			if e.Err != nil && a.lost == nil {
				a.lost = e.Err
			}
		}
		a.mu.Unlock()
	}
}

func (a *account) inbox(c *relay.Client) {
	for m := range c.Inbox() {
		a.mu.Lock()
		a.delivered = append(a.delivered, m.Description[:2])
		a.mu.Unlock()
	}
}

// Our client keeps its promises at each address: it comes back, or ends, or is
// not harmed; and of ten messages each one is delivered once, or in doubt, or
// returned unsent. None is lost without a word.
func TestChaos_OurClientKeepsItsPromises(t *testing.T) {
	all := allPromises()
	for _, path := range paths() {
		stem := strings.TrimSuffix(path, "/CODE")
		if !slices.ContainsFunc(slices.Collect(keys(all)), func(p string) bool {
			rest, ok := strings.CutPrefix(p, stem)
			return ok && (path == "/" && rest == "" || path != "/" && (rest == "" || strings.ContainsAny(rest[:1], "/?")))
		}) {
			t.Errorf("nothing is promised for %s", path)
		}
	}
	counts := make(map[promise]int)
	for path, want := range all {
		counts[want]++
		t.Run(strings.Trim(path, "/"), func(t *testing.T) {
			onGround(t, func(t *testing.T, g *ground) { g.keepsItsPromise(path, want) })
		})
	}
	t.Logf("addresses: %v", counts)
}

func keys[M map[K]V, K comparable, V any](m M) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (g *ground) keepsItsPromise(path string, want promise) {
	t := g.t
	if path != "/" {
		path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "times=1"
	}
	alice, bob := g.client(path, relay.WithHeartbeat(20*time.Second, 20*time.Second)), g.client("/")
	if err := bob.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	var a account
	var readers sync.WaitGroup
	readers.Go(func() { a.events(alice) })
	readers.Go(func() { a.inbox(bob) })
	readers.Go(func() { // keeps the Inbox empty; nothing is addressed to alice
		for m := range alice.Inbox() {
			t.Errorf("alice receives %v", m)
		}
	})

	var refused, unsent []string
	for i := range 10 {
		m := relay.Message{PeerUUID: bob.UUID(), Description: fmt.Sprint(" ", i)}
		if i == 2 {
			m.Description += strings.Repeat("x", 1000) // for the limit
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if alice.Send(ctx, m) != nil {
			refused = append(refused, m.Description[:2])
		}
		cancel()
		<-time.After(100 * time.Millisecond)
	}
	<-time.After(10 * time.Minute)
	state, stats := alice.State(), alice.Stats()
	rest, _ := errors.AsType[*relay.UnsentError](alice.Close())
	if rest != nil {
		for _, m := range rest.Messages {
			unsent = append(unsent, m.Description[:2])
		}
	}
	if err := bob.Close(); err != nil {
		t.Error(err)
	}
	readers.Wait()

	switch want {
	case retried:
		if state != relay.Connected || a.lost == nil || stats.Connects == 0 {
			t.Errorf("%v after %v, want connected again", state, a.lost)
		}
	case permanent:
		checkEnd(t, alice.Err(), path)
		if state != relay.Closed {
			t.Errorf("%v, want closed", state)
		}
	case unharmed, patient:
		if state != relay.Connected || stats.Connects != 1 || stats.Unconfirmed != len(a.doubtful) || (want == patient) != (stats.Unconfirmed > 0) {
			t.Errorf("%v, %d connections, after %v; unconfirmed: %d", state, stats.Connects, a.lost, stats.Unconfirmed)
		}
		if want == unharmed && len(a.delivered) != 10 {
			t.Errorf("delivered %q", a.delivered)
		}
	}
	if wantMalformed := want == unharmed && strings.HasPrefix(path, "/garbage"); wantMalformed != (a.malformed == 1) {
		t.Errorf("%d frames were malformed", a.malformed)
	}
	if !slices.IsSorted(a.delivered) || len(slices.Compact(slices.Clone(a.delivered))) != len(a.delivered) {
		t.Errorf("delivered %q, not in order and once", a.delivered)
	}
	for i := range 10 {
		text, told := fmt.Sprint(" ", i), 0
		for _, list := range [][]string{a.doubtful, refused, unsent} {
			if slices.Contains(list, text) {
				told++
			}
		}
		if delivered := slices.Contains(a.delivered, text); told == 0 && !delivered || told > 1 {
			t.Errorf("message %d: delivered %v, and told of %d times", i, delivered, told)
		}
	}
	t.Logf("%s: delivered %d, in doubt %d, unsent %d, refused %d", want, len(a.delivered), len(a.doubtful), len(unsent), len(refused))
}

// checkEnd checks that the error of a client that has ended says why, in types.
func checkEnd(t *testing.T, err error, path string) {
	t.Helper()
	var code int
	switch {
	case strings.HasPrefix(path, "/close/"):
		_, _ = fmt.Sscanf(path, "/close/%d", &code)
		if closed, ok := errors.AsType[*transport.CloseError](err); !ok || closed.Code != code {
			t.Errorf("%v is no *transport.CloseError of %d", err, code)
		}
	case strings.HasPrefix(path, "/status/"), strings.HasPrefix(path, "/redirect"):
		if _, err := fmt.Sscanf(path, "/status/%d", &code); err != nil {
			code = 302
		}
		if strings.Contains(path, "code=307") {
			code = 307
		}
		if handshake, ok := errors.AsType[*transport.HandshakeError](err); !ok || handshake.Status != code {
			t.Errorf("%v is no *transport.HandshakeError of %d", err, code)
		}
	default:
		refused, ok := errors.AsType[*relay.RegistrationError](err)
		if !ok || refused.Code != 0 || strings.Contains(path, "message=No.") && refused.Reason != "No." {
			t.Errorf("%v is no *relay.RegistrationError without a code", err)
		}
	}
}

// Retry-After is waited for, as the documentation says.
func TestChaos_OurClientHonoursRetryAfter(t *testing.T) {
	onGround(t, func(t *testing.T, g *ground) {
		c := g.client("/status/503?retry-after=77&times=1")
		start := time.Now()
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 77*time.Second || d > 2*77*time.Second {
			t.Errorf("connected after %v", d)
		}
	})
}
