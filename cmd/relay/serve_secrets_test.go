package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// The secrets: what clients and the relay prove themselves with, and what clients
// say to each other.
const (
	canary = "c4n4ry"
	letter = "l3tt3r"
)

// forged is what somebody wants to stand in the log, or in the head of an answer,
// as a line of its own.
const forged = "\r\ntime=2026-01-01T00:00:00Z level=ERROR msg=forged\r\nX-Forged: 1\r\n\u2028\x1b[2K\x00{\"msg\":\"forged\"}"

// A visit is a relay with everything switched on, and all that it tells.
type visit struct {
	t       *testing.T
	serve   *command
	address string
	ops     string
	folder  string // of the log
	told    map[string]string
	answers strings.Builder // to hostile requests and clients
}

// newVisit starts the relay. Its endpoint for tokens repeats whatever it is sent,
// in all wrong ways.
func newVisit(t *testing.T, format string) *visit {
	t.Helper()
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		_, kind, _ := strings.Cut(r.Form.Get("token"), "-")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "/"+r.Form.Get("token"))
		name, _ := json.Marshal("Name" + forged)
		switch kind {
		case "alice", "bob":
			_, _ = fmt.Fprintf(w, `{"active": true, "sub": %q, "aud": "relay", "username": %s}`, kind, name)
		case "revoked":
			_, _ = io.WriteString(w, `{"active": false}`)
		case "foreign":
			_, _ = fmt.Fprintf(w, `{"active": true, "sub": "x", "aud": %q}`, r.Form.Get("token"))
		case "forged":
			_, _ = fmt.Fprintf(w, `{"active": true, "sub": %s, "aud": "relay"}`, name)
		case "elsewhere":
			w.WriteHeader(http.StatusFound)
		case "broken":
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprint(w, r.Form, r.Header, r.RequestURI)
		default:
			_, _ = fmt.Fprint(w, r.Form, r.Header, r.RequestURI)
		}
	}))
	t.Cleanup(endpoint.Close)
	v := &visit{t: t, ops: freePort(t), folder: t.TempDir(), told: make(map[string]string)}
	v.serve = start(t, nil, "serve", "--addr", "127.0.0.1:0", "--ops-addr", v.ops, "--pprof", "--log-level", "debug", "--log-websockets-level", "debug",
		"--log-format", format, "--log-dir", v.folder, "--log-clients-interval", "10ms", "--trusted-proxy", "127.0.0.1", "--auth", "introspection", "--auth-cache", "0",
		"--auth-introspection-url", endpoint.URL+"/?key="+canary, "--auth-client-id", "relay", "--auth-client-secret-file", file(t, "secret", canary+"-secret"),
		"--auth-audience", "relay", "--max-message-bytes", "10000")
	v.address = v.serve.stdout.await(t, "listening on ")
	return v
}

// guest connects with secrets wherever there is room for one, as the token's user.
func (v *visit) guest(kind string) transport.Conn {
	v.t.Helper()
	d := transport.Dialer{Header: http.Header{
		"Authorization": {"Bearer " + canary + "-" + kind}, "Cookie": {"session=" + canary}, "X-Secret": {canary}, "User-Agent": {canary},
		"Referer": {"https://example.org/?" + canary}, "X-Forwarded-For": {canary + ", 192.0.2.1"},
	}}
	ws, err := d.Dial(v.t.Context(), v.address+"/?token="+canary)
	if err != nil {
		v.t.Fatal(err)
	}
	bound := time.AfterFunc(patience, func() { ws.Abort() })
	v.t.Cleanup(func() { bound.Stop(); ws.Abort() })
	return ws
}

func (v *visit) write(ws transport.Conn, frame string) {
	v.t.Helper()
	if err := errors.Join(ws.WriteFrame([]byte(frame)), ws.Flush()); err != nil {
		v.t.Fatal(err)
	}
}

func (v *visit) register(kind string, id uuid.UUID) transport.Conn {
	v.t.Helper()
	ws := v.guest(kind)
	v.write(ws, v.frame(codec.Registration{Name: "guest" + forged, UUID: id}))
	if frame, _, err := ws.ReadFrame(); err != nil || !strings.Contains(string(frame), `"success": true`) {
		v.t.Fatalf("%s: %s, %v", kind, frame, err)
	}
	return ws
}

func (v *visit) frame(m codec.RelayMessage) string {
	v.t.Helper()
	frame, err := m.Append(nil)
	if err != nil {
		v.t.Fatal(err)
	}
	return string(frame)
}

// until does something again until the log says so: a warning of a kind is said
// once a second.
func (v *visit) until(said string, do func()) {
	v.t.Helper()
	for late := time.Now().Add(patience); ; {
		do()
		if strings.Contains(v.serve.stderr.String(), said) {
			return
		}
		if time.Now().After(late) {
			v.t.Fatalf("not logged: %s", said)
		}
	}
}

