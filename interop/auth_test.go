package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
)

const (
	authClient   = "f0000000-0000-4000-8000-000000000001"
	authSecret   = "s3cr3t+/~ %=" // with characters that an encoding would change
	authAudience = "ebd5bbed-95e2-47cf-9c80-39e2064274bd"
	introspect   = "/v2/oauth2/token/introspect"

	aliceSub = "aaaaaaaa-0000-4000-8000-0000000000aa"
	bobSub   = "bbbbbbbb-0000-4000-8000-0000000000bb"
)

// authAnswers are what the stub says about tokens, beside failing ones.
var authAnswers = map[string]string{
	"alice":         authAnswer(aliceSub, "alice", `["other", "`+authAudience+`"]`),
	"alice-renamed": authAnswer(aliceSub, "al", `["`+authAudience+`"]`),
	"bob":           authAnswer(bobSub, "bob", `["`+authAudience+`"]`),
	"string-aud":    authAnswer(aliceSub, "alice", `"`+authAudience+`"`),
	"substring-aud": authAnswer(aliceSub, "alice", `"not-`+authAudience+`"`),
	"foreign":       authAnswer(aliceSub, "alice", `["other"]`),
	"no-aud":        `{"active": true, "sub": "` + aliceSub + `", "username": "alice"}`,
	"no-sub":        `{"active": true, "aud": ["` + authAudience + `"], "username": "alice"}`,
	"word-sub":      authAnswer("alice", "alice", `["`+authAudience+`"]`),
	"inactive":      `{"active": false}`,
	"active-absent": `{}`,
	"active-a-word": strings.Replace(authAnswer(aliceSub, "alice", `["`+authAudience+`"]`), "true", `"false"`, 1),
	"expired":       strings.Replace(authAnswer(aliceSub, "alice", `["`+authAudience+`"]`), "{", `{"exp": 1, `, 1),
	"no-json":       "hello",
	"list":          "[]",
	"t0k3n+/~=%.-_": authAnswer(aliceSub, "alice", `["`+authAudience+`"]`),
}

func authAnswer(sub, username, aud string) string {
	return fmt.Sprintf(`{"active": true, "sub": %q, "username": %q, "aud": %s, "email": null, "name": null}`, sub, username, aud)
}

// A globusStub stands for Globus Auth, for both relays.
type globusStub struct {
	*httptest.Server
	asked   chan struct{} // gets one when somebody asks about token "held"
	release chan struct{} // closed by the test to answer that

	mu       sync.Mutex
	requests map[string][]string // by token, as they came
	strange  []string            // what nobody should send
}

func newGlobusStub(t testing.TB) *globusStub {
	t.Helper()
	s := &globusStub{asked: make(chan struct{}, 16), release: make(chan struct{}), requests: make(map[string][]string)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close()
		for _, strange := range s.strange {
			t.Errorf("a relay asked for %s", strange)
		}
	})
	return s
}

func (s *globusStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	token := r.PostFormValue("token")
	id, secret, _ := r.BasicAuth()
	s.mu.Lock()
	s.requests[token] = append(s.requests[token], fmt.Sprintf("%s %s Authorization: %s Content-Type: %s Accept: %s %s", r.Method, r.URL,
		r.Header["Authorization"], r.Header["Content-Type"], r.Header["Accept"], body))
	if r.URL.Path != introspect || id != authClient || secret != authSecret {
		s.strange = append(s.strange, r.Method+" "+r.URL.String())
	}
	s.mu.Unlock()
	answer := authAnswers[token]
	switch token {
	case "held":
		s.asked <- struct{}{}
		select {
		case <-s.release:
		case <-r.Context().Done():
		}
		answer = authAnswers["alice"]
	case "refused":
		w.WriteHeader(http.StatusUnauthorized)
	case "broken":
		w.WriteHeader(http.StatusInternalServerError)
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, answer)
}

func (s *globusStub) asks(token string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests[token])
}

// An authRelay is a relay that asks the stub.
type authRelay struct {
	name string
	url  string
}

func (r authRelay) ours() bool { return r.name == ourKind.name }

