package auth_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
	"github.com/seed73300619/relay/transport"
)

var (
	aliceID = uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000001")
	bobID   = uuid.MustParse("bbbbbbbb-0000-4000-8000-000000000002")
	carolID = uuid.MustParse("cccccccc-0000-4000-8000-000000000003")
)

// A logged is all that a relay logs.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// newRelay returns a relay that asks a, and checks at the end that it has logged
// no secret.
func newRelay(t *testing.T, a server.Authenticator) *server.Server {
	t.Helper()
	log := new(logged)
	s, err := server.New(server.WithAuthenticator(a), server.WithLogger(
		slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if log.text.Len() == 0 {
			t.Error("nothing was logged")
		}
		for _, secret := range sightings {
			if strings.Contains(log.text.String(), secret) {
				t.Errorf("%q was logged:\n%s", secret, log.text.String())
			}
		}
	})
	return s
}

// listen serves the relay on the loopback interface.
func listen(t *testing.T, s *server.Server) (url string) {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return "ws" + strings.TrimPrefix(h.URL, "http")
}

// A peer is a client that does nothing by itself.
type peer struct {
	t *testing.T
	transport.Conn
}

func dial(t *testing.T, url string, d transport.Dialer) peer {
	t.Helper()
	ws, err := d.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	bound := time.AfterFunc(patience, func() { ws.Abort() })
	t.Cleanup(func() { bound.Stop(); ws.Abort() })
	return peer{t, ws}
}

// dialAs connects with Authorization headers.
func dialAs(t *testing.T, url string, headers ...string) peer {
	t.Helper()
	return dial(t, url, transport.Dialer{Header: http.Header{"Authorization": headers}})
}