// end reads to the end, which the relay has brought about, and hears why.
func (v *visit) end(ws transport.Conn) {
	v.t.Helper()
	var err error
	for err == nil {
		_, _, err = ws.ReadFrame()
	}
	bye, ok := errors.AsType[*transport.CloseError](err)
	if !ok {
		v.t.Fatalf("ended with %v", err)
	}
	_, _ = fmt.Fprintf(&v.answers, "%d %s\n", bye.Code, bye.Reason)
	_ = ws.Close(1000, "")
}

// ask sends a request as it stands, and hears the answer's head.
func (v *visit) ask(request string) {
	v.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(v.address, "ws://"))
	if err != nil {
		v.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		v.t.Fatal(err)
	}
	for answer := bufio.NewReader(conn); ; {
		line, err := answer.ReadString('\n')
		v.answers.WriteString(line)
		if err != nil || line == "\r\n" {
			return
		}
	}
}

// happen lets everything happen that a client can cause.
func (v *visit) happen() {
	v.t.Helper()
	alice, bob := uuid.New(), uuid.New()
	for kind, said := range map[string]string{
		"revoked": "a client may not register", "foreign": "a client may not register",
		"forged": "cannot tell who a client is", "elsewhere": "cannot tell who a client is", "broken": "cannot tell who a client is", "page": "cannot tell who a client is",
	} {
		v.until(said, func() {
			ws := v.guest(kind)
			v.write(ws, v.frame(codec.Registration{Name: "guest" + forged, UUID: uuid.New()}))
			v.end(ws)
		})
	}
	other := v.register("bob", bob)
	message := func(from, to uuid.UUID) string {
		return v.frame(codec.PeerConnection{SourceUUID: from, SourceName: letter + forged, PeerUUID: to, DescriptionType: codec.Offer, Description: letter, Error: letter})
	}
	for _, hostile := range []string{
		letter, `"` + letter + `"`, `{"` + letter + `": 1}`, `{"message_type": "` + letter + `"}`, `{"message_type": "\r\nforged"}`,
		`{"name": "x", "uuid": "` + letter + `", "message_type": "relay_registration"}`,
		strings.Replace(message(alice, alice), `"error"`, `"`+letter+`"`, 1), message(alice, alice) + letter,
		strings.Replace(message(alice, alice), letter, letter+"\xff", 1), strings.Repeat(letter, 2000), strings.Repeat(letter, 1<<20),
	} {
		v.until("closing a connection for what it sent", func() {
			ws := v.register("alice", alice)
			for _, frame := range []string{message(alice, alice), message(alice, uuid.New()), message(alice, bob), message(bob, alice)} {
				v.write(ws, frame) // arrives, and comes back for three reasons
				if _, _, err := ws.ReadFrame(); err != nil {
					v.t.Fatal(err)
				}
			}
			_ = errors.Join(ws.WriteFrame([]byte(hostile)), ws.Flush()) // the last one may not fit before the end
			v.end(ws)
		})
	}
	thief := v.guest("bob")
	first := v.register("alice", alice)
	v.write(thief, v.frame(codec.Registration{Name: canary, UUID: alice})) // another user's
	v.end(thief)
	second := v.register("alice", alice)
	v.end(first)
	_ = second.Close(4242, letter+forged)
	stranger := v.guest("alice")
	v.write(stranger, message(alice, bob))
	v.end(stranger)
	_ = other.Close(1000, canary)

	const upgrade = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	secret := "Authorization: Bearer " + canary + "\r\nCookie: " + canary + "\r\n"
	for _, request := range []string{
		"GET /?" + canary + " HTTP/1.1\r\nHost: x\r\n" + secret + "\r\n",
		"POST /?" + canary + " HTTP/1.1\r\nHost: x\r\n" + secret + "Content-Length: 0\r\n\r\n",
		"GET /?" + canary + " HTTP/1.0\r\n" + secret + "\r\n",
		"GET /%0d%0atime=0%20level=ERROR%20msg=forged%0d%0aX-Forged:%201 HTTP/1.1\r\nHost: x\r\n" + secret + "\r\n",
		"GET / HTTP/1.1\r\n" + upgrade + secret + "Origin: https://" + canary + ".example\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		"GET / HTTP/1.1\r\n" + upgrade + secret + "Sec-WebSocket-Protocol: " + canary + "\r\nSec-WebSocket-Key: " + canary + "\r\n\r\n",
		"GET / HTTP/1.1\r\n" + upgrade + secret + "Sec-WebSocket-Key: " + canary + "\r\nSec-WebSocket-Key: " + canary + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX: \x00" + canary + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n" + canary + "\r\n\r\n",
		canary + "\r\n\r\n",
		"GET " + canary + " HTTP/1.1\r\n\r\n",
		"\x16\x03\x01" + canary + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat(canary, 4000) + "\r\n\r\n",
	} {
		v.ask(request)
	}
}

