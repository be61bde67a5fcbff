package relay_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/transport"
)

// alone runs the test again in a process of its own, with more in its
// environment, and is true in there.
func alone(t *testing.T, env ...string) bool {
	t.Helper()
	if os.Getenv("RELAY_TEST_ALONE") == t.Name() {
		return true
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	child.Env = append(append(os.Environ(), "RELAY_TEST_ALONE="+t.Name(), "GORACE=atexit_sleep_ms=0"), env...)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("in a process of its own:\n%s", out)
	return false
}

// A connectProxy tunnels by CONNECT, unless it is told to do something else.
type connectProxy struct {
	net.Listener
	connects atomic.Int64
	mu       sync.Mutex
	seen     []*http.Request
	instead  func(conn net.Conn) // nil: tunnel
	serving  sync.WaitGroup
}

func newConnectProxy(t *testing.T) *connectProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &connectProxy{Listener: l}
	p.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.serving.Go(func() { defer conn.Close(); p.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.serving.Wait() })
	return p
}

func (p *connectProxy) serve(conn net.Conn) {
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	p.connects.Add(1)
	p.mu.Lock()
	p.seen = append(p.seen, request)
	instead := p.instead
	p.mu.Unlock()
	if instead != nil {
		instead(conn)
		return
	}
	target, err := net.Dial("tcp", request.Host)
	if err != nil {
		return
	}
	defer target.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	p.serving.Go(func() { _, _ = io.Copy(conn, target); _ = conn.Close() })
	_, _ = io.Copy(target, conn)
}

// does sets what the proxy does instead of tunnelling.
func (p *connectProxy) does(instead func(net.Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.instead = instead
}

func (p *connectProxy) last() *http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[len(p.seen)-1]
}

func says(answer string) func(net.Conn) {
	return func(conn net.Conn) { _, _ = io.WriteString(conn, answer); swallow(conn) }
}

// The environment names the proxies and is read once per process. No proxy is
// used for a loopback address; 0.0.0.0 is none, and means this host.
func TestT47_TheProxyOfTheEnvironment(t *testing.T) {
	if !alone(t) {
		return
	}
	good, _ := certificate(t, "relay.test", nil, time.Now().Add(time.Hour))
	here := func(url string) string { return strings.Replace(url, "127.0.0.1", "0.0.0.0", 1) }
	secureURL, _ := secureRelay(t, &tls.Config{Certificates: []tls.Certificate{good}})
	plainURL, _ := secureRelay(t, nil)
	exemptURL, _ := secureRelay(t, nil)
	secure, plain := here(secureURL), here(strings.Replace(plainURL, "wss", "ws", 1))
	exempt := here(strings.Replace(exemptURL, "wss", "ws", 1))

	proxy, secureProxy := newConnectProxy(t), newConnectProxy(t)
	for name, value := range map[string]string{
		"HTTP_PROXY":  "http://" + proxy.Addr().String(),
		"HTTPS_PROXY": "http://user:password@" + secureProxy.Addr().String(),
		"NO_PROXY":    strings.TrimPrefix(exempt, "ws://"),
	} {
		t.Setenv(name, value)
		t.Setenv(strings.ToLower(name), value)
	}

	client := func(t *testing.T, url string, opts ...relay.Option) *relay.Client {
		t.Helper()
		c, err := relay.New(url, append([]relay.Option{relay.WithBackoff(time.Millisecond, 10*time.Millisecond), relay.WithInsecureSkipVerify()}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	works := func(t *testing.T, c *relay.Client) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Send(ctx, to(c.UUID(), "hello")); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Recv(ctx); err != nil || m.Description != "hello" {
			t.Error(m.Description, err)
		}
	}
	// asked fails unless the proxy was asked n times for the relay meanwhile.
	asked := func(t *testing.T, p *connectProxy, n int64, url string) {
		t.Helper()
		if got := p.connects.Swap(0); got != n {
			t.Errorf("the proxy was asked %d times, want %d", got, n)
		}
		if _, host, _ := strings.Cut(url, "://"); n > 0 && (p.last().Method != http.MethodConnect || p.last().Host != host) {
			t.Errorf("the proxy was asked to %s %s, want CONNECT %s", p.last().Method, p.last().Host, host)
		}
	}
	refused := func(t *testing.T, err error, status int) {
		t.Helper()
		handshake, ok := errors.AsType[*transport.HandshakeError](err)
		if !ok || handshake.Step != transport.StepProxy || handshake.Status != status {
			t.Errorf("%v, want status %d of the proxy", err, status)
		}
	}

	t.Run("tunnels", func(t *testing.T) {
		works(t, client(t, plain))
		asked(t, proxy, 1, plain)
	})
	t.Run("tunnels TLS, with a password", func(t *testing.T) {
		works(t, client(t, secure))
		asked(t, secureProxy, 1, secure)
		if got := secureProxy.last().Header.Get("Proxy-Authorization"); got != "Basic dXNlcjpwYXNzd29yZA==" {
			t.Errorf("Proxy-Authorization: %q", got)
		}
	})
	t.Run("NO_PROXY", func(t *testing.T) {
		works(t, client(t, exempt))
		works(t, client(t, strings.Replace(plain, "0.0.0.0", "127.0.0.1", 1)))
		asked(t, proxy, 0, exempt)
	})
	t.Run("407 is permanent", func(t *testing.T) {
		proxy.does(says("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"))
		defer proxy.does(nil)
		c := client(t, plain)
		refused(t, c.Connect(t.Context()), 407)
		if c.State() != relay.Closed {
			t.Error(c.State())
		}
		asked(t, proxy, 1, plain)
	})
	t.Run("502 is retried", func(t *testing.T) {
		var left atomic.Int64
		left.Store(3)
		proxy.does(func(conn net.Conn) {
			if left.Add(-1) == 0 {
				proxy.does(nil)
			}
			says("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")(conn)
		})
		c := client(t, plain)
		refused(t, c.TryConnect(t.Context()), 502)
		works(t, c)
		asked(t, proxy, 4, plain)
	})
	t.Run("silence is bounded, and retried", func(t *testing.T) {
		proxy.does(swallow)
		defer proxy.does(nil)
		const bound = 300 * time.Millisecond
		c := client(t, plain, relay.WithTimeout(bound))
		var err error
		d := took(func() { err = c.TryConnect(t.Context()) })
		refused(t, err, 0)
		if !errors.Is(err, context.DeadlineExceeded) || d < bound || c.State() != relay.Idle {
			t.Errorf("%v after %v, state %v", err, d, c.State())
		}
		proxy.does(nil)
		asked(t, proxy, 1, plain)
		works(t, client(t, plain))
		asked(t, proxy, 1, plain)
		fmt.Printf("a silent proxy was given up after %v, the bound is %v\n", d.Round(time.Millisecond), bound)
	})
	t.Run("one that is down is retried", func(t *testing.T) {
		_ = proxy.Close()
		c := client(t, plain)
		refused(t, c.TryConnect(t.Context()), 0)
		if c.State() != relay.Idle {
			t.Error(c.State())
		}
	})
}
