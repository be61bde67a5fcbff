package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// ping returns what goes wrong with a ping.
func ping(t *testing.T, address string) error {
	t.Helper()
	p := pinger{connection: connection{address: address}, count: 1, timeout: 2 * time.Second}
	return p.run(t.Context(), io.Discard)
}

// scripted pings a relay that f plays.
func scripted(f func(transport.Conn)) func(*testing.T) error {
	return func(t *testing.T) error {
		r := relaytest.New(t)
		r.Script(f)
		return ping(t, r.URL)
	}
}

// answers makes a relay that answers each message with the next frame.
func answers(frames ...string) func(*testing.T) error {
	return scripted(func(conn transport.Conn) {
		for _, frame := range frames {
			if _, _, err := conn.ReadFrame(); err != nil {
				return
			}
			if conn.WriteFrame([]byte(frame)) != nil || conn.Flush() != nil {
				return
			}
		}
		_, _, _ = conn.ReadFrame()
		_, _, _ = conn.ReadFrame() // until the client gives up
	})
}

func closes(code int, reason string) func(*testing.T) error {
	return func(t *testing.T) error {
		r := relaytest.New(t)
		r.Reject(code, reason)
		return ping(t, r.URL)
	}
}

func status(code int) func(*testing.T) error {
	return func(t *testing.T) error {
		r := relaytest.New(t)
		r.Respond(code, http.Header{"Location": {"/elsewhere"}})
		return ping(t, r.URL)
	}
}

// port accepts connections and has f do something to each.
func port(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

func hangsUp(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }
func keepsStill(c net.Conn) {
	_, _ = io.Copy(io.Discard, c)
}

// tlsPort pings a TLS server whose certificate is trusted.
func tlsPort(host string, end time.Duration, versions uint16) func(*testing.T) error {
	return func(t *testing.T) error {
		pair, certFile, _ := certificate(t, host, time.Now().Add(end))
		address := port(t, func(c net.Conn) {
			_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS10, MaxVersion: versions}).Handshake()
		})
		p := pinger{connection: connection{address: "wss://" + address, caFile: certFile}, count: 1, timeout: time.Second}
		return p.run(t.Context(), io.Discard)
	}
}

// handshake is an error that cannot be had on this machine alone.
func handshake(step transport.Step, status int, err error) func(*testing.T) error {
	return func(*testing.T) error {
		return &transport.HandshakeError{Step: step, URL: "wss://relay.example:8700", Status: status, Err: err}
	}
}

const registered = `{"message_type":"relay_response"}`

