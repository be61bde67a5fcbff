package auth_test

import (
	"net/http"
	"testing"

	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
)

func TestABearerTokenIsTakenFromTheHeaderAsProxyStoreDoes(t *testing.T) {
	s := newStub(t, says(good("alice")))
	tokens := load(t, "token alice\n")
	for _, test := range []struct {
		name        string
		credentials *server.Credentials
		reason      string // "" if welcome
	}{
		{"no header at all", &server.Credentials{}, missing},
		{"another header", &server.Credentials{Header: http.Header{"Cookie": {"Bearer token"}}}, missing},
		{"a bearer token", bearing("Bearer token"), ""},
		{"the scheme in lower case", bearing("bearer token"), malformed},
		{"two spaces", bearing("Bearer  token"), malformed},
		{"a space behind", bearing("Bearer token "), malformed},
		{"a tab instead of a space", bearing("Bearer\ttoken"), malformed},
		{"another scheme", bearing("Basic token"), malformed},
		{"no scheme", bearing("token"), malformed},
		{"no token", bearing("Bearer"), malformed},
		{"an empty token", bearing("Bearer "), malformed},
		{"two words", bearing("Bearer token token"), malformed},
		{"an empty header", bearing(""), malformed},
		{"two headers", bearing("Bearer token", "Bearer token"), malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, a := range []server.Authenticator{tokens, introspection(t, s.URL)} {
				before := s.requests.Load()
				user, err := a.Authenticate(t.Context(), test.credentials)
				if test.reason != "" {
					expectRefused(t, user, err, server.CodeUnauthorized, test.reason)
					if s.requests.Load() != before {
						t.Error("the endpoint was asked about it")
					}
				} else if err != nil || user.ID != "alice" {
					t.Errorf("%T: %+v, %v", a, user, err)
				}
			}
		})
	}
}

var _ = []server.Authenticator{(*auth.Tokens)(nil), (*auth.Introspection)(nil), auth.Certificate{}}