func (p peer) write(m codec.RelayMessage) {
	p.t.Helper()
	frame, err := m.Append(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := errors.Join(p.WriteFrame(frame), p.Flush()); err != nil {
		p.t.Fatal(err)
	}
}

func (p peer) read() codec.RelayMessage {
	p.t.Helper()
	frame, _, err := p.ReadFrame()
	if err != nil {
		p.t.Fatal(err)
	}
	m, err := codec.Decode(frame)
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

func (p peer) register(id uuid.UUID) {
	p.t.Helper()
	p.write(codec.Registration{Name: "test", UUID: id})
	if got := p.read(); got != (codec.Response{Success: true}) {
		p.t.Fatalf("answer to a registration: %+v", got)
	}
}

func (p peer) send(from, to uuid.UUID, text string) {
	p.t.Helper()
	p.write(codec.PeerConnection{SourceUUID: from, SourceName: "test", PeerUUID: to, DescriptionType: codec.Offer, Description: text})
}

// receive expects a message, and an error with it unless that is "".
func (p peer) receive(text, failure string) {
	p.t.Helper()
	m, ok := p.read().(codec.PeerConnection)
	if !ok || m.Description != text || m.Error != failure {
		p.t.Fatalf("got %+v, want %q with error %q", m, text, failure)
	}
}

func (p peer) expectClose(code int, reason string) {
	p.t.Helper()
	_, _, err := p.ReadFrame()
	bye, ok := errors.AsType[*transport.CloseError](err)
	if !ok || bye.Code != code || bye.Reason != reason {
		p.t.Errorf("ended with %v, want %d %q", err, code, reason)
	}
	p.Close(1000, "")
}

// endpoint knows tokens of the form "c4n4ry-USER", among others.
func endpoint(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	token := strings.TrimPrefix(r.Form.Get("token"), "c4n4ry-")
	switch token {
	case "revoked":
		says(`{"active": false}`)(w, r)
	case "foreign":
		says(`{"active": true, "sub": "alice", "aud": "other"}`)(w, r)
	case "broken":
		http.Error(w, fmt.Sprint(r.Form, r.Header), 500)
	case "slow":
		stuck(r)
	case "expired":
		says(`{"active": true, "sub": "alice", "aud": "the relay", "exp": 1}`)(w, r)
	case "huge":
		says(good("alice")+strings.Repeat(" ", 10<<20))(w, r)
	case "page":
		fmt.Fprint(w, "<html>", r.Form, r.Header)
	case "word":
		says(`{"active": "true", "sub": "alice", "aud": "the relay", "token": "c4n4ry"}`)(w, r)
	case "elsewhere":
		http.Redirect(w, r, "/c4n4ry", http.StatusTemporaryRedirect)
	case "cut":
		broken("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"+good("alice"), true)(w, r)
	default:
		user, _, _ := strings.Cut(token, "/")
		says(good(user))(w, r)
	}
}

func TestT42_ARelayClosesInTheWordsOfTheRealOne(t *testing.T) {
	url := listen(t, newRelay(t, introspection(t, newStub(t, endpoint).URL)))
	alice := dialAs(t, url, "Bearer c4n4ry-alice")
	alice.register(aliceID)
	for _, test := range []struct {
		name    string
		headers []string
		code    int
		reason  string
	}{
		{"no header", nil, 4001, missing},
		{"a malformed header", []string{"bearer c4n4ry-alice"}, 4001, malformed},
		{"two headers", []string{"Bearer c4n4ry-alice", "Bearer c4n4ry-alice"}, 4001, malformed},
		{"a revoked token", []string{"Bearer c4n4ry-revoked"}, 4002, revoked},
		{"a token for others", []string{"Bearer c4n4ry-foreign"}, 4002, foreign[:123]},
		{"another user's UUID", []string{"Bearer c4n4ry-bob"}, 4002,
			"ForbiddenError: The client UUID " + aliceID.String() + " is already registered to another user."},
		{"an endpoint that fails", []string{"Bearer c4n4ry-broken"}, 1011, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := dialAs(t, url, test.headers...)
			p.write(codec.Registration{Name: "test", UUID: aliceID})
			p.expectClose(test.code, test.reason)
		})
	}
	bob := dialAs(t, url, "Bearer c4n4ry-bob")
	bob.register(bobID)
	bob.send(bobID, aliceID, "to another user")
	bob.receive("to another user", "The requested peer "+aliceID.String()+" is owned by a different user.")
	again := dialAs(t, url, "Bearer c4n4ry-alice/with-another-token")
	again.register(aliceID)
	alice.expectClose(4004, "Relay received a registration with the same ID. This might mean that the endpoint is running in multiple locations.")
}

// Everybody who must not get in tries, many times and all at once, while two who
// may talk, and others who may come and go.
func TestT42_NobodyGetsInByAHostileEndpoint(t *testing.T) {
	const times = 20
	kinds := []struct {
		headers []string
		code    int
		reason  string
	}{
		{nil, 4001, missing},
		{[]string{"c4n4ry-alice"}, 4001, malformed},
		{[]string{"Bearer"}, 4001, malformed},
		{[]string{"Bearer c4n4ry alice"}, 4001, malformed},
		{[]string{"Basic YzRuNHJ5"}, 4001, malformed},
		{[]string{"Bearer c4n4ry-expired"}, 4002, revoked},
		{[]string{"Bearer c4n4ry-revoked"}, 4002, revoked},
		{[]string{"Bearer c4n4ry-foreign"}, 4002, foreign[:123]},
		{[]string{"Bearer c4n4ry-broken"}, 1011, ""}, // nobody can tell: it may try again
		{[]string{"Bearer c4n4ry-slow"}, 1011, ""},
		{[]string{"Bearer c4n4ry-huge"}, 1011, ""},
		{[]string{"Bearer c4n4ry-page"}, 1011, ""},
		{[]string{"Bearer c4n4ry-word"}, 1011, ""},
		{[]string{"Bearer c4n4ry-elsewhere"}, 1011, ""},
		{[]string{"Bearer c4n4ry-cut"}, 1011, ""},
	}
	s := newRelay(t, introspection(t, newStub(t, endpoint).URL, func(c *auth.IntrospectionConfig) { c.Timeout = time.Second }))
	url := listen(t, s)
	alice, other := dialAs(t, url, "Bearer c4n4ry-alice"), dialAs(t, url, "Bearer c4n4ry-alice")
	alice.register(aliceID)
	other.register(bobID)

	var hostile sync.WaitGroup
	for range times {
		for _, kind := range kinds {
			p := dialAs(t, url, kind.headers...)
			hostile.Go(func() {
				frame, _ := codec.Registration{Name: "c4n4ry", UUID: uuid.New()}.Append(nil)
				err := errors.Join(p.WriteFrame(frame), p.Flush())
				if err == nil {
					frame, _, err = p.ReadFrame()
				}
				if bye, ok := errors.AsType[*transport.CloseError](err); !ok || bye.Code != kind.code || bye.Reason != kind.reason {
					t.Errorf("%q: %s, %v, want %d %q", kind.headers, frame, err, kind.code, kind.reason)
				}
				p.Close(1000, "")
			})
		}
	}
	over := make(chan struct{})
	go func() { hostile.Wait(); close(over) }()
	talked, came := 0, 0
	slowest := time.Duration(0)
	for during := true; during; talked++ {
		select {
		case <-over:
			during = false
		default:
		}
		start := time.Now()
		other.send(bobID, aliceID, "meanwhile")
		alice.receive("meanwhile", "")
		slowest = max(slowest, time.Since(start))
		if talked%100 == 0 {
			start = time.Now()
			good := dialAs(t, url, "Bearer c4n4ry-alice")
			good.register(uuid.New())
			good.Close(1000, "")
			slowest = max(slowest, time.Since(start))
			came++
		}
	}
	if slowest > 10*time.Second || came == 0 {
		t.Errorf("others waited for %v", slowest)
	}
	st := s.Stats()
	if st.Registrations != uint64(2+came) || st.RefusedUnauthorized != 5*times || st.RefusedForbidden != 3*times || st.RefusedAuth != 7*times {
		t.Errorf("%d registrations, %d, %d and %d refused", st.Registrations, st.RefusedUnauthorized, st.RefusedForbidden, st.RefusedAuth)
	}
	t.Logf("%d refused: %d with 4001, %d with 4002, %d with 1011; meanwhile %d messages and %d registrations of others, at most %v each",
		times*len(kinds), st.RefusedUnauthorized, st.RefusedForbidden, st.RefusedAuth, talked, came, slowest.Round(time.Microsecond))
}

func TestT42_ASlowEndpointHoldsUpOnlyWhoIsNew(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(answer) })
	s := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("token") == "c4n4ry-slow" {
			close(asked)
			<-answer
		}
		says(good("alice"))(w, r)
	})
	t.Cleanup(release)
	url := listen(t, newRelay(t, introspection(t, s.URL)))
	alice, other, slow := dialAs(t, url, "Bearer c4n4ry-alice"), dialAs(t, url, "Bearer c4n4ry-alice"), dialAs(t, url, "Bearer c4n4ry-slow")
	alice.register(aliceID)
	slow.write(codec.Registration{Name: "test", UUID: carolID})
	<-asked
	other.register(bobID)
	for range 100 {
		other.send(bobID, aliceID, "meanwhile")
		alice.receive("meanwhile", "")
		alice.send(aliceID, bobID, "back")
		other.receive("back", "")
	}
	other.send(bobID, carolID, "too early")
	other.receive("too early", "Cannot forward peer connection message to peer "+carolID.String()+" because this peer is not registered this relay server.")
	release()
	if got := slow.read(); got != (codec.Response{Success: true}) {
		t.Errorf("the slow one is told %+v", got)
	}
}

