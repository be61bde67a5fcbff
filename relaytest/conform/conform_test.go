package conform_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed73300619/relay/relaytest/conform"
	"github.com/seed73300619/relay/server"
)

func TestMain(m *testing.M) {
	code := m.Run()
	left := func(stack string) bool {
		return strings.Contains(stack, "relaytest/conform") && !strings.Contains(stack, "conform_test.TestMain")
	}
	for end := time.Now().Add(5 * time.Second); code == 0; runtime.Gosched() {
		var profile bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&profile, 2)
		if !slices.ContainsFunc(strings.Split(profile.String(), "\n\n"), left) {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", &profile)
			code = 1
		}
	}
	os.Exit(code)
}

// maxMessageBytes is the limit of the relays for the cases about it.
const maxMessageBytes = 2000

// serve starts a relay. What it writes goes through edit, if that is not nil.
func serve(t *testing.T, edit func([]byte) []byte, opts ...server.Option) conform.Target {
	t.Helper()
	relay, err := server.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return front(t, relay, edit)
}

// front puts an HTTP server in front of a relay; both end with the test.
func front(t *testing.T, relay *server.Server, edit func([]byte) []byte) conform.Target {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: relay, ReadHeaderTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() {
		if edit == nil {
			_ = web.Serve(listener)
		} else {
			_ = web.Serve(editor{listener, edit})
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = relay.Shutdown(ctx)
		_ = web.Close()
		serving.Wait()
	})
	return conform.Target{URL: "ws://" + listener.Addr().String(), Patience: 30 * time.Second}
}

// An editor is a listener that edits what its server writes.
type editor struct {
	net.Listener
	edit func([]byte) []byte
}

func (e editor) Accept() (net.Conn, error) {
	conn, err := e.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return editedConn{conn.(*net.TCPConn), e.edit}, nil
}

type editedConn struct {
	*net.TCPConn
	edit func([]byte) []byte
}

