//go:build unix

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed73300619/relay"
)

// hangUp sends this process a SIGHUP, after replacing a file, and waits for what
// serve says about it.
func hangUp(t *testing.T, serve *command, path, content, want string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	before := len(serve.stderr.String())
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	serve.stderr.awaitBehind(t, before, want)
}

func TestHangUpReloadsWhatCanBe(t *testing.T) {
	const head = "host = '127.0.0.1'\nport = 0\n"
	path := file(t, "relay.toml", head+"max_message_bytes = 300")
	serve := start(t, nil, "serve", "--config", path)
	address := serve.stdout.await(t, "listening on ")
	old := dial(t, address)

	hangUp(t, serve, path, head+"max_message_bytes = 400\n[logging]\ndefault_level = 'DEBUG'", "msg=reloaded")
	if limit := messageLimit(t, address); limit != 400 {
		t.Errorf("the longest message has %d bytes", limit)
	}
	if err := old.Flush(t.Context()); err != nil || old.State() != relay.Connected {
		t.Errorf("an open connection: %v, %v", old.State(), err)
	}
	serve.stderr.await(t, "level=DEBUG")

	for mistake, want := range map[string]string{
		"max_message_bytes = 500\nport = 'x'":                     "relay.toml:2:1: port: should be a whole number",
		"max_message_bytes = 500\nport = ":                        "relay.toml:2:7: no TOML",
		"max_message_bytes = 500\n[relay]\nauth = 'tokens'":       "relay.toml:3: --auth: tokens needs --auth-tokens-file",
		"max_message_bytes = 500\n[relay]\nmax_connections = 0\n": "relay.toml:3:1: relay.max_connections: should be 1 or more",
	} {
		hangUp(t, serve, path, mistake, `level=ERROR msg="not reloaded, everything stays as it was" error=`)
		if log := serve.stderr.String(); !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	if limit := messageLimit(t, address); limit != 400 {
		t.Errorf("after a bad file the longest message has %d bytes", limit)
	}
}

func TestHangUpTellsWhatNeedsARestart(t *testing.T) {
	const head = "host = '127.0.0.1'\nport = 0\n"
	path := file(t, "relay.toml", head)
	serve := start(t, nil, "serve", "--config", path)
	serve.stdout.await(t, "listening on ")
	hangUp(t, serve, path, head+"[relay]\npprof = true\nops_addr = '127.0.0.1:0'\nmax_connections = 3", "msg=reloaded")
	log := serve.stderr.String()
	for _, want := range []string{
		`level=WARN msg="setting needs a restart" setting=ops-addr where=` + path + `:5 in_use="" new=127.0.0.1:0`,
		`level=WARN msg="setting needs a restart" setting=pprof where=` + path + `:4 in_use=false new=true`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in\n%s", want, log)
		}
	}
	if strings.Contains(log, "setting=max-connections") {
		t.Errorf("that one was reloaded:\n%s", log)
	}
	before := len(serve.stderr.String())
	hangUp(t, serve, path, head, "msg=reloaded")
	if log := serve.stderr.String()[before:]; strings.Contains(log, "restart") {
		t.Errorf("taken back, and still\n%s", log)
	}
}

