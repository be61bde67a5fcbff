package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

var update = flag.Bool("update", false, "write the golden files anew")

// realFile is a file for proxystore-relay with every key that it knows.
const realFile = `host = "localhost"
port = 0
certfile = 'CERT'
keyfile = 'KEY'
max_message_bytes = 300

[auth]
[auth.kwargs]

[logging]
log_dir = 'LOGS'
default_level = "INFO"
websockets_level = 30
current_client_interval = 1
current_client_limit = 3
`

func TestServeTakesTheFileOfProxyStoresRelay(t *testing.T) {
	_, cert, key := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	logs := t.TempDir() + "/new/logs"
	config := strings.NewReplacer("CERT", cert, "KEY", key, "LOGS", logs).Replace(realFile)
	serve := start(t, nil, "serve", "--config", file(t, "relay.toml", config))
	address := serve.stdout.await(t, "listening on ")
	if !strings.HasPrefix(address, "wss://127.0.0.1:") {
		t.Errorf("listening on %s", address)
	}
	if limit := messageLimit(t, address); limit != 300 {
		t.Errorf("the longest message has %d bytes", limit)
	}
	client := dial(t, address, relay.WithName("zoë"))
	other := dial(t, address, relay.WithName("anna"))
	serve.stderr.await(t, `msg="connected clients" clients=2 connections=2`)
	for _, want := range []*relay.Client{other, client} {
		serve.stderr.await(t, `msg="connected client" name=`+want.Name()+` uuid=`+want.UUID().String())
	}
	if _, list, _ := strings.Cut(serve.stderr.String(), `msg="connected client" name=`); !strings.HasPrefix(list, "anna") {
		t.Errorf("not sorted by name:\n%s", list)
	}
	third := dial(t, address)
	serve.stderr.await(t, `msg="connected clients" clients=3`)
	if strings.Contains(serve.stderr.String(), `msg="connected client" name=`+third.Name()) {
		t.Error("three are not fewer than three")
	}
	serve.interrupt()
	if code := serve.wait(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	written, err := os.ReadFile(logs + "/server.log")
	if err != nil || string(written) != serve.stderr.String() {
		t.Errorf("%v; server.log has\n%s\nand stderr\n%s", err, written, serve.stderr)
	}
}

// dial connects a client, whatever the certificate.
func dial(t *testing.T, address string, options ...relay.Option) *relay.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience) // which is not the client's
	defer cancel()
	client, err := relay.Dial(ctx, address, append(options, relay.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// messageLimit returns which of a few limits for a message a relay has, or 0.
func messageLimit(t *testing.T, address string) int {
	t.Helper()
	for _, limit := range []int{300, 400, 500} {
		client := dial(t, address, relay.WithReconnect(false))
		m := relay.Message{SourceUUID: client.UUID(), SourceName: client.Name(), PeerUUID: client.UUID(), DescriptionType: codec.Offer}
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		m.Description = strings.Repeat("x", limit+1-len(frame))
		if err := client.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		closed, ok := errors.AsType[*transport.CloseError](client.Flush(t.Context()))
		if ok && closed.Code == 4003 {
			return limit
		}
	}
	return 0
}

func TestServeWarnsAboutWhatTheFileSaysInVain(t *testing.T) {
	path := file(t, "relay.toml", "host = '127.0.0.1'\nport = 0\nporrt = 1\n[logging]\ndefault_log_level = \"INFO\"")
	serve := start(t, nil, "serve", "--config", path)
	serve.stdout.await(t, "listening on ")
	for _, want := range []string{
		path + `:3:1 problem="porrt: there is no such key, it is ignored; did you mean port?"`,
		path + `:5:1 problem="logging.default_log_level: there is no such key, it is ignored; did you mean logging.default_level?"`,
	} {
		serve.stderr.await(t, `level=WARN msg="setting ignored" where=`+want)
	}
}

func TestServeIsToldByFlagsThenTheEnvironmentThenTheFile(t *testing.T) {
	config := file(t, "relay.toml", "host = '127.0.0.1'\nport = 0\nmax_message_bytes = 300")
	limit := func(args ...string) int {
		serve := start(t, nil, append([]string{"serve"}, args...)...)
		return messageLimit(t, serve.stdout.await(t, "listening on "))
	}
	if n := limit("--config", config); n != 300 {
		t.Errorf("the file: %d", n)
	}
	t.Setenv("RELAY_CONFIG", config)
	t.Setenv("RELAY_MAX_MESSAGE_BYTES", "400")
	if n := limit(); n != 400 {
		t.Errorf("the environment: %d", n)
	}
	if n := limit("--max-message-bytes", "500"); n != 500 {
		t.Errorf("the flag: %d", n)
	}
}

func TestCheckPrintsEverySettingAndWhereItIsFrom(t *testing.T) {
	_, cert, key := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	config := file(t, "relay.toml", `port = 8701
certfile = '`+cert+`'
keyfile = '`+key+`'
[auth]
method = "globus"
kwargs = {client_id = "some-id", client_secret = "s3cr3t"}
[relay]
max_connections = 7
trusted_proxy = ["127.0.0.1", "10.1.2.3/8"]
drain_window = "1h"
`)
	t.Setenv("RELAY_LOG_FORMAT", "json")
	t.Setenv("RELAY_SHUTDOWN_TIMEOUT", "2h")
	code, stdout, stderr := execute(t, "", "serve", "--config", config, "--check", "--auth-introspection-url", "https://127.0.0.1/introspect?key=s3cr3t")
	if code != exitDone || stderr != "" {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	if strings.Contains(stdout, "s3cr3t") {
		t.Errorf("a secret is shown:\n%s", stdout)
	}
	for path, name := range map[string]string{config: "relay.toml", cert: "cert.pem", key: "key.pem"} {
		stdout = strings.ReplaceAll(stdout, path, name)
	}
	// How wide the columns are depends on the length of the paths.
	stdout = regexp.MustCompile(`(\S) {2,}`).ReplaceAllString(stdout, "$1  ")
	const golden = "testdata/check.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(stdout), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || stdout != string(want) {
		t.Errorf("%v; it prints\n%s\nnot what is in %s", err, stdout, golden)
	}
}

func TestCheckFindsEverythingThatIsWrong(t *testing.T) {
	_, expired, key := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour))
	exposed := file(t, "tokens", "s3cr3t alice\n")
	if err := os.Chmod(exposed, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		file string
		args []string
		want []string // each in a line of its own
	}{
		{
			name: "in the file, in the settings, and in what they name",
			file: "port = 1.5\nporrt = 1\ncertfile = 'none.pem'\n[auth]\nmethod = 'Globus'\n[relay]\nmax_connections = 0",
			args: []string{"--drain-window", "1m"},
			want: []string{
				"relay.toml:1:1: port: should be a whole number, not a number with a fraction",
				"relay.toml:2:1: porrt: there is no such key",
				`relay.toml:5:1: auth.method: should be "globus"`,
				"relay.toml:7:1: relay.max_connections: should be 1 or more",
				"--drain-window: 1m0s should be less than --shutdown-timeout",
				"cannot read none.pem",
			},
		},
		{
			name: "a certificate that has expired", args: []string{"--tls-cert", expired, "--tls-key", key},
			want: []string{"has expired: clients refuse to connect"},
		},
		{
			name: "tokens that others can read", args: []string{"--auth", "tokens", "--auth-tokens-file", exposed},
			want: []string{"can be read by others than its owner: chmod 600"},
		},
		{
			name: "a folder for logs that is none", args: []string{"--log-dir", exposed},
			want: []string{"is not a folder"},
		},
		{
			name: "a cache that is too patient", args: []string{"--auth", "globus", "--auth-client-id", "x", "--auth-client-secret-file", exposed, "--auth-cache", "2m"},
			want: []string{"for which a revoked token could go unnoticed"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"serve", "--check", "--config", file(t, "relay.toml", tt.file)}, tt.args...)
			code, stdout, stderr := execute(t, "", args...)
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			if code != exitFailed || len(lines) != len(tt.want)+1 || !strings.HasPrefix(stdout, "Configuration:\n") {
				t.Errorf("exit code %d, stdout %q, stderr\n%s", code, stdout, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("no %q in\n%s", want, stderr)
				}
			}
			if strings.Contains(stdout+stderr, "s3cr3t") {
				t.Error("a secret is shown")
			}
		})
	}
}
