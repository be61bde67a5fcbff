package auth_test

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
)

func TestTheEndpointIsAskedAsTheGlobusSDKDoes(t *testing.T) {
	const token, secret = "t+/=&%é", "s+/=&% é"
	s := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		want := "token=" + url.QueryEscape(token)
		if r.Method != "POST" || r.URL.String() != "/v2/oauth2/token/introspect?realm=x" || string(body) != want {
			t.Errorf("%s %s %q, want %q", r.Method, r.URL, body, want)
		}
		for name, want := range map[string]string{
			"Authorization":   "Basic " + base64.StdEncoding.EncodeToString([]byte(clientID+":"+secret)),
			"Content-Type":    "application/x-www-form-urlencoded",
			"Accept":          "application/json",
			"Idempotency-Key": "",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		says(good("alice"))(w, r)
	})
	in := introspection(t, s.URL+"/v2/oauth2/token/introspect?realm=x", func(c *auth.IntrospectionConfig) { c.ClientSecret = secret })
	user, err := in.Authenticate(t.Context(), bearing("Bearer "+token))
	if want := (server.User{ID: "alice", Name: "Name of alice"}); err != nil || user != want {
		t.Errorf("%+v, %v", user, err)
	}
}

// Answers that say something about the token.
func TestAnAnswerDecidesAboutTheToken(t *testing.T) {
	future, past := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Second).Unix()
	alice := server.User{ID: "alice"}
	long := strings.Repeat("x", 256)
	for _, test := range []struct {
		name, answer string
		user         server.User
		reason       string // of a refusal
	}{
		{"active", `{"active": true, "sub": "alice", "aud": "the relay"}`, alice, ""},
		{"with all that there is", fmt.Sprintf(` {"active":true,"sub":"alice","aud":["other","the relay"],"exp":%d,"nbf":%d,"iat":1,
			"username":"u","name":"n","email":"e","scope":"x","identity_set":[{"sub":"bob"}]} `, future, past), server.User{ID: "alice", Name: "u"}, ""},
		{"no username", `{"active": true, "sub": "alice", "aud": "the relay", "username": null, "name": "n", "email": "e"}`, server.User{ID: "alice", Name: "n"}, ""},
		{"only an email", `{"active": true, "sub": "alice", "aud": "the relay", "username": "", "email": "e"}`, server.User{ID: "alice", Name: "e"}, ""},
		{"a very long name", `{"active": true, "sub": "alice", "aud": "the relay", "name": "` + long + `"}`, server.User{ID: "alice", Name: long[:255]}, ""},
		{"expiry as a fraction", fmt.Sprintf(`{"active": true, "sub": "alice", "aud": "the relay", "exp": %d.5}`, future), alice, ""},
		{"expiry in the far future", `{"active": true, "sub": "alice", "aud": "the relay", "exp": 1e300}`, alice, ""},
		{"no expiry", `{"active": true, "sub": "alice", "aud": "the relay", "exp": null}`, alice, ""},
		{"beginning now by a clock that is ahead", fmt.Sprintf(`{"active": true, "sub": "alice", "aud": "the relay", "nbf": %d}`, time.Now().Unix()+30), alice, ""},

		{"not active", `{"active": false}`, server.User{}, revoked},
		{"not active, and nothing else counts", `{"active": false, "sub": 5, "aud": 5, "exp": "x"}`, server.User{}, revoked},
		{"not active, whatever looks like it", `{"active": false, "Active": true, "ACTIVE": true, "sub": "alice", "aud": "the relay"}`, server.User{}, revoked},
		{"expired", fmt.Sprintf(`{"active": true, "sub": "alice", "aud": "the relay", "exp": %d}`, past), server.User{}, revoked},
		{"expired before all time", `{"active": true, "sub": "alice", "aud": "the relay", "exp": -1e300}`, server.User{}, revoked},
		{"expired at zero", `{"active": true, "sub": "alice", "aud": "the relay", "exp": 0}`, server.User{}, revoked},
		{"not valid yet", fmt.Sprintf(`{"active": true, "sub": "alice", "aud": "the relay", "nbf": %d}`, future), server.User{}, revoked},
		{"no audience", `{"active": true, "sub": "alice"}`, server.User{}, foreign},
		{"a null audience", `{"active": true, "sub": "alice", "aud": null}`, server.User{}, foreign},
		{"an empty list", `{"active": true, "sub": "alice", "aud": []}`, server.User{}, foreign},
		{"another audience", `{"active": true, "sub": "alice", "aud": "other"}`, server.User{}, foreign},
		{"an audience that holds ours", `{"active": true, "sub": "alice", "aud": "not the relay at all"}`, server.User{}, foreign},
		{"an audience in other letters", `{"active": true, "sub": "alice", "aud": ["The Relay"]}`, server.User{}, foreign},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := introspection(t, newStub(t, says(test.answer)).URL)
			user, err := in.Authenticate(t.Context(), bearing("Bearer x"))
			if test.reason != "" {
				expectRefused(t, user, err, server.CodeForbidden, test.reason)
			} else if err != nil || user != test.user {
				t.Errorf("%+v, %v, want %+v", user, err, test.user)
			}
		})
	}
}

