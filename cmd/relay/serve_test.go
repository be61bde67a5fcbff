package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/transport"
)

func TestServeSaysWhyItDoesNotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, cert, key := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	_, _, otherKey := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"a port that is taken", []string{"--addr", taken.Addr().String()}, exitFailed, "is taken: is a relay running already?"},
		{"an address of another machine", []string{"--addr", "192.0.2.1:0"}, exitFailed, "not an address of this machine"},
		{"a certificate and another one's key", []string{"--tls-cert", cert, "--tls-key", otherKey}, exitFailed, "cannot be used together: tls: private key does not match"},
		{"a certificate without its key", []string{"--tls-cert", cert}, exitFailed, "cannot be used together"},
		{"a key without a certificate", []string{"--tls-key", key}, exitUsage, "key without a certificate"},
		{"a certificate that does not exist", []string{"--tls-cert", cert + "x", "--tls-key", key}, exitFailed, "cannot read " + cert + "x: no such file"},
		{"a client authority that does not exist", []string{"--tls-cert", cert, "--tls-key", key, "--tls-client-ca", cert + "x"}, exitFailed, "see --tls-client-ca"},
		{"a configuration that does not exist", []string{"--config", cert + "x"}, exitFailed, cert + "x: there is no such file, see --config"},
		{"a configuration that is no TOML", []string{"--config", file(t, "c", "port = ")}, exitFailed, "c:1:7: no TOML: "},
		{"a setting of the wrong type", []string{"--config", file(t, "c", `port = "8700"`)}, exitFailed, "c:1:1: port: should be a whole number, not a string"},
		{"several mistakes", []string{"--config", file(t, "c", "port = 70000\nmax_message_bytes = -1"), "--pprof"}, exitFailed, "max_message_bytes: cannot be negative; --pprof: needs --ops-addr"},
		{"a folder for logs that is a file", []string{"--log-dir", cert}, exitFailed, "see --log-dir"},
		{"a port for operations that is taken", []string{"--addr", "127.0.0.1:0", "--ops-addr", taken.Addr().String()}, exitFailed, "another port with --ops-addr"},
		{"tokens that do not exist", []string{"--auth", "tokens", "--auth-tokens-file", cert + "x"}, exitFailed, "--auth-tokens-file: "},
		{"tokens without a user", []string{"--auth", "tokens", "--auth-tokens-file", file(t, "tokens", "s3cr3t\n")}, exitFailed, "tokens:1: no user behind the token"},
		{"a secret that does not exist", []string{"--auth", "globus", "--auth-client-id", "id", "--auth-client-secret-file", cert + "x"}, exitFailed, "--auth-client-secret-file: "},
		{"an empty secret", []string{"--auth", "globus", "--auth-client-id", "id", "--auth-client-secret-file", file(t, "secret", "\n")}, exitFailed, "is empty"},
		{
			"a URL with a password", []string{"--auth", "globus", "--auth-client-id", "id", "--auth-client-secret-file", file(t, "secret", "s3cr3t"), "--auth-introspection-url", "https://user:s3cr3t@127.0.0.1/"},
			exitFailed, "the URL has a user, a password or a fragment",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := execute(t, "", append([]string{"serve"}, tt.args...)...)
			if code != tt.code || !strings.HasPrefix(stderr, "relay: ") || !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d, stderr %q, want %d, … %s …", code, stderr, tt.code, tt.want)
			}
			if stdout != "" || strings.Contains(stderr, "s3cr3t") {
				t.Errorf("stdout %q, stderr %q", stdout, stderr)
			}
		})
	}
}

func TestServeLogsAtTheLevelThatWasAskedFor(t *testing.T) {
	for level, want := range map[string]bool{"info": true, "WARNING": false, "critical": false, "debug": true} {
		serve := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--log-level", level)
		client, err := relay.Dial(t.Context(), serve.stdout.await(t, "listening on "))
		if err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
		serve.interrupt()
		serve.wait(t)
		if got := strings.Contains(serve.stderr.String(), "msg=registered"); got != want {
			t.Errorf("level %s: registration logged: %v", level, got)
		}
	}
}

// process starts the binary and returns its first line.
func process(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, strings.TrimSpace(line)
}

func TestSignalsEndServePolitely(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd, line := process(t, "serve", "--addr", "127.0.0.1:0")
			address := strings.TrimPrefix(line, "listening on ")
			client, err := relay.Dial(t.Context(), address, relay.WithReconnect(false))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("exit: %v", err)
			}
			for event := range client.Events() {
				change, ok := event.(relay.StateChange)
				if !ok || change.From != relay.Connected {
					continue
				}
				if closed, ok := errors.AsType[*transport.CloseError](change.Err); !ok || closed.Code != 1001 {
					t.Errorf("the client heard %v", change.Err)
				}
				break
			}
		})
	}
}

func TestSecondSignalEndsServeAtOnce(t *testing.T) {
	cmd, line := process(t, "serve", "--addr", "127.0.0.1:0", "--shutdown-timeout", "1h", "--write-timeout", "1h")
	// A client that never answers the goodbye holds the polite end up.
	conn, err := net.Dial("tcp", strings.TrimPrefix(line, "listening on ws://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if answer, err := http.ReadResponse(r, nil); err != nil || answer.StatusCode != 101 {
		t.Fatal(answer, err)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if _, err := r.ReadByte(); err != nil { // the goodbye: the signal was noticed
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	late := time.After(3 * time.Second) // a polite end takes longer
	for {
		_ = cmd.Process.Signal(syscall.SIGTERM) // again, should it have come right behind the first
		select {
		case err := <-ended:
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
				t.Errorf("exit: %v", err)
			}
			return
		case <-late:
			t.Fatal("still running")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestPingThroughAProxy(t *testing.T) {
	serve := start(t, nil, "serve", "--addr", "127.0.0.1:0")
	relayAddress := strings.TrimPrefix(serve.stdout.await(t, "listening on "), "ws://")
	refuses := func(answer string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, answer)
		}
	}
	tunnels := func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		there, err := net.Dial("tcp", relayAddress)
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(c, there); _ = c.Close() }()
		_, _ = io.Copy(there, c)
		_ = there.Close()
	}
	tests := []struct {
		name  string
		serve func(net.Conn)
		code  int
		want  string
	}{
		{"one that lets us through", tunnels, 0, "\nproxy "},
		{"one that wants a password", refuses("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"), 1, "relay: proxy: the proxy wants a user and a password"},
		{"one that finds nothing", refuses("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), 1, "relay: proxy: the proxy cannot reach relay.test:8700"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(binary, "ping", "--relay", "ws://relay.test:8700") // the proxy resolves the name
			cmd.Env = append(os.Environ(), "HTTP_PROXY=http://user:s3cr3t@"+port(t, tt.serve), "http_proxy=", "NO_PROXY=", "no_proxy=")
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.want) {
				t.Errorf("exit code %d: %s", code, out)
			}
			if strings.Contains(string(out), "s3cr3t") {
				t.Errorf("a secret is shown: %s", out)
			}
		})
	}
}