func startAuthRelays(t testing.TB, s *globusStub) []authRelay {
	t.Helper()
	return []authRelay{{realKind.name, startGlobusRelay(t, s)}, {ourKind.name, startIntrospectingRelay(t, s)}}
}

func startGlobusRelay(t testing.TB, s *globusStub) (url string) {
	t.Helper()
	port := freePort(t)
	path := filepath.Join(t.TempDir(), "relay.toml")
	config := fmt.Sprintf("host = \"127.0.0.1\"\nport = %d\n[auth]\nmethod = \"globus\"\n[auth.kwargs]\nclient_id = %q\nclient_secret = %q\naudience = %q\n",
		port, authClient, authSecret, authAudience)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python(t), "python/globus_relay.py", "--config", path, "--log-level", "WARNING")
	cmd.Env = append(os.Environ(), "GLOBUS_SDK_SERVICE_URL_AUTH="+s.URL, "NO_PROXY=127.0.0.1")
	p := start(t, "proxystore-relay with Globus Auth", cmd)
	waitForListener(t, port, p)
	t.Cleanup(func() {
		select {
		case <-p.ended:
			t.Error("proxystore-relay has ended: it would have left this machine, or crashed")
		default:
		}
	})
	return fmt.Sprintf("ws://127.0.0.1:%d", port)
}

