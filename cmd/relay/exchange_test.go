package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

func TestServeListenAndSendTogether(t *testing.T) {
	serve := start(t, nil, "serve", "--addr", "127.0.0.1:0")
	address := serve.stdout.await(t, "listening on ")
	listen := start(t, nil, "listen", "--relay", address, "--name", "ear", "--count", "3", "--timeout", "30s")
	ear := listen.stderr.await(t, "listening as ")
	mouth := uuid.NewString()

	code, stdout, stderr := execute(t, "a <b> & \"c\"\n\n\u00fc \u2028 \U0001f600",
		"send", "--relay", address, "--to", ear, "--uuid", mouth, "--name", "mouth", "--type", "answer")
	if code != exitDone || stdout != "" || stderr != "sending as "+mouth+"\n" {
		t.Errorf("send: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if code := listen.wait(t); code != exitDone {
		t.Errorf("listen: exit code %d", code)
	}
	var got []string
	for line := range strings.Lines(listen.stdout.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got = append(got, m["description"].(string))
		delete(m, "description")
		want := map[string]any{"source_uuid": mouth, "source_name": "mouth", "peer_uuid": ear, "description_type": "answer", "error": nil}
		if !reflect.DeepEqual(m, want) {
			t.Errorf("%v, want %v", m, want)
		}
	}
	if want := []string{`a <b> & "c"`, "", "\u00fc \u2028 \U0001f600"}; !slices.Equal(got, want) {
		t.Errorf("descriptions %q, want %q", got, want)
	}
	serve.interrupt()
	if code := serve.wait(t); code != exitDone {
		t.Errorf("serve: exit code %d", code)
	}
	if lines := strings.Count(serve.stdout.String(), "\n"); lines != 1 {
		t.Errorf("serve printed %d lines on stdout", lines)
	}
}

func TestListenPrintsTheErrorOfAMessage(t *testing.T) {
	r := relaytest.New(t)
	listen := start(t, nil, "listen", "--relay", r.URL, "--count", "1")
	ear := uuid.MustParse(listen.stderr.await(t, "listening as "))
	if err := r.Client("a").Send(t.Context(), relay.Message{PeerUUID: ear, Error: "no such thing"}); err != nil {
		t.Fatal(err)
	}
	if code := listen.wait(t); code != exitDone || !strings.Contains(listen.stdout.String(), `"error":"no such thing"}`+"\n") {
		t.Errorf("exit code %d, stdout %s", code, listen.stdout)
	}
}

func TestListenEnds(t *testing.T) {
	r := relaytest.New(t)
	t.Run("with 0 when interrupted", func(t *testing.T) {
		listen := start(t, nil, "listen", "--relay", r.URL)
		listen.stderr.await(t, "listening as ")
		listen.interrupt()
		if code := listen.wait(t); code != exitDone {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("with 0 when the time is up", func(t *testing.T) {
		if code, _, stderr := execute(t, "", "listen", "--relay", r.URL, "--timeout", "50ms"); code != exitDone {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	})
	t.Run("with 1 when the time is up before all have come", func(t *testing.T) {
		code, _, stderr := execute(t, "", "listen", "--relay", r.URL, "--timeout", "50ms", "--count", "2")
		if code != exitFailed || !strings.Contains(stderr, "relay: 0 of 2 messages came within 50ms\n") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	})
	t.Run("with 1 when another client takes its UUID", func(t *testing.T) {
		listen := start(t, nil, "listen", "--relay", r.URL)
		other := r.Client("b", relay.WithUUID(uuid.MustParse(listen.stderr.await(t, "listening as "))))
		if err := other.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if code := listen.wait(t); code != exitFailed || !strings.Contains(listen.stderr.String(), "relay: register: another client registered with the same UUID (4004)") {
			t.Errorf("exit code %d: %s", code, listen.stderr)
		}
	})
}

func TestListenComesBackAndSaysSo(t *testing.T) {
	r := relaytest.New(t)
	listen := start(t, nil, "listen", "--relay", r.URL, "--count", "1")
	ear := listen.stderr.await(t, "listening as ")
	r.Stop()
	listen.stderr.await(t, "next attempt in ")
	r.Start()
	listen.stderr.await(t, "next attempt in ")
	again := "listening as " + ear + "\n"
	late := time.After(patience)
	for strings.Count(listen.stderr.String(), again) < 2 {
		select {
		case <-late:
			t.Fatalf("not back: %s", listen.stderr)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if code, _, stderr := execute(t, "hello", "send", "--relay", r.URL, "--to", ear); code != exitDone {
		t.Errorf("send: exit code %d: %s", code, stderr)
	}
	if code := listen.wait(t); code != exitDone {
		t.Errorf("listen: exit code %d", code)
	}
}

func TestSendNamesTheLinesThatCameBack(t *testing.T) {
	r := relaytest.New(t)
	code, _, stderr := execute(t, "same\nother\nsame\n", "send", "--relay", r.URL, "--to", uuid.NewString())
	if code != exitFailed || !strings.HasSuffix(stderr, "relay: 3 of 3 lines lost or in doubt: lines 1-3\n") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for n := range 3 {
		if !strings.Contains(stderr, fmt.Sprintf("relay: line %d: came back: ", n+1)) {
			t.Errorf("line %d is not named: %s", n+1, stderr)
		}
	}
}

func TestSendTellsOfManyLinesThatCameBack(t *testing.T) {
	const n = 3000 // more than the client's channel of returned messages holds
	r := relaytest.New(t)
	var lines strings.Builder
	for i := range n {
		fmt.Fprintln(&lines, i)
	}
	code, _, stderr := execute(t, lines.String(), "send", "--relay", r.URL, "--to", uuid.NewString())
	if want := fmt.Sprintf("relay: %d of %[1]d lines lost or in doubt: lines 1-%[1]d\n", n); code != exitFailed || !strings.HasSuffix(stderr, want) {
		t.Errorf("exit code %d: %s", code, stderr[max(0, len(stderr)-300):])
	}
}

func TestSendRefusesOneLineAndSendsTheOthers(t *testing.T) {
	r := relaytest.New(t)
	listen := start(t, nil, "listen", "--relay", r.URL, "--count", "2")
	ear := listen.stderr.await(t, "listening as ")
	tooLarge, notUTF8 := strings.Repeat("x", maxLine), "\xff"
	code, _, stderr := execute(t, "one\n"+tooLarge+"\n"+notUTF8+"\nfour\r\n", "send", "--relay", r.URL, "--to", ear)
	if code != exitFailed || !strings.HasSuffix(stderr, "relay: 2 of 4 lines lost or in doubt: lines 2-3\n") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if !strings.Contains(stderr, "line 2: relay: message too large") || !strings.Contains(stderr, "line 3: codec: ") {
		t.Errorf("no reasons: %s", stderr)
	}
	if code := listen.wait(t); code != exitDone || !strings.Contains(listen.stdout.String(), `"four"`) {
		t.Errorf("listen: exit code %d: %s", code, listen.stdout)
	}
}

func TestSendTakesLongLinesAndStopsAtOneThatIsTooLong(t *testing.T) {
	r := relaytest.New(t)
	listen := start(t, nil, "listen", "--relay", r.URL, "--count", "1")
	ear := listen.stderr.await(t, "listening as ")
	long := strings.Repeat("x", maxLine-1024)
	code, _, stderr := execute(t, long+"\n"+strings.Repeat("y", maxLine+3)+"\nthree", "send", "--relay", r.URL, "--to", ear)
	if code != exitFailed || !strings.Contains(stderr, "relay: stdin, line 2: ") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if code := listen.wait(t); code != exitDone || !strings.Contains(listen.stdout.String(), long) {
		t.Errorf("listen: exit code %d, %d bytes", code, len(listen.stdout.String()))
	}
}

func TestSendNamesTheLinesInDoubt(t *testing.T) {
	r := relaytest.New(t)
	r.Script(func(conn transport.Conn) { // confirms nothing, and crashes after two messages
		for i := range 3 {
			if _, _, err := conn.ReadFrame(); err != nil {
				return
			}
			if i == 0 {
				_ = conn.WriteFrame([]byte(registered))
				_ = conn.Flush()
			}
		}
	})
	stdin, keyboard := io.Pipe()
	send := start(t, stdin, "send", "--relay", r.URL, "--to", uuid.NewString(), "--timeout", "2s")
	if _, err := io.WriteString(keyboard, "one\ntwo\n"); err != nil {
		t.Fatal(err)
	}
	send.stderr.await(t, "in doubt, the connection was lost")
	_ = keyboard.Close()
	if code := send.wait(t); code != exitFailed || !strings.Contains(send.stderr.String(), "2 of 2 lines lost or in doubt: lines 1-2") {
		t.Errorf("exit code %d: %s", code, send.stderr)
	}
}

func TestSendWaitsNoLongerThanToldTo(t *testing.T) {
	t.Run("for a connection", func(t *testing.T) {
		r := relaytest.New(t)
		r.Stop()
		code, _, stderr := execute(t, "x", "send", "--relay", r.URL, "--to", uuid.NewString(), "--timeout", "100ms")
		if code != exitFailed || !strings.Contains(stderr, "relay: connect: nothing listens on 127.0.0.1:") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	})
	t.Run("for the relay to hand on", func(t *testing.T) {
		r := relaytest.New(t)
		stdin, keyboard := io.Pipe()
		send := start(t, stdin, "send", "--relay", r.URL, "--to", uuid.NewString(), "--timeout", "100ms")
		send.stderr.await(t, "sending as ")
		thaw := r.Freeze()
		defer thaw()
		_, _ = io.WriteString(keyboard, "x\n")
		_ = keyboard.Close()
		if code := send.wait(t); code != exitFailed || !strings.Contains(send.stderr.String(), "1 of 1 lines lost or in doubt: line 1") {
			t.Errorf("exit code %d: %s", code, send.stderr)
		}
	})
	t.Run("for stdin, once interrupted", func(t *testing.T) {
		r := relaytest.New(t)
		stdin, keyboard := io.Pipe()
		defer keyboard.Close()
		send := start(t, stdin, "send", "--relay", r.URL, "--to", uuid.NewString())
		send.stderr.await(t, "sending as ")
		send.interrupt()
		if code := send.wait(t); code != exitFailed || !strings.Contains(send.stderr.String(), "relay: interrupted\n") {
			t.Errorf("exit code %d: %s", code, send.stderr)
		}
	})
}

func TestLineNumbers(t *testing.T) {
	for want, numbers := range map[string][]int{
		"line 7":          {7},
		"lines 1-3":       {1, 2, 3},
		"lines 2, 4-6, 9": {2, 4, 5, 6, 9},
		"a line":          {0},
	} {
		if got := lineNumbers(numbers); got != want {
			t.Errorf("%v: %q, want %q", numbers, got, want)
		}
	}
	var odd []int
	for n := range 100 {
		odd = append(odd, 2*n+1)
	}
	if got := lineNumbers(odd); !strings.HasSuffix(got, "99, …") {
		t.Errorf("%q", got)
	}
}

func TestPingTimesEachStep(t *testing.T) {
	_, certFile, keyFile := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	serve := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--tls-cert", certFile, "--tls-key", keyFile)
	address := serve.stdout.await(t, "listening on ")
	for _, trust := range [][]string{{"--ca-file", certFile}, {"--insecure"}} {
		code, stdout, stderr := execute(t, "", append([]string{"ping", "--relay", address, "--count", "20"}, trust...)...)
		if code != exitDone || stderr != "" {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		var steps []string
		for line := range strings.Lines(stdout) {
			step, rest, _ := strings.Cut(line, "  ")
			var took float64
			if _, err := fmt.Sscanf(rest, "%f ms", &took); err != nil || took <= 0 {
				t.Errorf("%q: %v", line, err)
			}
			steps = append(steps, step)
		}
		if want := []string{"connect", "tls", "upgrade", "register", "round trip"}; !slices.EqualFunc(steps, want, func(s, w string) bool { return strings.TrimSpace(s) == w }) {
			t.Errorf("steps %q, want %q", steps, want)
		}
		if !strings.Contains(stdout, "TLS 1.3") || !strings.Contains(stdout, "of 20: ") {
			t.Errorf("%s", stdout)
		}
	}
}

func TestPingPrintsTheStepsBeforeTheFailure(t *testing.T) {
	r := relaytest.New(t)
	r.Reject(4002, "ForbiddenError: no")
	code, stdout, stderr := execute(t, "", "ping", "--relay", r.URL)
	if code != exitFailed || !strings.Contains(stdout, "upgrade") || strings.Contains(stdout, "register") {
		t.Errorf("exit code %d, stdout %s", code, stdout)
	}
	if want := `relay: register: the relay does not let you in (4002) and says "ForbiddenError: no"; get a new token`; !strings.HasPrefix(stderr, want) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("stderr %q, want %q…", stderr, want)
	}
}

func TestTokensAndHeadersReachTheRelayAndNothingElse(t *testing.T) {
	r := relaytest.New(t)
	seen := make(chan http.Header, 10)
	r.Handle(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen <- req.Header
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, req.Header) // a debugging proxy
	}))
	token := file(t, "token", "s3cr3t\n")
	flags := []string{"--relay", r.URL, "--token-file", token, "--header", "X-Key: s3cr3t: 2", "--header", "X-Key:b"}
	for _, command := range [][]string{{"ping"}, {"listen"}, {"send", "--to", uuid.NewString()}} {
		code, stdout, stderr := execute(t, "", append(command, flags...)...)
		if code != exitFailed || !strings.Contains(stderr, "status 403") {
			t.Errorf("%v: exit code %d: %s", command, code, stderr)
		}
		if strings.Contains(stdout+stderr, "s3cr3t") {
			t.Errorf("%v shows a secret: %s%s", command, stdout, stderr)
		}
		header := <-seen
		if got := header.Get("Authorization"); got != "Bearer s3cr3t" {
			t.Errorf("%v: Authorization %q", command, got)
		}
		if got := header.Values("X-Key"); !slices.Equal(got, []string{"s3cr3t: 2", "b"}) {
			t.Errorf("%v: X-Key %q", command, got)
		}
	}
}

func TestTokenFileIsReadAgainAtEveryConnection(t *testing.T) {
	r := relaytest.New(t)
	token := file(t, "token", "old")
	seen := make(chan string, 10)
	r.Handle(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if got := req.Header.Get("Authorization"); got != "Bearer new" {
			_ = os.WriteFile(token, []byte("new"), 0o600)
			http.Error(w, "", http.StatusUnauthorized)
			seen <- got
			return
		}
		r.Server().ServeHTTP(w, req)
	}))
	listen := start(t, nil, "listen", "--relay", r.URL, "--token-file", token)
	listen.stderr.await(t, "listening as ")
	if got := <-seen; got != "Bearer old" {
		t.Errorf("first %q", got)
	}
}

func TestSendIgnoresWhatOthersSend(t *testing.T) {
	r := relaytest.New(t)
	id := uuid.New()
	stdin, keyboard := io.Pipe()
	send := start(t, stdin, "send", "--relay", r.URL, "--to", uuid.NewString(), "--uuid", id.String())
	send.stderr.await(t, "sending as ")
	if err := r.Client("a").Send(t.Context(), relay.Message{PeerUUID: id, DescriptionType: codec.Offer, Error: "x"}); err != nil {
		t.Fatal(err)
	}
	send.stderr.await(t, "ignored a message from ")
	_ = keyboard.Close()
	if code := send.wait(t); code != exitDone {
		t.Errorf("exit code %d: %s", code, send.stderr)
	}
}
