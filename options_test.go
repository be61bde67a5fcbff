package relay_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

func TestNewRefusesAddressesThatAreNoRelays(t *testing.T) {
	tests := []struct {
		name, address string
		says          string // what is wrong, for people
	}{
		{"empty", "", "no scheme"},
		{"without a scheme", "localhost:8700", "no scheme"},
		{"a scheme without slashes", "ws:localhost:8700", "no scheme"},
		{"of a web page", "http://localhost:8700", `neither ws nor wss: "http"`},
		{"of a secure web page", "https://localhost", `neither ws nor wss: "https"`},
		{"of a file", "file:///etc/hosts", `neither ws nor wss: "file"`},
		{"with a scheme of nothing", "://localhost", `neither ws nor wss: ""`},
		{"without a host", "ws://", "no host"},
		{"with a path and no host", "ws:///path", "no host"},
		{"with a port and no host", "ws://:8700", "no host"},
		{"with a user and no host", "wss://user@", "no host"},
		{"with port 0", "ws://localhost:0", "port"},
		{"with port 65536", "ws://localhost:65536", "port"},
		{"with a negative port", "ws://localhost:-1", "port"},
		{"with letters for a port", "ws://localhost:http", "port"},
		{"with nothing for a port", "ws://localhost:", "port"},
		{"with a blank before", " ws://localhost", "blanks"},
		{"with a blank within", "ws://local host", "blanks"},
		{"with a blank behind", "ws://localhost ", "blanks"},
		{"with a new line", "ws://localhost\n", "control characters"},
		{"with a carriage return", "ws://localhost/\r\nX-Evil: 1", "control characters"},
		{"with a zero byte", "ws://localhost/\x00", "control characters"},
		{"with DEL", "ws://localhost/\x7f", "control characters"},
		{"with a control character beyond ASCII", "ws://localhost/\u0085", "control characters"},
		{"with a blank beyond ASCII", "ws://local\u00a0host", "blanks"},
		{"with a fragment", "ws://localhost/#top", "fragment"},
		{"with an empty fragment", "ws://localhost/#", "fragment"},
		{"with half an IPv6 address", "ws://[::1", "missing ']'"},
		{"with a broken escape", "ws://localhost/%zz", "escape"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := relay.New(test.address)
			if !errors.Is(err, relay.ErrAddress) || c != nil {
				t.Fatalf("New(%q) = %v, %v; want ErrAddress", test.address, c, err)
			}
			if !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "ws://host:8700") {
				t.Errorf("%q does not say %q, or not how an address looks", err, test.says)
			}
			if _, err := relay.Dial(t.Context(), test.address); !errors.Is(err, relay.ErrAddress) {
				t.Errorf("Dial: %v, want ErrAddress", err)
			}
		})
	}
}

func TestNewKeepsThePasswordOutOfItsErrors(t *testing.T) {
	for _, address := range []string{
		"http://user:hunter2@localhost",
		"user:hunter2@localhost:8700",
		"user:hunter2@ws://localhost:8700",
		"ws://user:hunter2@",
		"ws://user:hunter2@localhost:0",
		"ws://user:hunter2@localhost:port",
		"ws://user:hunter2@local host",
		"ws://user:hunter2@localhost#fragment",
		"ws://user:hunter2@[::1",
		"ws://user:hunter2/@localhost", // cut at the slash, the password looks like a port
		"ws://user:hunter2#@localhost",
		"ws://user:hunter2?@localhost",
		"ws://user:%hunter2@localhost",
		"ws://localhost:0?token=hunter2",
		"ws:localhost?token=hunter2://",
		"ws://localhost/?token=hunter2#f",
		"ws://localhost/?token=hunter2\n",
	} {
		_, err := relay.New(address)
		if !errors.Is(err, relay.ErrAddress) {
			t.Errorf("New(%q): %v, want ErrAddress", address, err)
			continue
		}
		if strings.Contains(err.Error(), "hun") {
			t.Errorf("New(%q) tells the secret: %v", address, err)
		}
	}
}

