package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/cmd/relay/internal/config"
	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
	"github.com/seed73300619/relay/transport"
)

// configuration returns the settings of a server by name, which it keeps to
// itself: this test is their only reader. Functions are given as whether there is one.
func configuration(t *testing.T, options ...server.Option) map[string]string {
	t.Helper()
	s, err := server.New(options...)
	if err != nil {
		t.Fatal(err)
	}
	pointer := reflect.ValueOf(s).Elem().FieldByName("settings").FieldByName("v").UnsafePointer()
	settings := reflect.NewAt(reflect.TypeFor[server.Option]().In(0).Elem(), pointer).Elem()
	found := make(map[string]string)
	for i := range settings.NumField() {
		value := settings.Field(i)
		switch value.Kind() {
		case reflect.Func, reflect.Pointer, reflect.Interface:
			found[settings.Type().Field(i).Name] = fmt.Sprint(!value.IsNil())
		default:
			found[settings.Type().Field(i).Name] = fmt.Sprint(value)
		}
	}
	return found
}

func TestTheDefaultsAreTheServers(t *testing.T) {
	want := configuration(t)
	defaults := config.Defaults()
	defaults.MessageRate, defaults.ByteRate, defaults.DrainWindow = 0, 0, 0 // which a server that is embedded leaves open
	if got := configuration(t, options(defaults, nil, slog.Default())...); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestEverySettingReachesTheServer(t *testing.T) {
	s := config.Defaults()
	s.TrustedProxies, s.AllowOrigins, s.AnySource = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, []string{"*"}, true
	for i, n := range []*int{
		&s.MaxConnections, &s.MaxConnectionsPerAddress, &s.MaxConnectionsPerUser, &s.MaxUnregistered, &s.MaxRegistrations,
		&s.MaxMessageBytes, &s.QueueBytes, &s.MessageRate, &s.ByteRate,
	} {
		*n = 70_000 + i
	}
	for i, d := range []*time.Duration{&s.AuthTimeout, &s.RegisterTimeout, &s.PingInterval, &s.PingTimeout, &s.WriteTimeout, &s.DrainWindow} {
		*d = time.Duration(i+1) * time.Minute
	}
	before := configuration(t)
	taken := make(map[string]string) // by whom
	for name, value := range configuration(t, options(s, auth.Certificate{}, slog.Default())...) {
		if value == before[name] && name != "logger" {
			t.Errorf("%s is what it was before: %s", name, value)
		}
		if other := taken[value]; other != "" && value != "true" {
			t.Errorf("%s and %s are both %s", name, other, value)
		}
		taken[value] = name
	}
}

func TestT43_OriginsThatMayConnect(t *testing.T) {
	tests := []struct {
		allowed []string
		origin  string
		want    bool
	}{
		{[]string{"https://a.example"}, "", true},
		{[]string{"https://a.example"}, "https://A.example", true},
		{[]string{"https://a.example"}, "http://relay.example:8700", true}, // of this host
		{[]string{"https://a.example"}, "https://b.example", false},
		{[]string{"https://a.example"}, "http://a.example", false},
		{[]string{"https://a.example"}, "https://a.example:8443", false},
		{[]string{"https://a.example"}, "null", false},
		{[]string{"null"}, "null", true},
		{[]string{"*"}, "https://b.example", true},
	}
	for _, tt := range tests {
		r := &http.Request{Host: "relay.example:8700", Header: make(http.Header)}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		if got := allowOrigins(tt.allowed)(r); got != tt.want {
			t.Errorf("%q with %v: %v", tt.origin, tt.allowed, got)
		}
	}
}

// The list, as a browser meets it.
func TestT43_ServeHonoursItsListOfOrigins(t *testing.T) {
	for _, list := range [][]string{nil, {"https://a.example", "null"}} {
		args := []string{"serve", "--addr", "127.0.0.1:0"}
		for _, origin := range list {
			args = append(args, "--allow-origin", origin)
		}
		serve := start(t, nil, args...)
		address := serve.stdout.await(t, "listening on ")
		own := "http://" + strings.TrimPrefix(address, "ws://")
		for origin, welcome := range map[string]bool{
			own: true, "https://a.example": list != nil, "null": list != nil, "https://b.example": false, "https://a.example:8443": false, "http://127.0.0.1:1": false,
		} {
			ws, err := (&transport.Dialer{Header: http.Header{"Origin": {origin}}}).Dial(t.Context(), address)
			if err == nil {
				ws.Abort()
			}
			refused, ok := errors.AsType[*transport.HandshakeError](err)
			if welcome && err != nil || !welcome && (!ok || refused.Status != http.StatusForbidden) {
				t.Errorf("%s, with the list %q: %v, want it welcome: %v", origin, list, err, welcome)
			}
		}
		serve.interrupt()
		serve.wait(t)
	}
}

// A file for Globus Auth works when the endpoint is another one, and neither
// the secret nor a token is ever shown.
func TestServeAsksAboutTokens(t *testing.T) {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if id != "some-id" || secret != "s3cr3t" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"active": `+fmt.Sprint(r.FormValue("token") == "t0ken")+`, "sub": "alice", "aud": ["some-audience"]}`)
	}))
	defer endpoint.Close()
	serve := start(t, nil, "serve", "--auth-introspection-url", endpoint.URL+"?k3y", "--log-level", "debug", "--config", file(t, "relay.toml", `
host = "127.0.0.1"
port = 0
[auth]
method = "globus"
[auth.kwargs]
client_id = "some-id"
client_secret = "s3cr3t"
audience = "some-audience"
`))
	address := serve.stdout.await(t, "listening on ")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for token, code := range map[string]string{"t0ken": "", "t0ken2": "4002"} {
		client, err := relay.Dial(ctx, address, relay.WithHeader(http.Header{"Authorization": {"Bearer " + token}}))
		if (err == nil) != (code == "") || err != nil && !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v", token, err)
		}
		if err == nil {
			_ = client.Close()
		}
	}
	serve.stderr.await(t, "msg=registered")
	serve.interrupt()
	serve.wait(t)
	for _, secret := range []string{"s3cr3t", "t0ken", "k3y"} {
		if log := serve.stderr.String(); strings.Contains(log, secret) {
			t.Errorf("%s is shown:\n%s", secret, log)
		}
	}
}

func TestServeKnowsClientsByTheirCertificates(t *testing.T) {
	_, cert, key := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	serve := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key, "--auth", "mtls", "--tls-client-ca", cert,
		"--log-websockets-level", "info")
	address := serve.stdout.await(t, "listening on ")
	code, _, stderr := execute(t, "", "ping", "--relay", address, "--insecure", "--timeout", "5s")
	if code != exitFailed || !strings.Contains(stderr, "certificate required") {
		t.Errorf("without a certificate: exit code %d, %s", code, stderr)
	}
	serve.stderr.await(t, `level=INFO msg=http error="TLS handshake error`)
}

