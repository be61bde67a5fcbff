package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/server"
)

func TestConform(t *testing.T) {
	ours, limited := relaytest.New(t), relaytest.New(t, server.WithMaxMessageBytes(2000))
	lax := relaytest.New(t, server.WithAnySource())
	dead := relaytest.New(t)
	dead.Freeze()
	down := relaytest.New(t)
	down.Stop()
	broken := relaytest.New(t)
	broken.Reject(4002, "go away")
	tests := []struct {
		name, args string
		code       int
		stdout     string // a part of it
		stderr     string
	}{
		{"as this relay", "--relay " + ours.URL + " --run Forwarding", exitDone,
			"as this relay  Forwarding: a message in the name of another\n               sends it back\n               why the two differ: Anybody", "0 as ProxyStore, 0 failed"},
		{"as ProxyStore", "--relay " + lax.URL + " --run name.of.another$", exitDone,
			"as ProxyStore  Forwarding: a message in the name of another\n               delivers it\n", "1 cases: 0 ok, 0 as this relay, 1 as ProxyStore, 0 failed"},
		{"neither", "--relay " + broken.URL + " --run ^Registration$", exitFailed,
			"failed         Registration: a registration is confirmed\n", "relay: 13 of 13 cases have failed"},
		{"the account of a failure", "--relay " + broken.URL + " --run byte.for.byte", exitFailed,
			"                 FAIL  alice registers ALICE: what came is a close with 4002 `go away`\n", "1 of 1 cases"},
		{"without a limit", "--relay " + ours.URL + " --run Message.size", exitDone, "skipped        Message size: ", "not run: 6 without --max-message-bytes"},
		{"with a limit", "--relay " + limited.URL + " --run Message.size --max-message-bytes 2000", exitDone, "ok             Message size: ", "not run: 0 without --max-message-bytes"},
		{"slow and heavy ones are left out", "--relay " + ours.URL + " --run does.not.read|answers.no.ping", exitDone, "", "0 cases: 0 ok, 0 as this relay, 0 as ProxyStore, 0 failed; not run: 0 without --max-message-bytes, 2 without --slow, 2 without --heavy"},
		{"a heavy one", "--relay " + ours.URL + " --run that.does.not.read$ --heavy", exitDone, "as this relay  Faults of ProxyStore's relay: a client that does not read\n", "1 without --slow"},
		{"no such case", "--relay " + ours.URL + " --run nonsense", exitUsage, "", `no case matches "nonsense"`},
		{"no expression", "--relay " + ours.URL + " --run (", exitUsage, "", "relay: --run: error parsing regexp"},
		{"no time", "--relay " + ours.URL + " --timeout 0s", exitUsage, "", "--timeout must be more than 0"},
		{"no relay named", "", exitUsage, "", "--relay is missing"},
		{"no relay there", "--relay " + down.URL, exitFailed, "", "relay: connect: nothing listens on"},
		{"a relay that does not answer", "--relay " + dead.URL + " --timeout 200ms", exitFailed, "", "relay: upgrade: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := execute(t, "", strings.Fields("conform "+test.args)...)
			if code != test.code || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) {
				t.Errorf("exit code %d, want %d; stdout\n%s\nstderr\n%s", code, test.code, stdout, stderr)
			}
		})
	}
}

func TestConformInJSON(t *testing.T) {
	code, stdout, _ := execute(t, "", "conform", "--relay", relaytest.New(t).URL, "--run", "name of another$", "--json")
	var got map[string]string
	if err := json.Unmarshal([]byte(stdout), &got); code != exitDone || err != nil {
		t.Fatalf("%d, %v: %s", code, err, stdout)
	}
	if got["section"] != "Forwarding" || got["outcome"] != "as this relay" || got["does"] != "sends it back" || got["why"] == "" {
		t.Errorf("%v", got)
	}
}

func TestConformPrintsThePage(t *testing.T) {
	code, stdout, stderr := execute(t, "", "conform", "--markdown")
	page, err := os.ReadFile("../../docs/conformance.md")
	if code != exitDone || stdout != string(page) || err != nil {
		t.Errorf("%d, %s, %v: it is not docs/conformance.md", code, stderr, err)
	}
}

// The token and the headers go along with each handshake, and are shown nowhere.
func TestConformShowsNoSecret(t *testing.T) {
	relay, err := server.New()
	if err != nil {
		t.Fatal(err)
	}
	r := relaytest.New(t)
	r.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cr3t" || r.Header.Get("X-Key") != "s3cr3t" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		relay.ServeHTTP(w, r)
	}))
	args := []string{"conform", "--relay", r.URL, "--run", "^Closing$|no key", "--header", "X-Key: s3cr3t"}
	if code, stdout, stderr := execute(t, "", args...); code != exitFailed || strings.Contains(stdout+stderr, "s3cr3t") {
		t.Errorf("without a token: %d\n%s%s", code, stdout, stderr)
	}
	args = append(args, "--token-file", file(t, "token", "s3cr3t\n"))
	if code, stdout, stderr := execute(t, "", args...); code != exitDone || strings.Contains(stdout+stderr, "s3cr3t") {
		t.Errorf("with a token: %d\n%s%s", code, stdout, stderr)
	}
	if err := relay.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestConformOverTLS(t *testing.T) {
	_, certFile, keyFile := certificate(t, "127.0.0.1", time.Now().Add(24*time.Hour))
	relay, err := server.New()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := &http.Server{Handler: relay}
	served := make(chan struct{})
	go func() { // ends with the listener, and is waited for below
		defer close(served)
		_ = front.ServeTLS(listener, certFile, keyFile)
	}()
	code, stdout, stderr := execute(t, "", "conform", "--relay", "wss://"+listener.Addr().String(), "--ca-file", certFile, "--run", "^Closing$|^Leaving$|^Frames$")
	if code != exitDone || !strings.Contains(stderr, " 0 failed") {
		t.Errorf("%d\n%s%s", code, stdout, stderr)
	}
	_ = relay.Shutdown(t.Context())
	_ = front.Close()
	<-served
}