func TestNewAcceptsAddressesOfRelays(t *testing.T) {
	for _, address := range []string{
		"ws://localhost", "wss://localhost", "ws://127.0.0.1:8700", "ws://[::1]:8700", "wss://relay.example.com/a/path?query=1",
		"ws://user:password@localhost:1", "ws://localhost:65535/", "ws://localhost/a%20b",
	} {
		if _, err := relay.New(address); err != nil {
			t.Errorf("New(%q): %v", address, err)
		}
	}
}

func TestNewRefusesOptionsThatMakeNoSense(t *testing.T) {
	crlf := func(name, value string) relay.Option { return relay.WithHeader(http.Header{name: {value}}) }
	tests := []struct {
		name   string
		option relay.Option
		says   string
	}{
		{"a nil option", nil, "option 2 of 2 is nil"},
		{"an empty name", relay.WithName(""), "empty name"},
		{"a name over the limit", relay.WithName(strings.Repeat("n", 1025)), "1025 bytes"},
		{"a name that is not UTF-8", relay.WithName("a\xff"), "UTF-8"},
		{"the zero UUID", relay.WithUUID(uuid.Nil), "zero UUID"},
		{"a nil header", relay.WithHeader(nil), "nil header"},
		{"a header name with a line break", crlf("X-A\r\nX-Evil", "1"), "name"},
		{"a header name with a blank", crlf("X A", "1"), "name"},
		{"an empty header name", crlf("", "1"), "name"},
		{"a limit below the client's own messages", relay.WithMaxMessageBytes(100), "too small"},
		{"a header that belongs to the handshake", crlf("Sec-WebSocket-Key", "1"), "handshake"},
		{"a header value with a carriage return", crlf("X-A", "1\rX-Evil: 1"), "X-A"},
		{"a header value with a new line", crlf("X-A", "1\nX-Evil: 1"), "X-A"},
		{"a header value with a zero byte", crlf("X-A", "1\x00"), "X-A"},
		{"a nil token source", relay.WithTokenSource(nil), "nil function"},
		{"a nil TLS config", relay.WithTLSConfig(nil), "nil config"},
		{"a nil dial function", relay.WithDialContext(nil), "nil function"},
		{"a nil logger", relay.WithLogger(nil), "nil logger"},
		{"no timeout", relay.WithTimeout(0), "positive"},
		{"a negative timeout", relay.WithTimeout(-time.Second), "positive"},
		{"a backoff of nothing", relay.WithBackoff(0, time.Second), "positive"},
		{"a negative backoff", relay.WithBackoff(-2, -1), "positive"},
		{"a backoff whose end is before its beginning", relay.WithBackoff(2*time.Second, time.Second), "less than min"},
		{"a heartbeat without an interval", relay.WithHeartbeat(0, time.Second), "positive"},
		{"a heartbeat without a timeout", relay.WithHeartbeat(time.Second, 0), "positive"},
		{"an outbox without room", relay.WithOutbox(0), "0 messages"},
		{"an outbox with less than no room", relay.WithOutbox(-1), "-1 messages"},
		{"an inbox with less than no room", relay.WithInbox(relay.InboxPolicy{MaxBytes: -1}), "-1 bytes"},
		{"an inbox with an unknown policy", relay.WithInbox(relay.InboxPolicy{WhenFull: 99}), "policy"},
		{"to resend less than nothing", relay.WithResend(-1), "-1 messages"},
		{"messages of no bytes", relay.WithMaxMessageBytes(0), "0 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := relay.New("ws://localhost", relay.WithName("fine"), test.option)
			if err == nil || c != nil {
				t.Fatalf("New = %v, %v; want an error", c, err)
			}
			if text := err.Error(); !strings.HasPrefix(text, "relay: ") || !strings.Contains(text, test.says) {
				t.Errorf("%q does not say %q", text, test.says)
			}
			if strings.Contains(err.Error(), "Evil") && !strings.Contains(err.Error(), `\n`) {
				t.Errorf("%q holds a header's value", err)
			}
		})
	}
}