// tell collects what the relay tells: its log, its pages, its answers. It ends it.
func (v *visit) tell() {
	v.t.Helper()
	live := []transport.Conn{v.register("alice", uuid.New()), v.register("bob", uuid.New())}
	v.serve.stderr.await(v.t, "connected client")
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/", "/?find=" + url.QueryEscape("guest"), "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1"} {
		answer, err := http.Get("http://" + v.ops + path)
		if err != nil {
			v.t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			v.t.Fatalf("%s: %s, %v", path, answer.Status, err)
		}
		v.told[path] = fmt.Sprint(answer.Header, "\n", string(text))
	}
	answer, err := http.Get("http://" + v.ops + "/events")
	if err != nil {
		v.t.Fatal(err)
	}
	events := bufio.NewReader(answer.Body)
	for seen := 0; seen < 2; { // whole events
		line, err := events.ReadString('\n')
		if err != nil {
			v.t.Fatal(err)
		}
		if v.told["/events"] += line; line == "\n" {
			seen++
		}
	}
	answer.Body.Close()
	for _, ws := range live {
		go func() { // answers the goodbye
			for _, _, err := ws.ReadFrame(); err == nil; _, _, err = ws.ReadFrame() {
			}
			_ = ws.Close(1000, "")
		}()
	}
	v.serve.interrupt()
	v.serve.wait(v.t)
	v.told["stdout"], v.told["stderr"], v.told["answers"] = v.serve.stdout.String(), v.serve.stderr.String(), v.answers.String()
	files, err := filepath.Glob(filepath.Join(v.folder, "*"))
	if err != nil || len(files) == 0 {
		v.t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			v.t.Fatal(err)
		}
		v.told[filepath.Base(name)] = string(text)
	}
}

// Whatever clients do, what they prove themselves with, what the relay proves
// itself with, and what clients say to each other is in nothing that it tells.
func TestT28_TheRelayTellsNoSecret(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			v := newVisit(t, format)
			v.happen()
			v.tell()
			sightings := []string{canary, letter, "YzRuNHJ5", url.QueryEscape(canary), base64.StdEncoding.EncodeToString([]byte("relay:" + canary + "-secret"))}
			bytes := 0
			for where, text := range v.told {
				bytes += len(text)
				if len(text) == 0 {
					t.Errorf("%s is empty: nothing was hunted there", where)
				}
				for line := range strings.Lines(text) {
					for _, sighting := range sightings {
						if strings.Contains(line, sighting) {
							t.Errorf("%s: %.300s", where, line)
						}
					}
				}
			}
			for _, said := range []string{"registered", "taken over", "bounced", "forwarded", "not upgraded", "closing a connection for what it sent",
				"a client may not register", "cannot tell who a client is", "connected client"} {
				if !strings.Contains(v.told["stderr"], said) {
					t.Errorf("%q was not logged: it was not tried", said)
				}
			}
			t.Logf("hunted in %d bytes at %d places", bytes, len(v.told))
		})
	}
}

// No client can write a line of the log, or of the head of an answer.
func TestWhatClientsSendIsNowhereRaw(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			v := newVisit(t, format)
			v.happen()
			v.tell()
			for where, text := range v.told {
				for _, raw := range []string{"\x1b", "\u2028", "\x00", "\nX-Forged", "\r\ntime=", "\nlevel=ERROR", "\n{\"msg\""} {
					if strings.Contains(text, raw) && where != "/debug/pprof/cmdline" { // which ends its words so
						t.Errorf("in %s: %q", where, raw)
					}
				}
			}
			lines := 0
			for line := range strings.Lines(v.told["stderr"]) {
				lines++
				if strings.Contains(line, "msg=forged") && !strings.Contains(line, `\r\n`) {
					t.Errorf("forged: %s", line)
				}
				var record struct{ Time, Level, Msg string }
				switch err := json.Unmarshal([]byte(line), &record); {
				case format == "json" && (err != nil || record.Time == "" || record.Msg == "" || record.Msg == "forged"):
					t.Errorf("no line of the relay: %s (%v)", line, err)
				case format == "text" && !strings.HasPrefix(line, "time="):
					t.Errorf("no line of the relay: %s", line)
				}
			}
			if !strings.Contains(v.told["stderr"], "forged") {
				t.Error("nothing hostile was logged: this test shows nothing")
			}
			t.Logf("%d lines, all of the relay", lines)
		})
	}
}