// Answers that say nothing, whatever they look like.
func TestT42_WhatIsNoAnswerLetsNobodyIn(t *testing.T) {
	const noObject, noActive, noSub = "not one JSON object", "whether the token is active", "no sub, or an unusable one"
	const badAud = "an aud that is neither"
	for _, test := range []struct{ name, answer, want string }{
		{"nothing", ``, noObject},
		{"not JSON", `<html>c4n4ry</html>`, noObject},
		{"a truncated object", `{"active": true, "sub": "alice", "aud": "the relay"`, noObject},
		{"two objects", good("alice") + good("alice"), noObject},
		{"text behind the object", good("alice") + `c4n4ry`, noObject},
		{"a list", `[` + good("alice") + `]`, noObject},
		{"a string", `"c4n4ry"`, noObject},
		{"a number", `1`, noObject},
		{"true", `true`, noObject},
		{"null", `null`, noObject},
		{"not UTF-8", strings.Replace(good("alice"), "alice", "al\xffice", 1), noObject},
		{"a byte order mark", "\ufeff" + good("alice"), noObject},

		{"an empty object", `{}`, noActive},
		{"active left out", `{"sub": "alice", "aud": "the relay"}`, noActive},
		{"active null", `{"active": null, "sub": "alice", "aud": "the relay"}`, noActive},
		{"active a string", `{"active": "true", "sub": "alice", "aud": "the relay"}`, "active of the wrong type"},
		{"active a number", `{"active": 1, "sub": "alice", "aud": "the relay"}`, "active of the wrong type"},
		{"active a list", `{"active": [true], "sub": "alice", "aud": "the relay"}`, "active of the wrong type"},
		{"active in other letters", `{"Active": true, "sub": "alice", "aud": "the relay"}`, noActive},
		{"active twice", `{"active": false, "sub": "alice", "aud": "the relay", "active": true}`, "a name twice"},
		{"sub twice", `{"active": true, "sub": "alice", "aud": "the relay", "s\u0075b": "bob"}`, "a name twice"},

		{"sub left out", `{"active": true, "aud": "the relay"}`, noSub},
		{"sub null", `{"active": true, "sub": null, "aud": "the relay"}`, noSub},
		{"sub empty", `{"active": true, "sub": "", "aud": "the relay"}`, noSub},
		{"sub a number", `{"active": true, "sub": 5, "aud": "the relay"}`, "sub of the wrong type"},
		{"sub a list", `{"active": true, "sub": ["alice"], "aud": "the relay"}`, "sub of the wrong type"},
		{"sub very long", `{"active": true, "sub": "` + strings.Repeat("x", 256) + `", "aud": "the relay"}`, noSub},
		{"sub with a control character", `{"active": true, "sub": "al\u0000ice", "aud": "the relay"}`, noSub},
		{"sub with half a character", `{"active": true, "sub": "\ud800", "aud": "the relay"}`, noSub},

		{"aud a number", `{"active": true, "sub": "alice", "aud": 5}`, badAud},
		{"aud an object", `{"active": true, "sub": "alice", "aud": {"the relay": 1}}`, badAud},
		{"aud a mixed list", `{"active": true, "sub": "alice", "aud": ["the relay", 5]}`, badAud},
		{"aud a list with null", `{"active": true, "sub": "alice", "aud": ["the relay", null]}`, badAud},
		{"aud a list in a list", `{"active": true, "sub": "alice", "aud": [["the relay"]]}`, badAud},
		{"exp a string", `{"active": true, "sub": "alice", "aud": "the relay", "exp": "9999999999"}`, "exp of the wrong type"},
		{"exp beyond all numbers", `{"active": true, "sub": "alice", "aud": "the relay", "exp": 1e999}`, "exp of the wrong type"},
		{"nbf a string", `{"active": true, "sub": "alice", "aud": "the relay", "nbf": "0"}`, "nbf of the wrong type"},
		{"username a number", `{"active": true, "sub": "alice", "aud": "the relay", "username": 5}`, "username of the wrong type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			expectNoAnswer(t, introspection(t, newStub(t, says(test.answer)).URL), test.want)
		})
	}
}