func (c editedConn) Write(p []byte) (int, error) {
	if _, err := c.TCPConn.Write(c.edit(bytes.Clone(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// quick are the cases that take no time worth mentioning.
func quick(t *testing.T) []conform.Case {
	t.Helper()
	cases := slices.DeleteFunc(conform.Table(), func(c conform.Case) bool { return c.Slow || c.Heavy })
	if len(cases) < 150 {
		t.Fatalf("only %d cases", len(cases))
	}
	return cases
}

// Package interop runs all cases, on ProxyStore's relay, too.
func TestThisRelayIsAsTheTableSays(t *testing.T) {
	t.Parallel()
	check := func(target conform.Target) (skipped int) {
		for c, result := range conform.Run(t.Context(), target, quick(t)) {
			switch {
			case result.Outcome == conform.Skipped:
				skipped++
			case c.Differs() && result.Outcome != conform.LikeThisRelay, !c.Differs() && result.Outcome != conform.Agreed:
				t.Errorf("%s, %s: %v\n%s", c.Section, c.Name, result.Outcome, result.Account)
			}
		}
		return skipped
	}
	relay, err := server.New()
	if err != nil {
		t.Fatal(err)
	}
	skipped := check(front(t, relay, nil))
	// A registration left behind would not show on the wire: the relay would
	// find its connection closed, and send the message back.
	for end := time.Now().Add(10 * time.Second); relay.Stats().Clients > 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d clients are left behind", relay.Stats().Clients)
		}
	}
	limited := serve(t, nil, server.WithMaxMessageBytes(maxMessageBytes))
	limited.MaxMessageBytes = maxMessageBytes
	ran := 0
	for c, result := range conform.Run(t.Context(), limited, section(t, "Message size")) {
		ran++
		if result.Outcome != conform.Agreed && result.Outcome != conform.LikeThisRelay {
			t.Errorf("%s: %v\n%s", c.Name, result.Outcome, result.Account)
		}
	}
	if skipped != ran {
		t.Errorf("without a limit %d cases are skipped; with one, %d are run", skipped, ran)
	}
}

func section(t *testing.T, name string) []conform.Case {
	t.Helper()
	cases := slices.DeleteFunc(conform.Table(), func(c conform.Case) bool { return c.Section != name })
	if len(cases) == 0 {
		t.Fatalf("no section %q", name)
	}
	return cases
}

// A relay that is wrong in a detail must fail where that shows, and only there.
func TestTheTableCanFail(t *testing.T) {
	t.Parallel()
	replace := func(old, new string) func([]byte) []byte {
		return func(p []byte) []byte { return bytes.ReplaceAll(p, []byte(old), []byte(new)) }
	}
	tests := []struct {
		name  string
		edit  func([]byte) []byte
		fails []string // some of the cases that do
		holds []string // some that do not
	}{
		{"another text for 4000", replace("Unknown message type.", "Unknown message tape."),
			[]string{"a binary message", "no JSON", "a list"}, []string{"a plain request is upgraded", "a message to nobody comes back"}},
		{"another close code", replace("\x0f\xa0Unknown", "\x0f\xa1Unknown"),
			[]string{"a binary message", "no JSON", "a list"}, []string{"a plain request is upgraded", "a message to nobody comes back"}},
		{"another text for a takeover", replace("running in multiple", "running at multiple"),
			[]string{"another connection takes a UUID over", "two connections take a UUID over at the same time"}, []string{"no JSON"}},
		{"a registration is answered otherwise", replace(`"message": null`, `"message":  nul`),
			[]string{"a plain request is upgraded", "a registration is confirmed"}, []string{"no Upgrade", "no key"}},
		{"a bounce with another text", replace("not registered this", "not registered thus"),
			[]string{"a message to nobody comes back", "after a close with 1000"}, []string{"a message to oneself"}},
		{"a pong with another payload", replace("between", "BETWEEN"),
			[]string{"a message in fragments, a ping between them"}, []string{"a ping is answered with its payload"}},
		{"another status", replace("426 Upgrade", "400 Upgrade"), []string{"no Upgrade", "no Connection"}, []string{"POST", "no key"}},
		{"messages change", replace(`"offer"`, `"OFFER"`), []string{"a message arrives, byte for byte", "a registration is confirmed"}, []string{"a plain request is upgraded", "no JSON"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			target := serve(t, test.edit)
			target.Patience = 2 * time.Second // a case that waits for what does not come
			chosen := slices.DeleteFunc(quick(t), func(c conform.Case) bool {
				return !slices.Contains(test.fails, c.Name) && !slices.Contains(test.holds, c.Name)
			})
			if len(chosen) != len(test.fails)+len(test.holds) {
				t.Fatalf("%d cases", len(chosen))
			}
			for c, result := range conform.Run(t.Context(), target, chosen) {
				if failed := result.Outcome == conform.Failed; failed != slices.Contains(test.fails, c.Name) {
					t.Errorf("%s: %v\n%s", c.Name, result.Outcome, result.Account)
				} else if failed && !strings.Contains(result.Account, "FAIL") {
					t.Errorf("%s: the account does not say where: %q", c.Name, result.Account)
				}
			}
		})
	}
}

func TestALikenessToProxyStoreIsSeen(t *testing.T) {
	t.Parallel()
	target := serve(t, nil, server.WithAnySource(), server.WithCheckOrigin(func(*http.Request) bool { return true }))
	like := []string{"a message in the name of another", "a page of another site asks"}
	for c, result := range conform.Run(t.Context(), target, quick(t)) {
		if want := slices.Contains(like, c.Name); want != (result.Outcome == conform.LikeProxyStore) {
			t.Errorf("%s: %v\n%s", c.Name, result.Outcome, result.Account)
		}
	}
}

func TestARelayThatCannotBeReachedFails(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	for _, url := range []string{"ws://" + listener.Addr().String(), "http://127.0.0.1", "://", ""} {
		for _, c := range section(t, "Closing") {
			if r := c.Run(t.Context(), conform.Target{URL: url}); r.Outcome != conform.Failed || !strings.Contains(r.Account, "FAIL") {
				t.Errorf("%q, %s: %+v", url, c.Name, r)
			}
		}
	}
}

func TestTheEndOfTheContextEndsACase(t *testing.T) {
	t.Parallel()
	target := serve(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for c, result := range conform.Run(ctx, target, conform.Table()) {
		cancel() // after the first; with the slow ones under way
		if c.Slow && result.Outcome != conform.Failed {
			t.Errorf("%s: %v", c.Name, result.Outcome)
		}
	}
	for range conform.Run(t.Context(), target, conform.Table()) {
		break // waits for all others to be gone
	}
}

func TestTheTableIsWellMade(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, c := range conform.Table() {
		switch {
		case c.Name == "" || c.Section == "" || seen[c.Name]:
			t.Errorf("the name %q of section %q is empty or not unique", c.Name, c.Section)
		case c.Differs() && (c.ProxyStore == "" || c.ThisRelay == "" || len(c.Why) < 20):
			t.Errorf("%s: it does not say how the two differ, and why", c.Name)
		case strings.ContainsAny(c.Name+c.ProxyStore+c.ThisRelay+c.Why, "|\n"):
			t.Errorf("%s: this does not fit into a table", c.Name)
		}
		seen[c.Name] = true
	}
}

func TestThePageOfDifferencesIsUpToDate(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != conform.Markdown() {
		t.Error("docs/conformance.md is not what the table says: in cmd/relay, run go run . conform --markdown > ../../docs/conformance.md")
	}
}