func startIntrospectingRelay(t testing.TB, s *globusStub) (url string) {
	t.Helper()
	transport := new(http.Transport)
	in, err := auth.NewIntrospection(auth.IntrospectionConfig{
		URL: s.URL + introspect, ClientID: authClient, ClientSecret: authSecret, Audience: authAudience, Timeout: patience, Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	relay, err := server.New(server.WithAuthenticator(in), server.WithAuthTimeout(patience), server.WithRegisterTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(relay)
	t.Cleanup(func() {
		h.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := relay.Shutdown(ctx); err != nil {
			t.Errorf("shutting our relay down: %v", err)
		}
		transport.CloseIdleConnections()
	})
	return "ws" + strings.TrimPrefix(h.URL, "http")
}

// dialAuth opens a raw connection with these Authorization headers.
func dialAuth(t testing.TB, r authRelay, headers ...string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial(r.url, http.Header{"Authorization": headers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(patience))
	return c
}

// authOutcome is what comes back next: a frame, or the code and reason of a close.
func authOutcome(c *websocket.Conn) string {
	_, frame, err := c.ReadMessage()
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		return strings.TrimSpace(fmt.Sprintf("%d %s", closed.Code, closed.Text))
	}
	if err != nil {
		return err.Error()
	}
	return string(frame)
}

func authExchange(c *websocket.Conn, frame string) string {
	c.WriteMessage(websocket.TextMessage, []byte(frame)) // what goes wrong shows in the outcome
	return authOutcome(c)
}

func authRegistration(id uuid.UUID) string {
	return fmt.Sprintf(`{"name": "test", "uuid": "%s", "message_type": "relay_registration"}`, id)
}

func authOffer(from, to uuid.UUID, failure string) string {
	return fmt.Sprintf(`{"source_uuid": "%s", "source_name": "test", "peer_uuid": "%s", "description_type": "offer", "description": "d", "error": %s, "message_type": "peer_connection"}`,
		from, to, failure)
}

const (
	authMissing   = "4001 UnauthorizedError: Request headers are missing authorization header."
	authMalformed = "4001 UnauthorizedError: Bearer token in authorization header is malformed."
	authRevoked   = "4002 ForbiddenError: Token is expired or has been revoked."
	authForeign   = `4002 ForbiddenError: Token audience does not include "` + authAudience + `". This could result in a confused dep`
	authInternal  = "1011"
)

// An authRow is what comes of a registration. Where ours is meant to differ from
// the real relay, why says so.
type authRow struct {
	name    string
	headers []string
	want    string
	ours    string
	why     string
}

func bearers(tokens ...string) (headers []string) {
	for _, token := range tokens {
		headers = append(headers, "Bearer "+token)
	}
	return headers
}

var authRows = []authRow{
	{name: "a good token", headers: bearers("alice"), want: success},
	{name: "an audience that is a string", headers: bearers("string-aud"), want: success},
	{name: "no header", want: authMissing},
	{name: "another scheme", headers: []string{"Basic alice"}, want: authMalformed},
	{name: "the scheme in lower case", headers: []string{"bearer alice"}, want: authMalformed},
	{name: "two spaces", headers: []string{"Bearer  alice"}, want: authMalformed},
	{name: "a tab", headers: []string{"Bearer\talice"}, want: authMalformed},
	{name: "only the scheme", headers: []string{"Bearer"}, want: authMalformed},
	{name: "two words", headers: bearers("alice alice"), want: authMalformed},
	{name: "an inactive token", headers: bearers("inactive"), want: authRevoked},
	{name: "no sub", headers: bearers("no-sub"), want: authInternal},
	{name: "a 401 for the relay itself", headers: bearers("refused"), want: authInternal},

	{name: "two headers", headers: bearers("alice", "alice"), want: authInternal, ours: authMalformed,
		why: "it is the client's mistake, and trying again does not mend it"},
	{name: "another audience", headers: bearers("foreign"), want: authInternal, ours: authForeign,
		why: "the real one's reason is too long for a close frame (S7), so its client tries again for ever"},
	{name: "no audience", headers: bearers("no-aud"), want: authInternal, ours: authForeign, why: "as before"},
	{name: "an audience that holds ours", headers: bearers("substring-aud"), want: success, ours: authForeign,
		why: "the real one looks for ours anywhere in a string, and lets tokens for others in"},
	{name: "a token that has expired", headers: bearers("expired"), want: success, ours: authRevoked,
		why: "the real one does not look at exp"},
	{name: "an answer without active", headers: bearers("active-absent"), want: authRevoked, ours: authInternal,
		why: "that is no introspection endpoint, and no reason to turn a client away for good"},
	{name: "no JSON", headers: bearers("no-json"), want: authRevoked, ours: authInternal, why: "as before"},
	{name: "a list", headers: bearers("list"), want: authRevoked, ours: authInternal, why: "as before"},
	{name: "an active that is a word", headers: bearers("active-a-word"), want: success, ours: authInternal,
		why: `the real one takes even "false" for true`},
	{name: "a sub that is no UUID", headers: bearers("word-sub"), want: authInternal, ours: success,
		why: "other OAuth2 servers than Globus Auth have such"},
}

func TestT42_Auth_what_comes_of_a_registration(t *testing.T) {
	t.Parallel()
	s := newGlobusStub(t)
	for _, r := range startAuthRelays(t, s) {
		t.Run(r.name, func(t *testing.T) {
			for _, row := range authRows {
				want := row.want
				if r.ours() && row.ours != "" {
					want = row.ours
				}
				if got := authExchange(dialAuth(t, r, row.headers...), authRegistration(uuid.New())); got != want {
					t.Errorf("%s: got %q, want %q", row.name, got, want)
				}
			}
		})
	}
}

func TestT41_Auth_the_user_decides_whose_a_UUID_is(t *testing.T) {
	t.Parallel()
	for _, r := range startAuthRelays(t, newGlobusStub(t)) {
		t.Run(r.name, func(t *testing.T) {
			alice, bob := uuid.New(), uuid.New()
			step := func(what, got, want string) {
				t.Helper()
				if got != want {
					t.Fatalf("%s: got %q, want %q", what, got, want)
				}
			}
			a := dialAuth(t, r, bearers("alice")...)
			step("alice registers", authExchange(a, authRegistration(alice)), success)
			step("and again", authExchange(a, authRegistration(alice)), success)
			b := dialAuth(t, r, bearers("bob")...)
			step("bob registers", authExchange(b, authRegistration(bob)), success)
			step("bob writes to alice", authExchange(b, authOffer(bob, alice, "null")),
				authOffer(bob, alice, fmt.Sprintf(`"The requested peer %s is owned by a different user."`, alice)))
			step("alice writes to bob", authExchange(a, authOffer(alice, bob, "null")),
				authOffer(alice, bob, fmt.Sprintf(`"The requested peer %s is owned by a different user."`, bob)))
			step("bob registers alice's UUID", authExchange(dialAuth(t, r, bearers("bob")...), authRegistration(alice)),
				fmt.Sprintf("4002 ForbiddenError: The client UUID %s is already registered to another user.", alice))
			step("alice is still there", authExchange(a, authOffer(alice, alice, "null")), authOffer(alice, alice, "null"))
			// The real relay answers when the old connection is gone altogether.
			old := make(chan string, 1)
			go func() {
				old <- authOutcome(a)
				a.Close()
			}()
			again := dialAuth(t, r, bearers("alice-renamed")...)
			step("alice registers under another name", authExchange(again, authRegistration(alice)), success)
			step("the old connection", <-old,
				"4004 Relay received a registration with the same ID. This might mean that the endpoint is running in multiple locations.")
			step("bob is still there", authExchange(b, authOffer(bob, bob, "null")), authOffer(bob, bob, "null"))
		})
	}
}

func TestAuth_the_endpoint_is_asked_alike(t *testing.T) {
	t.Parallel()
	s := newGlobusStub(t)
	const token = "t0k3n+/~=%.-_"
	counts := make(map[string]int)
	before := 0
	for _, r := range startAuthRelays(t, s) {
		c := dialAuth(t, r, bearers(token)...)
		for range 3 {
			if got := authExchange(c, authRegistration(uuid.New())); got != success {
				t.Fatalf("%s: %s", r.name, got)
			}
		}
		asks := s.asks(token)
		counts[r.name], before = len(asks)-before, len(asks)
	}
	asks := slices.Compact(s.asks(token))
	if len(asks) != 1 {
		t.Errorf("the real relay and ours ask differently:\n%s", strings.Join(asks, "\n"))
	}
	if counts[realKind.name] != 3 || counts[ourKind.name] != 1 {
		t.Errorf("calls for three registrations: %v, want 3 by the real relay and 1 by ours, which keeps the answer", counts)
	}
}

func TestT42_Auth_an_endpoint_that_fails(t *testing.T) {
	t.Parallel()
	s := newGlobusStub(t)
	for _, r := range startAuthRelays(t, s) {
		before := len(s.asks("broken"))
		got := authExchange(dialAuth(t, r, bearers("broken")...), authRegistration(uuid.New()))
		calls := len(s.asks("broken")) - before
		if got != authInternal || r.ours() && calls != 1 || !r.ours() && calls < 2 {
			t.Errorf("%s: got %q after %d calls, want %s after one by ours, more by the real one", r.name, got, calls, authInternal)
		}
	}
}

func TestT42_Auth_a_slow_endpoint_stalls_only_the_real_relay(t *testing.T) {
	t.Parallel()
	for _, kind := range []relayKind{realKind, ourKind} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			s := newGlobusStub(t)
			r := authRelay{kind.name, ""}
			if r.ours() {
				r.url = startIntrospectingRelay(t, s)
			} else {
				r.url = startGlobusRelay(t, s)
			}
			alice := uuid.New()
			a := dialAuth(t, r, bearers("alice")...)
			if got := authExchange(a, authRegistration(alice)); got != success {
				t.Fatal(got)
			}
			held := dialAuth(t, r, bearers("held")...)
			held.WriteMessage(websocket.TextMessage, []byte(authRegistration(uuid.New())))
			select {
			case <-s.asked:
			case <-time.After(patience):
				t.Fatal("the endpoint is not asked")
			}
			passed := make(chan string, 1)
			go func() { passed <- authExchange(a, authOffer(alice, alice, "null")) }()
			if r.ours() {
				if got := <-passed; got != authOffer(alice, alice, "null") { // though nothing is released
					t.Fatal(got)
				}
				close(s.release)
			} else {
				select {
				case got := <-passed:
					t.Errorf("the real relay passes %q on meanwhile: it is better than we say", got)
				case <-time.After(3 * time.Second):
				}
				close(s.release)
				if got := <-passed; got != authOffer(alice, alice, "null") {
					t.Error(got)
				}
			}
			if got := authOutcome(held); got != success {
				t.Errorf("the held one: %s", got)
			}
		})
	}
}