func expectNoAnswer(t *testing.T, in *auth.Introspection, want string) {
	t.Helper()
	user, err := in.Authenticate(t.Context(), bearing("Bearer t0k3n"))
	_, refused := errors.AsType[*server.RefusedError](err)
	if err == nil || refused || user != (server.User{}) || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %+v, %v, want no answer: %s", user, err, want)
	}
	for _, secret := range sightings {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error quotes what it must not: %v", err)
		}
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprint(w, good("alice"))
	}
}

// stuck waits until the other side has gone.
func stuck(r *http.Request) {
	io.Copy(io.Discard, r.Body) // or the server does not look
	<-r.Context().Done()
}

// broken ends the connection behind some bytes.
func broken(bytes string, reset bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(conn, bytes)
		if reset {
			conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
	}
}

func TestT42_AnEndpointThatMisbehavesLetsNobodyIn(t *testing.T) {
	brief := func(c *auth.IntrospectionConfig) { c.Timeout = 50 * time.Millisecond }
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
		change func(*auth.IntrospectionConfig)
	}{
		{"400", status(400), "400 Bad Request; check the client id", nil},
		{"401", status(401), "401 Unauthorized; check the client id", nil},
		{"404", status(404), "404 Not Found; check the URL", nil},
		{"500", status(500), "500 Internal Server Error", nil},
		{"503 with Retry-After", status(503), "503 Service Unavailable", nil},
		{"201", status(201), "201 Created", nil},
		{"slow headers", func(w http.ResponseWriter, r *http.Request) { stuck(r) }, "no answer in time", brief},
		{"a slow body", func(w http.ResponseWriter, r *http.Request) {
			says(good("alice")[:10])(w, r)
			w.(http.Flusher).Flush()
			stuck(r)
		}, "no answer in time", brief},
		{"a body that dribbles", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for r.Context().Err() == nil {
				fmt.Fprint(w, " ")
				w.(http.Flusher).Flush()
				<-tick.C
			}
		}, "no answer in time", brief},
		{"a huge body", says(good("alice") + strings.Repeat(" ", 64<<10)), "more than 65536 bytes", nil},
		{"a body without end", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
					return
				}
			}
		}, "more than 65536 bytes", nil},
		{"a truncated body", broken(head+good("alice"), false), "it broke off its answer", nil},
		{"a reset in the body", broken(head+good("alice"), true), "", nil},
		{"a reset at once", broken("", true), "", nil},
		{"an end at once", broken("", false), "it broke off its answer", nil},
		{"no HTTP", broken("c4n4ry\r\n\r\n", false), "its answer is not HTTP", nil},
		{"a bad status", broken("HTTP/1.1 c4n4ry\r\n\r\n", false), "its answer is not HTTP", nil},
		{"endless headers", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", strings.Repeat("c4n4ry", 4096))
			says(good("alice"))(w, r)
		}, "its answer is not HTTP", func(c *auth.IntrospectionConfig) { c.Transport = nil }},
		{"another content type", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=c4n4ry")
			fmt.Fprint(w, good("alice"))
		}, "not application/json", nil},
		{"no content type", func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil
			fmt.Fprint(w, good("alice"))
		}, "not application/json", nil},
		{"a gzip bomb", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("Accept-Encoding: %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 16 {
				z.Write(make([]byte, 64<<10))
			}
			z.Close()
		}, "not one JSON object", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := introspection(t, newStub(t, test.answer).URL)
			if test.change != nil {
				in = introspection(t, newStub(t, test.answer).URL, test.change)
			}
			expectNoAnswer(t, in, test.want)
		})
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := newStub(t, says(good("alice")))
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := newStub(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, code) })
		expectNoAnswer(t, introspection(t, s.URL), "redirects are not followed")
	}
	if n := elsewhere.requests.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