func TestLinesOfTheHTTPServerHaveALevel(t *testing.T) {
	var lines strings.Builder
	h := httpLog{slog.New(slog.NewTextHandler(&lines, nil))}
	for line, want := range map[string]string{
		"http: TLS handshake error from 127.0.0.1:1: EOF\n":                    `level=INFO msg=http error="TLS handshake error from 127.0.0.1:1: EOF"`,
		"http: Accept error: too many open files; retrying in 5ms\n":           `level=ERROR msg=http error="Accept error: too many open files; retrying in 5ms"`,
		"http: panic serving 127.0.0.1:1: oops\ngoroutine 1 [running]:\nx()\n": `level=ERROR msg=http error="panic serving`,
	} {
		lines.Reset()
		if n, err := h.Write([]byte(line)); n != len(line) || err != nil || !strings.Contains(lines.String(), want) {
			t.Errorf("%d, %v: %s", n, err, lines.String())
		}
	}
}

func TestServeWarnsOfWhatIsOpenToAll(t *testing.T) {
	tokens := file(t, "tokens", "t0ken alice\n")
	tests := []struct {
		name  string
		args  []string
		warns []string
	}{
		{"this machine only", []string{"--addr", "127.0.0.1:0"}, nil},
		{"all interfaces", []string{"--addr", ":0", "--ops-addr", ":0"}, []string{"not encrypted", "not authenticated", "health, metrics and the status page"}},
		{"all interfaces, with tokens", []string{"--addr", ":0", "--auth", "tokens", "--auth-tokens-file", tokens}, []string{"not encrypted"}},
		{"more connections than files", []string{"--addr", "127.0.0.1:0", "--max-connections", "1000000000"}, []string{"fewer files may be open"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			serve := start(t, nil, append([]string{"serve", "--max-connections", "10"}, tt.args...)...)
			serve.stdout.await(t, "listening on ")
			serve.interrupt()
			serve.wait(t)
			log := serve.stderr.String()
			if n := strings.Count(log, "level=WARN"); n != len(tt.warns) {
				t.Errorf("%d warnings in\n%s", n, log)
			}
			for _, want := range tt.warns {
				if !strings.Contains(log, `level=WARN msg="`+want) {
					t.Errorf("no %q in\n%s", want, log)
				}
			}
		})
	}
}

func TestTheRelayOutlivesItsOperationsServer(t *testing.T) {
	settings := config.Defaults()
	settings.Addr, settings.OpsAddr = "127.0.0.1:0", "127.0.0.1:0"
	lines := newOutput()
	logs, err := openLogs(settings, lines)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{settings: settings, logs: logs, log: logs.logger(logs.level)}
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	if s.front, err = listen(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	defer s.front.close()
	o, err := s.startOperations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = o.listener.Close() // as if the system had
	lines.await(t, `level=ERROR msg="health and metrics are no longer served"`)
	o.ready()
	o.drain()
	o.close()
}