func TestManyConnectionsWithOneTokenMakeOneCall(t *testing.T) {
	s := newStub(t, endpoint)
	url := listen(t, newRelay(t, introspection(t, s.URL)))
	var all sync.WaitGroup
	for range 200 {
		p := dialAs(t, url, "Bearer c4n4ry-alice")
		all.Go(func() {
			id := uuid.New()
			frame, _ := codec.Registration{Name: "test", UUID: id}.Append(nil)
			if err := errors.Join(p.WriteFrame(frame), p.Flush()); err != nil {
				t.Error(err)
			}
			if frame, _, err := p.ReadFrame(); err != nil || !bytes.Contains(frame, []byte(`"success": true`)) {
				t.Errorf("%s, %v", frame, err)
			}
		})
	}
	all.Wait()
	if n := s.requests.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestARelayKnowsItsClientsByTokensFromAFile(t *testing.T) {
	tokens := load(t, "c4n4ry-alice alice\nc4n4ry-bob bob\n")
	url := listen(t, newRelay(t, tokens))
	dialAs(t, url, "Bearer c4n4ry-alice").register(aliceID)
	for _, test := range []struct {
		header string
		code   int
		reason string
	}{
		{"Bearer c4n4ry-carol", 4002, revoked},
		{"Bearer c4n4ry-bob", 4002, "ForbiddenError: The client UUID " + aliceID.String() + " is already registered to another user."},
		{"Basic c4n4ry-alice", 4001, malformed},
	} {
		p := dialAs(t, url, test.header)
		p.write(codec.Registration{Name: "test", UUID: aliceID})
		p.expectClose(test.code, test.reason)
	}
}

func TestARelayKnowsItsClientsByTheirCertificates(t *testing.T) {
	a := newAuthority(t)
	h := a.secure(t, newRelay(t, auth.Certificate{}))
	url := "wss" + strings.TrimPrefix(h.URL, "https")
	with := func(certificates ...tls.Certificate) peer {
		config := h.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		config.Certificates = certificates
		return dial(t, url, transport.Dialer{TLSConfig: config})
	}
	alice := with(a.client(t, subject(commonName, "alice")))
	alice.register(aliceID)
	bob := with(a.client(t, subject(commonName, "bob")))
	bob.write(codec.Registration{Name: "test", UUID: aliceID})
	bob.expectClose(4002, "ForbiddenError: The client UUID "+aliceID.String()+" is already registered to another user.")
	nobody := with()
	nobody.write(codec.Registration{Name: "test", UUID: bobID})
	nobody.expectClose(4001, "UnauthorizedError: A verified client certificate is required.")
	with(a.client(t, subject(commonName, "alice"))).register(aliceID)
	alice.expectClose(4004, "Relay received a registration with the same ID. This might mean that the endpoint is running in multiple locations.")

	stranger := newAuthority(t).client(t, subject(commonName, "alice"))
	config := h.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	// Sent whether or not the server asks for another authority's.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }
	if ws, err := (&transport.Dialer{TLSConfig: config}).Dial(t.Context(), url); err == nil {
		ws.Abort()
		t.Error("a certificate of another authority was let in")
	}
}