func TestT45_HangUpReloadsCertificatesUnderAHundredClients(t *testing.T) {
	first, cert, key := certificate(t, "127.0.0.1", time.Now().Add(48*time.Hour))
	second, newCert, newKey := certificate(t, "127.0.0.1", time.Now().Add(48*time.Hour))
	_, oldCert, oldKey := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour))
	serve := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key)
	address := serve.stdout.await(t, "listening on wss://")
	shown := func() string {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return string(conn.ConnectionState().PeerCertificates[0].Raw)
	}
	content := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	trusted, err := x509.ParseCertificate(first.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(trusted)
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	live := make([]*relay.Client, 100)
	for i := range live {
		if live[i], err = relay.New("wss://"+address, relay.WithTLSConfig(&tls.Config{RootCAs: roots})); err != nil {
			t.Fatal(err)
		}
		defer live[i].Close()
	}
	talk := func() { // in a ring
		t.Helper()
		for i, c := range live {
			if err := c.Send(ctx, relay.Message{PeerUUID: live[(i+1)%len(live)].UUID(), Description: "still there"}); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range live {
			if m, err := c.Recv(ctx); err != nil || m.Undelivered() {
				t.Fatalf("%+v, %v", m, err)
			}
		}
	}
	for _, c := range live {
		if err := c.Connect(ctx); err != nil {
			t.Fatal(err)
		}
	}
	talk()
	good := content(newCert)
	for _, step := range []struct {
		name, path, content, says string
		want                      []byte
	}{
		{"with the key of the old one", cert, good, "not reloaded, everything stays as it was", first.Certificate[0]},
		{"half written", cert, good[:len(good)/2], "not reloaded, everything stays as it was", first.Certificate[0]},
		{"one that has expired, with the wrong key", cert, content(oldCert), "not reloaded, everything stays as it was", first.Certificate[0]},
		{"one that has expired", key, content(oldKey), "not reloaded, everything stays as it was", first.Certificate[0]},
		{"the new key, without its certificate", key, content(newKey), "not reloaded, everything stays as it was", first.Certificate[0]},
		{"both", cert, good, "msg=reloaded", second.Certificate[0]},
	} {
		hangUp(t, serve, step.path, step.content, step.says)
		if shown() != string(step.want) {
			t.Errorf("%s: the wrong certificate is shown", step.name)
		}
		talk()
	}
	for i, c := range live {
		if st := c.Stats(); st.Connects != 1 || st.Sent != 7 || c.State() != relay.Connected {
			t.Errorf("client %d is %v: %+v", i, c.State(), st)
		}
	}
}

func TestHangUpReloadsTokens(t *testing.T) {
	tokens := file(t, "tokens", "t0ken-of-alice alice\n")
	serve := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--auth", "tokens", "--auth-tokens-file", tokens)
	address := serve.stdout.await(t, "listening on ")
	code := func(token string) int {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		client, err := relay.Dial(ctx, address, relay.WithHeader(http.Header{"Authorization": {"Bearer " + token}}))
		if err == nil {
			_ = client.Close()
			return 0
		}
		if refused, ok := errors.AsType[*relay.RegistrationError](err); ok {
			return refused.Code
		}
		t.Fatal(err)
		return 0
	}
	if alice, bob := code("t0ken-of-alice"), code("t0ken-of-bob"); alice != 0 || bob != 4002 {
		t.Errorf("alice %d, bob %d", alice, bob)
	}
	hangUp(t, serve, tokens, "t0ken-of-bob bob\n", "msg=reloaded")
	if alice, bob := code("t0ken-of-alice"), code("t0ken-of-bob"); alice != 4002 || bob != 0 {
		t.Errorf("reloaded: alice %d, bob %d", alice, bob)
	}
	hangUp(t, serve, tokens, "t0ken-of-eve\n", "tokens:1: no user behind the token")
	if bob, eve := code("t0ken-of-bob"), code("t0ken-of-eve"); bob != 0 || eve != 4002 {
		t.Errorf("after a bad file: bob %d, eve %d", bob, eve)
	}
	if log := serve.stderr.String(); strings.Contains(log, "t0ken") {
		t.Errorf("a token is shown:\n%s", log)
	}
}

func TestHangUpOpensTheLogAnew(t *testing.T) {
	logs := t.TempDir()
	path := file(t, "relay.toml", "host = '127.0.0.1'\nport = 0")
	serve := start(t, nil, "serve", "--config", path, "--log-dir", logs, "--log-format", "json")
	serve.stdout.await(t, "listening on ")
	if err := os.Rename(logs+"/server.log", logs+"/server.log.1"); err != nil {
		t.Fatal(err)
	}
	hangUp(t, serve, path, "host = '127.0.0.1'\nport = 0", `"msg":"reloaded"`)
	serve.interrupt()
	serve.wait(t) // a line goes to stderr first, and then to the file
	now, err := os.ReadFile(logs + "/server.log")
	if err != nil || !strings.HasPrefix(string(now), `{"time":`) || !strings.Contains(string(now), `"msg":"reloaded"`) {
		t.Errorf("%v: %s", err, now)
	}
}