func TestEveryFailureIsExplained(t *testing.T) {
	dns := func(notFound, timeout bool) error {
		return &net.OpError{Op: "dial", Err: &net.DNSError{Err: "x", Name: "relay.example", IsNotFound: notFound, IsTimeout: timeout}}
	}
	tests := []struct {
		name  string
		fail  func(*testing.T) error
		step  string
		cause string // a part of it
		do    string // a part of the advice
	}{
		{"no such host", handshake(transport.StepResolve, 0, dns(true, false)), "resolve", "relay.example:8700: there is no host of that name", "spelling"},
		{"no name server", handshake(transport.StepResolve, 0, dns(false, true)), "resolve", "did not answer", "name servers"},
		{"a broken name server", handshake(transport.StepResolve, 0, dns(false, false)), "resolve", "failed", "name servers"},

		{"refused", func(t *testing.T) error {
			r := relaytest.New(t)
			r.Stop()
			return ping(t, r.URL)
		}, "connect", "nothing listens on 127.0.0.1:", "start the relay"},
		{"a port that drops", handshake(transport.StepConnect, 0, context.DeadlineExceeded), "connect", "relay.example:8700 did not answer", "firewall"},
		{"no route", handshake(transport.StepConnect, 0, os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "connect", "no route", "VPN"},
		{"another network error", handshake(transport.StepConnect, 0, errors.New("cable cut")), "connect", "cable cut", "network"},

		{"a proxy that wants a password", handshake(transport.StepProxy, 407, errRefused), "proxy", "user and a password", "HTTPS_PROXY"},
		{"a proxy that forbids", handshake(transport.StepProxy, 403, errRefused), "proxy", "does not allow", "443"},
		{"a proxy that cannot connect", handshake(transport.StepProxy, 502, errRefused), "proxy", "cannot reach relay.example:8700 (status 502)", "NO_PROXY"},
		{"a proxy that is none", handshake(transport.StepProxy, 405, errRefused), "proxy", "status 405", "CONNECT"},
		{"a proxy that is silent", handshake(transport.StepProxy, 0, context.DeadlineExceeded), "proxy", "did not answer", "HTTPS_PROXY"},
		{"a proxy that is down", handshake(transport.StepProxy, 0, syscall.ECONNREFUSED), "proxy", "connection refused", "HTTPS_PROXY"},

		{"an unknown authority", func(t *testing.T) error {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			return ping(t, "wss"+strings.TrimPrefix(s.URL, "https"))
		}, "tls", "not trusted", "--ca-file"},
		{"a wrong host", tlsPort("relay.example", time.Hour, tls.VersionTLS13), "tls", "not for this host", "use the name"},
		{"an expired certificate", tlsPort("127.0.0.1", -time.Hour, tls.VersionTLS13), "tls", "expired", "clock"},
		{"an old TLS", tlsPort("127.0.0.1", time.Hour, tls.VersionTLS11), "tls", "handshake failed", "TLS 1.2"},
		{"no TLS", func(t *testing.T) error { return ping(t, "wss"+strings.TrimPrefix(relaytest.New(t).URL, "ws")) }, "tls", "does not speak TLS", "ws://"},
		{"a silent TLS port", func(t *testing.T) error { return ping(t, "wss://"+port(t, keepsStill)) }, "tls", "did not answer", "--timeout"},
		{"a TLS port that hangs up", func(t *testing.T) error { return ping(t, "wss://"+port(t, hangsUp)) }, "tls", "ended the connection", "check the port"},

		{"a TLS port without TLS", func(t *testing.T) error {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			return ping(t, "ws"+strings.TrimPrefix(s.URL, "https"))
		}, "upgrade", "speaks TLS", "wss://"},
		{"status 401", status(401), "upgrade", "who you are", "--token-file"},
		{"status 403", status(403), "upgrade", "does not let you in", "token"},
		{"status 404", status(404), "upgrade", "no relay at this path", "path"},
		{"status 418", status(418), "upgrade", "status 418", "no relay"},
		{"status 426", status(426), "upgrade", "status 426", "proxy"},
		{"status 429", status(429), "upgrade", "too many", "wait"},
		{"status 302", status(302), "upgrade", "elsewhere (status 302)", "wss://"},
		{"status 200", status(200), "upgrade", "web server", "path"},
		{"status 503", status(503), "upgrade", "full, stopping", "again"},
		{"status 502", status(502), "upgrade", "status 502", "behind a proxy is down"},
		{"a silent port", func(t *testing.T) error { return ping(t, "ws://"+port(t, keepsStill)) }, "upgrade", "did not answer", "--timeout"},
		{"a port that hangs up", func(t *testing.T) error { return ping(t, "ws://"+port(t, hangsUp)) }, "upgrade", "without an answer", "wss://"},
		{"another protocol", func(t *testing.T) error {
			return ping(t, "ws://"+port(t, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH\r\n\r\n"); keepsStill(c) }))
		}, "upgrade", "not answer as a relay", "port"},

		{"close code 1001", closes(1001, ""), "register", "stopping", "again"},
		{"close code 1008", closes(1008, "no"), "register", `(1008) and says "no"`, "operator"},
		{"close code 1009", closes(1009, "too big"), "register", `limit of 1 MiB (1009) and says "too big"`, "smaller"},
		{"close code 1011", closes(1011, ""), "register", "failed", "log"},
		{"close code 1013", closes(1013, ""), "register", "full", "again"},
		{"close code 4000", closes(4000, "Unknown message type."), "register", "did not understand", "version"},
		{"close code 4001", closes(4001, "UnauthorizedError: no"), "register", `(4001) and says "UnauthorizedError: no"`, "--token-file"},
		{"close code 4002", closes(4002, "ForbiddenError: no"), "register", "does not let you in", "--uuid"},
		{"close code 4003", closes(4003, ""), "register", "own limit", "max_message_bytes"},
		{"close code 4004", closes(4004, ""), "register", "same UUID", "stop the other"},
		{"another close code", closes(4999, "why not"), "register", `code 4999 and says "why not"`, "log"},
		{"close code 4001, later", func(*testing.T) error { return fmt.Errorf("lost: %w", &transport.CloseError{Code: 4001}) }, "connection", "token", "--token-file"},

		{"no reply", scripted(func(conn transport.Conn) { _, _, _ = conn.ReadFrame(); _, _, _ = conn.ReadFrame() }), "register", "did not reply", "another WebSocket server"},
		{"a refusal", answers(`{"success":false,"error":true,"message":"go away","message_type":"relay_response"}`), "register", `refuses and says "go away"`, "as it says"},
		{"nonsense", answers("hello"), "register", "none of a relay", "another WebSocket server"},
		{"another message", answers(`{"name":"x","uuid":"aaaaaaaa-0000-4000-8000-000000000001","message_type":"relay_registration"}`), "register", "none of a relay", "address"},
		{"the end", scripted(func(conn transport.Conn) { _, _, _ = conn.ReadFrame() }), "register", "without a word", "log"},

		{"no echo", answers(registered), "round trip", "did not come back", "--timeout"},
		{"a bounce", scripted(bounce), "round trip", "could not deliver", "again"},
		{"nonsense for an echo", answers(registered, "hello"), "round trip", "no message", "version"},
		{"another message for an echo", answers(registered, registered), "round trip", "no message", "version"},
		{"the end of it", scripted(func(conn transport.Conn) {
			_, _, _ = conn.ReadFrame()
			_ = errors.Join(conn.WriteFrame([]byte(registered)), conn.Flush())
			_, _, _ = conn.ReadFrame()
		}), "round trip", "without a word", "log"},
		{"an echo that is too large", scripted(func(conn transport.Conn) {
			_, _, _ = conn.ReadFrame()
			_ = errors.Join(conn.WriteFrame([]byte(registered)), conn.Flush())
			_, _, _ = conn.ReadFrame()
			_ = conn.Close(4003, "Message length exceeds limit.")
		}), "round trip", "own limit", "max_message_bytes"},
	}
	used := make(map[int]bool)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.fail(t)
			e, ok := errors.AsType[*explanation](explain(err))
			if !ok {
				t.Fatalf("not explained: %v", err)
			}
			if e.step != tt.step || !strings.Contains(e.cause, tt.cause) || !strings.Contains(e.advice, tt.do) {
				t.Errorf("%v explained as\n%q\nwant step %q, cause … %s …, advice … %s …", err, e, tt.step, tt.cause, tt.do)
			}
			if strings.ContainsAny(e.Error(), "{}\n") {
				t.Errorf("%q is not one clean line", e)
			}
			if !errors.Is(e, err) {
				t.Error("the error itself is lost")
			}
			f, _ := understand(err)
			used[slices.IndexFunc(explanations, func(r row) bool { return r.matches(f) })] = true
		})
	}
	for i, row := range explanations {
		if !used[i] {
			t.Errorf("no test for %q", row.cause)
		}
	}
}

// bounce plays a relay that knows nobody.
func bounce(conn transport.Conn) {
	_, _, _ = conn.ReadFrame()
	_ = errors.Join(conn.WriteFrame([]byte(registered)), conn.Flush())
	frame, _, err := conn.ReadFrame()
	if err != nil {
		return
	}
	m, err := codec.DecodePeerConnection(frame)
	if err != nil {
		return
	}
	m.Error = "nobody of that name"
	frame, _ = m.Append(nil)
	_ = errors.Join(conn.WriteFrame(frame), conn.Flush())
	_, _, _ = conn.ReadFrame()
}

func TestOtherErrorsAreLeftAlone(t *testing.T) {
	for _, err := range []error{nil, errors.New("x"), relay.ErrClosed} {
		if got := explain(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
