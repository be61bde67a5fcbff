package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/transport"
)

// piped is a network whose other end is f, in memory.
func piped(f func(net.Conn)) relay.Option {
	return relay.WithDialContext(func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			f(there)
			_ = there.Close()
		}()
		return here, nil
	})
}

// registering is the step after those of package transport.
const registering transport.Step = 0

// stuckSteps are relays that answer so far and no further.
var stuckSteps = []struct {
	name, scheme string
	network      relay.Option
	step         transport.Step
	says         string
	slow         time.Duration // before the bound begins
}{
	{"DNS is never answered", "ws", relay.WithDialContext(func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, &net.DNSError{Err: ctx.Err().Error(), Name: "relay.test", IsTimeout: true}
	}), transport.StepResolve, "resolve", 0},
	{"TCP is never answered", "ws", relay.WithDialContext(func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}), transport.StepConnect, "connect", 0},
	{"TCP is accepted, then silence", "ws", piped(swallow), transport.StepUpgrade, "upgrade", 0},
	{"nothing is even read", "ws", piped(func(net.Conn) { time.Sleep(time.Minute) }), transport.StepUpgrade, "upgrade", 0},
	{"the TLS hello is never answered", "wss", piped(swallow), transport.StepTLS, "tls", 0},
	{"the TLS hello is never read", "wss", piped(func(net.Conn) { time.Sleep(time.Minute) }), transport.StepTLS, "tls", 0},
	{"half of the upgrade's answer comes", "ws", piped(func(conn net.Conn) {
		readRequest(conn)
		_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Prot"))
		swallow(conn)
	}), transport.StepUpgrade, "upgrade", 0},
	{"the upgrade's answer drips", "ws", piped(func(conn net.Conn) {
		readRequest(conn)
		for _, b := range []byte("HTTP/1.1 101 Switching Protocols\r\nX-A: " + strings.Repeat("a", 1000)) {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}), transport.StepUpgrade, "upgrade", 0},
	{"the registration is never answered", "ws", piped(func(conn net.Conn) { upgraded(conn); swallow(conn) }), registering, "no reply", 0},
	{"the registration is never read", "ws", piped(func(conn net.Conn) { upgraded(conn); time.Sleep(time.Minute) }), registering, "no reply", 0},
	{"the upgrade and the registration are slow, and each within its bound", "ws", piped(func(conn net.Conn) {
		time.Sleep(2 * time.Second)
		upgraded(conn)
		swallow(conn)
	}), registering, "no reply", 2 * time.Second},
	{"the reply to the registration drips", "ws", piped(func(conn net.Conn) {
		upgraded(conn)
		go swallow(conn)
		for opcode := byte(0x01); ; opcode = 0x00 { // fragments without end
			if _, err := io.WriteString(conn, fragment(opcode, " ")); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}), registering, "no reply", 0},
}

// Each step that waits for the relay has a bound of its own, to the nanosecond:
// ten seconds, or what WithTimeout says. The error says which step it was.
func TestT8_EachStepHasABoundOfItsOwn(t *testing.T) {
	for _, test := range stuckSteps {
		for bound, opts := range map[time.Duration][]relay.Option{
			10 * time.Second: nil,
			3 * time.Second:  {relay.WithTimeout(3 * time.Second)},
		} {
			t.Run(fmt.Sprint(test.name, ", ", bound), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, err := relay.New(test.scheme+"://relay.test", append(opts, test.network)...)
					if err != nil {
						t.Fatal(err)
					}
					d := took(func() { err = c.TryConnect(t.Context()) })
					if d != test.slow+bound {
						t.Errorf("given up after %v, want %v", d, test.slow+bound)
					}
					checkStuck(t, err, test.step, test.says)
					if c.State() != relay.Idle {
						t.Errorf("state %v: this is retried", c.State())
					}
					_ = c.Close()
					time.Sleep(time.Hour) // for the dripping ends to notice
				})
			})
		}
	}
}

// checkStuck checks that an error is the timeout of a step, and says so.
func checkStuck(t *testing.T, err error, step transport.Step, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Fatalf("%v does not name the step %q", err, says)
	}
	handshake, opening := errors.AsType[*transport.HandshakeError](err)
	refused, registration := errors.AsType[*relay.RegistrationError](err)
	switch {
	case step == registering && (!registration || refused.Code != 0):
		t.Errorf("%v is no *RegistrationError without a code", err)
	case step != registering && (!opening || handshake.Step != step):
		t.Errorf("%v is not of step %v", err, step)
	}
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("%v is no timeout", err)
	}
}

// The same over sockets, with a short bound.
func TestT8_EachStepHasABoundOfItsOwnOverSockets(t *testing.T) {
	for _, test := range []struct {
		name, scheme string
		serve        func(net.Conn)
		step         transport.Step
		says         string
	}{
		{"TCP is accepted, then silence", "ws", swallow, transport.StepUpgrade, "upgrade"},
		{"the TLS hello is never answered", "wss", swallow, transport.StepTLS, "tls"},
		{"the registration is never answered", "ws", func(conn net.Conn) { upgraded(conn); swallow(conn) }, registering, "no reply"},
	} {
		t.Run(test.name, func(t *testing.T) {
			url, accepted := wireRelay(t, func(conn net.Conn) bool { test.serve(conn); return false })
			const bound = 200 * time.Millisecond // for a TLS hello or an upgrade on a busy machine
			c, err := relay.New(strings.Replace(url, "ws", test.scheme, 1), relay.WithTimeout(bound))
			if err != nil {
				t.Fatal(err)
			}
			d := took(func() { err = c.TryConnect(t.Context()) })
			checkStuck(t, err, test.step, test.says)
			if d < bound || accepted.Load() != 1 {
				t.Errorf("given up after %v and %d connections, want %v and one", d, accepted.Load(), bound)
			}
			_ = c.Close()
		})
	}
}