func TestAnUnreachableEndpointIsNamedInTheError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	in := introspection(t, "http://"+listener.Addr().String()+"/introspect?key=c4n4ry")
	expectNoAnswer(t, in, "asking http://"+listener.Addr().String()+"/introspect about a token: check that it runs")
}

func TestTheEndpointsCertificateMustBeTrusted(t *testing.T) {
	s := httptest.NewUnstartedServer(says(good("alice")))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	expectNoAnswer(t, introspection(t, s.URL, func(c *auth.IntrospectionConfig) { c.Transport = nil }), "its certificate is not trusted")

	trusting := introspection(t, s.URL, func(c *auth.IntrospectionConfig) { c.Transport = s.Client().Transport })
	if user, err := trusting.Authenticate(t.Context(), bearing("Bearer x")); err != nil || user.ID != "alice" {
		t.Errorf("by HTTP/2, trusting it: %+v, %v", user, err)
	}
	plain := newStub(t, says(good("alice")))
	expectNoAnswer(t, introspection(t, strings.Replace(plain.URL, "http:", "https:", 1)), "it does not speak TLS")
}

func TestAConnectionThatWasClosedBetweenCallsDoesNoHarm(t *testing.T) {
	var s *stub
	s = newStub(t, func(w http.ResponseWriter, r *http.Request) {
		if s.requests.Load() == 2 {
			broken("", false)(w, r)
			return
		}
		says(good("alice"))(w, r)
	})
	in := introspection(t, s.URL)
	for _, token := range []string{"first", "second"} {
		if _, err := in.Authenticate(t.Context(), bearing("Bearer "+token)); err != nil {
			t.Errorf("%s: %v", token, err)
		}
	}
	if n := s.requests.Load(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*auth.IntrospectionConfig)
		want   string // "" if it works
	}{
		{"only client id and secret", func(c *auth.IntrospectionConfig) {}, ""},
		{"plain HTTP to this machine", func(c *auth.IntrospectionConfig) { c.URL = "http://localhost:1/x" }, ""},
		{"plain HTTP to this machine by IPv6", func(c *auth.IntrospectionConfig) { c.URL = "http://[::1]:1/x" }, ""},
		{"plain HTTP elsewhere", func(c *auth.IntrospectionConfig) { c.URL = "http://192.0.2.1/x?c4n4ry" }, "http://192.0.2.1/x is not https"},
		{"plain HTTP to a name", func(c *auth.IntrospectionConfig) { c.URL = "http://localhost.example/x" }, "is not https"},
		{"another scheme", func(c *auth.IntrospectionConfig) { c.URL = "ftp://c4n4ry@localhost/x" }, "the URL is none"},
		{"no scheme", func(c *auth.IntrospectionConfig) { c.URL = "localhost/x" }, "the URL is none"},
		{"no URL", func(c *auth.IntrospectionConfig) { c.URL = "https://c4n4ry\n" }, "the URL is none"},
		{"a password", func(c *auth.IntrospectionConfig) { c.URL = "https://c4n4ry:c4n4ry@localhost/x" }, "a user, a password"},
		{"no client id", func(c *auth.IntrospectionConfig) { c.ClientID = "" }, "the client id or the client secret is missing"},
		{"no client secret", func(c *auth.IntrospectionConfig) { c.ClientSecret = "" }, "the client id or the client secret is missing"},
		{"a colon in the client id", func(c *auth.IntrospectionConfig) { c.ClientID = "a:b" }, "has a colon"},
		{"a negative timeout", func(c *auth.IntrospectionConfig) { c.Timeout = -1 }, "is negative"},
		{"a long cache", func(c *auth.IntrospectionConfig) { c.Cache = time.Minute + 1 }, "a revoked token"},
		{"no cache", func(c *auth.IntrospectionConfig) { c.Cache = -1 }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := auth.IntrospectionConfig{ClientID: clientID, ClientSecret: clientSecret}
			test.change(&config)
			_, err := auth.NewIntrospection(config)
			switch {
			case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			case err != nil && strings.Contains(err.Error(), "c4n4ry"):
				t.Errorf("the error quotes what it must not: %v", err)
			}
		})
	}
}

func TestACallEndsWithTheCallersContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		stuck(r)
	})
	if _, err := introspection(t, s.URL).Authenticate(ctx, bearing("Bearer x")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
