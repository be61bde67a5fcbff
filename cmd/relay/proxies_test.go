//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed73300619/relay"
)

// freePort returns an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// behind runs a program until the test ends, and waits for it to answer.
func behind(t *testing.T, address string, cmd *exec.Cmd) {
	t.Helper()
	out := newOutput()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(patience)
	for {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%v: %s", err, out)
		case <-late:
			t.Fatalf("nobody listens on %s: %s", address, out)
		case <-ticker.C:
		}
	}
}

// A proxy in front of a relay, with TLS.
type proxy struct {
	address string // host:port
	roots   *tls.Config
	ca      string // file
	relay   *command
}

// inFront starts a relay as it should be behind a proxy, and the proxy.
func inFront(t *testing.T, run func(listen, upstream, cert, key string) *exec.Cmd) *proxy {
	t.Helper()
	pair, cert, key := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	p := &proxy{address: freePort(t), roots: &tls.Config{RootCAs: roots}, ca: cert}
	upstream := freePort(t)
	p.relay = behindProxy(t, upstream)
	behind(t, p.address, run(p.address, upstream, cert, key))
	return p
}

func behindProxy(t *testing.T, address string) *command {
	t.Helper()
	relay := start(t, nil, "serve", "--addr", address, "--trusted-proxy", "127.0.0.1")
	relay.stdout.await(t, "listening on ")
	return relay
}

// client connects from another loopback address, so that it can be told from
// the proxy.
func (p *proxy) client(t *testing.T, name string, opts ...relay.Option) *relay.Client {
	t.Helper()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	opts = append(opts, relay.WithName(name), relay.WithTLSConfig(p.roots), relay.WithDialContext(from.DialContext))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := relay.Dial(ctx, "wss://"+p.address, opts...)
	if err != nil {
		t.Fatalf("%v; the relay says: %s", err, p.relay.stderr)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func nginx(t *testing.T) func(listen, upstream, cert, key string) *exec.Cmd {
	binary := program(t, "nginx")
	return func(listen, upstream, cert, key string) *exec.Cmd {
		dir := t.TempDir()
		snippet := packaged(t, "nginx.conf",
			"listen 443 ssl", "listen "+listen+" ssl", "127.0.0.1:8700", upstream,
			"/etc/nginx/tls/fullchain.pem", cert, "/etc/nginx/tls/privkey.pem", key)
		config := "daemon off; master_process off; pid nginx.pid; error_log stderr; events {} http { access_log off;\n" +
			"client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n" +
			snippet + "}\n"
		return exec.Command(binary, "-p", dir, "-e", "stderr", "-c", file(t, "nginx.conf", config))
	}
}

func caddy(t *testing.T) func(listen, upstream, cert, key string) *exec.Cmd {
	binary := program(t, "caddy")
	return func(listen, upstream, cert, key string) *exec.Cmd {
		dir := t.TempDir()
		config := "{\n\tadmin off\n\tauto_https off\n\tservers {\n\t\tprotocols h1 h2\n\t}\n}\n" +
			packaged(t, "Caddyfile", "relay.example.org {", "https://"+listen+" {\n\tbind 127.0.0.1\n\ttls "+cert+" "+key, "127.0.0.1:8700", upstream)
		cmd := exec.Command(binary, "run", "--adapter", "caddyfile", "--config", file(t, "Caddyfile", config))
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return cmd
	}
}

func TestBehindAProxy(t *testing.T) {
	for name, run := range map[string]func(*testing.T) func(listen, upstream, cert, key string) *exec.Cmd{"nginx": nginx, "Caddy": caddy} {
		t.Run(name, func(t *testing.T) {
			p := inFront(t, run(t))
			code, stdout, stderr := execute(t, "", "ping", "--relay", "wss://"+p.address, "--ca-file", p.ca, "--count", "2")
			if code != exitDone {
				t.Errorf("ping: exit code %d\n%s%s", code, stdout, stderr)
			}

			invented := http.Header{"X-Forwarded-For": {"203.0.113.9"}}
			a, b := p.client(t, "a", relay.WithHeader(invented)), p.client(t, "b")
			for _, way := range [][2]*relay.Client{{a, b}, {b, a}} {
				exchange(t, way[0], way[1], strings.Repeat("é", 100_000))
			}
			log := p.relay.stderr.String()
			if !regexp.MustCompile(`name=a .*remote=127\.0\.0\.2`).MatchString(log) {
				t.Errorf("the relay does not know where a client is: %s", log)
			}

			// What else the relay has is not behind the proxy.
			browser := &http.Client{Transport: &http.Transport{TLSClientConfig: p.roots, DisableKeepAlives: true}}
			for _, path := range []string{"/", "/metrics", "/events", "/debug/pprof/"} {
				answer, err := browser.Get("https://" + p.address + path)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if answer.StatusCode != http.StatusUpgradeRequired && answer.StatusCode != http.StatusBadRequest {
					t.Errorf("%s: %s", path, answer.Status)
				}
			}
		})
	}
}

// exchange sends a message from one client to another.
func exchange(t *testing.T, from, to *relay.Client, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := from.Send(ctx, relay.Message{PeerUUID: to.UUID(), Description: text}); err != nil {
		t.Fatal(err)
	}
	m, err := to.Recv(ctx)
	if err != nil || m.SourceUUID != from.UUID() || m.Description != text {
		t.Errorf("received %d bytes from %s, %v", len(m.Description), m.SourceName, err)
	}
}

func TestARestartBehindCaddyIsWaitedFor(t *testing.T) {
	upstream := ""
	run := caddy(t)
	p := inFront(t, func(listen, to, cert, key string) *exec.Cmd {
		upstream = to
		return run(listen, to, cert, key)
	})
	p.relay.interrupt()
	p.relay.wait(t)
	opened := make(chan error, 1)
	go func() {
		c, err := tls.Dial("tcp", p.address, p.roots)
		if err != nil {
			opened <- err
			return
		}
		defer c.Close()
		// One attempt, as a client makes that takes any answer but 101 for the end.
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+p.address+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
		status := make([]byte, len("HTTP/1.1 101"))
		if _, err := io.ReadFull(c, status); err != nil || string(status) != "HTTP/1.1 101" {
			err = fmt.Errorf("%q, %v", status, err)
			opened <- err
			return
		}
		opened <- nil
	}()
	select {
	case err := <-opened:
		t.Fatalf("answered without a relay: %v", err)
	case <-time.After(500 * time.Millisecond): // two of its attempts
	}
	behindProxy(t, upstream)
	if err := <-opened; err != nil {
		t.Error(err)
	}
}