func TestNewAcceptsOptionsAtTheirLimits(t *testing.T) {
	for name, option := range map[string]relay.Option{
		"the longest name":             relay.WithName(strings.Repeat("n", 1024)),
		"an empty header":              relay.WithHeader(http.Header{}),
		"a header value with a tab":    relay.WithHeader(http.Header{"X-A": {"a\tb", "ü"}}),
		"an empty TLS config":          relay.WithTLSConfig(new(tls.Config)),
		"a backoff of one step":        relay.WithBackoff(1, 1),
		"an outbox of one":             relay.WithOutbox(1),
		"the zero inbox policy":        relay.WithInbox(relay.InboxPolicy{}),
		"no resending":                 relay.WithResend(0),
		"a logger that says nothing":   relay.WithLogger(slog.New(slog.DiscardHandler)),
		"a heartbeat of a millisecond": relay.WithHeartbeat(time.Millisecond, time.Millisecond),
	} {
		if _, err := relay.New("ws://localhost", option); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewStartsNoGoroutine(t *testing.T) {
	// A bubble whose function returns while a goroutine is left panics.
	synctest.Test(t, func(t *testing.T) {
		c, err := relay.New("ws://relay.test", relay.WithName("unused"))
		if err != nil {
			t.Fatal(err)
		}
		if c.State() != relay.Idle || c.Err() != nil || c.Name() != "unused" || c.UUID() == uuid.Nil {
			t.Errorf("state %v, error %v, name %q, UUID %v", c.State(), c.Err(), c.Name(), c.UUID())
		}
		if c.Stats() != (relay.Stats{}) {
			t.Errorf("stats %+v", c.Stats())
		}
	})
}

func TestOptionsCopyWhatTheyAreGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		seen := make(chan string, 1)
		r.Handle(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { seen <- req.Header.Get("X-A") }))
		header := http.Header{"X-A": {"before"}}
		c := r.Client("a", relay.WithHeader(header))
		header.Set("X-A", "after")
		_ = c.TryConnect(t.Context())
		if got := <-seen; got != "before" {
			t.Errorf("the header was %q: not copied", got)
		}
	})
}

// A handshake's own headers cannot be set. Whether New or the first attempt
// says so, it is not tried again for ever.
func TestHeadersOfTheHandshakeItselfArePermanentlyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		for _, name := range []string{"Upgrade", "Connection", "Sec-WebSocket-Key", "Content-Length"} {
			c, err := relay.New(r.URL, relay.WithDialContext(r.DialContext), relay.WithHeader(http.Header{name: {"x"}}))
			if err == nil {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				err = c.Connect(ctx)
				cancel()
				_ = c.Close()
				if c.Err() == nil {
					t.Errorf("%s: tried for ever", name)
				}
			}
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(name)) {
				t.Errorf("%s: %v does not name it", name, err)
			}
		}
	})
}

// The proxy of the environment is for the default dialer only. The environment
// is read once per process, so this test needs one of its own.
func TestT47_ADialFunctionGetsTheRelaysAddressDespiteAProxyInTheEnvironment(t *testing.T) {
	if os.Getenv("RELAY_TEST_PROXY") == "" {
		child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		child.Env = append(os.Environ(), "RELAY_TEST_PROXY=1", "GORACE=atexit_sleep_ms=0", "HTTP_PROXY=http://proxy.test:3128", "http_proxy=http://proxy.test:3128", "NO_PROXY=", "no_proxy=")
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("with a proxy in the environment: %v\n%s", err, out)
		}
		return
	}
	var asked string
	c, err := relay.New("ws://relay.test:8700", relay.WithDialContext(func(_ context.Context, _, address string) (net.Conn, error) {
		asked = address
		return nil, errors.New("no")
	}))
	if err != nil {
		t.Fatal(err)
	}
	_ = c.TryConnect(t.Context())
	_ = c.Close()
	if asked != "relay.test:8700" {
		t.Errorf("asked to dial %q", asked)
	}
}
