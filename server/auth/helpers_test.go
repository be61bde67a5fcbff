package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
)

const (
	clientID     = "relay"
	clientSecret = "c4n4ry-s3cr3t"
	audience     = "the relay"
)

// patience bounds what happens soon, even on a busy machine.
const patience = time.Minute

// bearing are the credentials of who sends these Authorization headers.
func bearing(headers ...string) *server.Credentials {
	return &server.Credentials{Header: http.Header{"Authorization": headers}}
}

// A stub is an OAuth2 server on the loopback interface.
type stub struct {
	*httptest.Server
	requests atomic.Int64
}

func newStub(t *testing.T, answer http.HandlerFunc) *stub {
	t.Helper()
	s := new(stub)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// says answers all requests alike.
func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, body)
	}
}

// good is an answer about a good token of the user.
func good(user string) string {
	return fmt.Sprintf(`{"active": true, "sub": %q, "aud": [%q], "username": "Name of %s"}`, user, audience, user)
}

// introspection asks the endpoint, with its own idle connections.
func introspection(t *testing.T, url string, change ...func(*auth.IntrospectionConfig)) *auth.Introspection {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	config := auth.IntrospectionConfig{
		URL: url, ClientID: clientID, ClientSecret: clientSecret, Audience: audience, Timeout: patience, Transport: transport,
	}
	for _, change := range change {
		change(&config)
	}
	in, err := auth.NewIntrospection(config)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// expectRefused expects a refusal with the code, and a reason that begins so.
func expectRefused(t *testing.T, user server.User, err error, code int, reason string) {
	t.Helper()
	refused, ok := errors.AsType[*server.RefusedError](err)
	switch {
	case !ok:
		t.Errorf("got %+v, %v, want a refusal with %d", user, err, code)
	case refused.Code != code || !strings.HasPrefix(refused.Reason, reason) || user != (server.User{}):
		t.Errorf("got %+v, refused with %d %q, want %d %q", user, refused.Code, refused.Reason, code, reason)
	}
}

// The texts of ProxyStore's relay.
const (
	missing   = "UnauthorizedError: Request headers are missing authorization header."
	malformed = "UnauthorizedError: Bearer token in authorization header is malformed."
	revoked   = "ForbiddenError: Token is expired or has been revoked."
	foreign   = `ForbiddenError: Token audience does not include "` + audience + `". This could result in a confused deputy attack. ` +
		"Ensure the correct scopes are requested when the token is created."
)
