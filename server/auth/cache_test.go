package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
)

// A script stands for the endpoint, without a socket.
type script struct {
	takes  time.Duration
	answer func(token string) string // "" breaks the connection; nil means good("alice")

	mu    sync.Mutex
	calls []string // the tokens
	now   int      // calls under way
	most  int
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	form, _ := io.ReadAll(r.Body)
	values, _ := url.ParseQuery(string(form))
	token := values.Get("token")
	s.mu.Lock()
	s.calls = append(s.calls, token)
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now--
	}()
	select {
	case <-time.After(s.takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	body := good("alice")
	if s.answer != nil {
		body = s.answer(token)
	}
	if body == "" {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{
		StatusCode: 200,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(bytes.NewBufferString(body)),
	}, nil
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// scripted asks the script, with the defaults for time.
func scripted(t *testing.T, s *script, change ...func(*auth.IntrospectionConfig)) *auth.Introspection {
	t.Helper()
	return introspection(t, "http://localhost/introspect", append([]func(*auth.IntrospectionConfig){
		func(c *auth.IntrospectionConfig) { c.Transport, c.Timeout = s, 0 },
	}, change...)...)
}

func TestAnAnswerIsKeptForAsLongAsItMayBe(t *testing.T) {
	exp := func(in time.Duration) func(string) string {
		end := float64(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()) + in.Seconds() // a bubble begins there
		return func(string) string {
			return fmt.Sprintf(`{"active": true, "sub": "alice", "aud": "the relay", "exp": %f}`, end)
		}
	}
	always := func(body string) func(string) string { return func(string) string { return body } }
	for _, test := range []struct {
		name   string
		answer func(string) string
		cache  time.Duration
		want   time.Duration // for how long there is no second call
	}{
		{"a good token", nil, 0, time.Minute},
		{"a good token, kept shorter", nil, 3 * time.Second, 3 * time.Second},
		{"a good token, not kept", nil, -1, 0},
		{"a good token that expires", exp(2 * time.Second), 0, 2 * time.Second},
		{"a good token that expires within a second", exp(500 * time.Millisecond), 0, 500 * time.Millisecond},
		{"a good token that expires late", exp(time.Hour), 0, time.Minute},
		{"a token that has been revoked", always(`{"active": false}`), 0, 10 * time.Second},
		{"a token that has been revoked, kept shorter", always(`{"active": false}`), 3 * time.Second, 3 * time.Second},
		{"a token that has been revoked, not kept", always(`{"active": false}`), -1, 0},
		{"a token for others", always(`{"active": true, "sub": "alice"}`), 0, 10 * time.Second},
		{"no answer", always(""), 0, time.Second},
		{"no answer, not kept", always(""), -1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: test.answer}
				in := scripted(t, s, func(c *auth.IntrospectionConfig) { c.Cache = test.cache })
				ask := func() (server.User, error) { return in.Authenticate(t.Context(), bearing("Bearer token")) }
				user, err := ask()
				if test.want > 0 {
					time.Sleep(test.want - time.Millisecond)
					again, errAgain := ask()
					if again != user || errAgain != err || s.count() != 1 {
						t.Errorf("just before: %+v, %v, %d calls, before that %+v, %v", again, errAgain, s.count(), user, err)
					}
					time.Sleep(time.Millisecond)
				}
				if ask(); s.count() != 2 {
					t.Errorf("after %v: %d calls, want 2", test.want, s.count())
				}
				if _, err := in.Authenticate(t.Context(), bearing("Bearer other")); err != nil && s.count() != 3 {
					t.Errorf("another token: %d calls, want 3", s.count())
				}
			})
		})
	}
}

func TestWhatIsKnownOfATokenIsWhatWasSaidLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := good("alice")
		s := &script{answer: func(string) string { return said }}
		in := scripted(t, s)
		expect := func(calls int, welcome bool) {
			t.Helper()
			user, err := in.Authenticate(t.Context(), bearing("Bearer token"))
			if welcome && (err != nil || user.ID != "alice") {
				t.Errorf("%+v, %v", user, err)
			} else if !welcome {
				expectRefused(t, user, err, server.CodeForbidden, revoked)
			}
			if s.count() != calls {
				t.Errorf("%d calls, want %d", s.count(), calls)
			}
		}
		expect(1, true)
		said = `{"active": false}`
		expect(1, true) // does not know yet
		time.Sleep(time.Minute)
		expect(2, false)
		expect(2, false)
		said = good("alice")
		expect(2, false)
		time.Sleep(10 * time.Second)
		expect(3, true)
		expect(3, true)
	})
}

func TestManyWithOneTokenShareOneCall(t *testing.T) {
	for _, test := range []struct {
		name  string
		cache time.Duration
	}{{"with the cache", 0}, {"without", -1}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{takes: time.Second}
				in := scripted(t, s, func(c *auth.IntrospectionConfig) { c.Cache = test.cache })
				var all sync.WaitGroup
				for range 200 {
					all.Go(func() {
						if user, err := in.Authenticate(t.Context(), bearing("Bearer token")); err != nil || user.ID != "alice" {
							t.Errorf("%+v, %v", user, err)
						}
					})
				}
				all.Wait()
				if s.count() != 1 {
					t.Errorf("%d calls", s.count())
				}
			})
		})
	}
}

func TestWhoLeavesTakesNobodyAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{takes: time.Second}
		in := scripted(t, s)
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { // asks
			if _, err := in.Authenticate(first, bearing("Bearer token")); !errors.Is(err, context.Canceled) {
				t.Errorf("who left: %v", err)
			}
		})
		synctest.Wait()
		for range 10 { // wait for its answer
			all.Go(func() {
				if user, err := in.Authenticate(t.Context(), bearing("Bearer token")); err != nil || user.ID != "alice" {
					t.Errorf("who stayed: %+v, %v", user, err)
				}
			})
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := in.Authenticate(ctx, bearing("Bearer token"))
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 100*time.Millisecond {
				t.Errorf("who waited and left: %v after %v", err, took)
			}
		})
		time.Sleep(500 * time.Millisecond)
		leave()
		all.Wait()
		if s.count() != 2 {
			t.Errorf("%d calls, want that of who left and one more", s.count())
		}
	})
}

// A panicking transport is a defect of the program, but must not hang others.
type panicking struct{ script }

func (p *panicking) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.count() == 0 {
		p.script.RoundTrip(r)
		panic("first")
	}
	return p.script.RoundTrip(r)
}

func TestAPanicLeavesNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := scripted(t, nil, func(c *auth.IntrospectionConfig) { c.Transport = &panicking{script{takes: time.Second}} })
		var all sync.WaitGroup
		all.Go(func() {
			defer func() { recover() }()
			in.Authenticate(t.Context(), bearing("Bearer token"))
			t.Error("no panic")
		})
		synctest.Wait()
		all.Go(func() {
			if _, err := in.Authenticate(t.Context(), bearing("Bearer token")); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
	})
}

func TestCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{takes: 2 * time.Second}
		in := scripted(t, s)
		start := time.Now()
		var mu sync.Mutex
		var in2, in4, none int
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() {
				_, err := in.Authenticate(t.Context(), bearing(fmt.Sprintf("Bearer token%d", n)))
				took := time.Since(start)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && took == 2*time.Second:
					in2++
				case err == nil && took == 4*time.Second:
					in4++
				case errors.Is(err, context.DeadlineExceeded) && took == 5*time.Second:
					none++
				default:
					t.Errorf("after %v: %v", took, err)
				}
			})
		}
		all.Wait()
		if s.most != 32 || in2 != 32 || in4 != 32 || none != 36 {
			t.Errorf("%d at a time, %d after 2 s, %d after 4 s, %d without an answer after 5 s", s.most, in2, in4, none)
		}
	})
}

func TestASlowEndpointIsNotWaitedForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		in := scripted(t, &script{takes: time.Hour})
		_, err := in.Authenticate(t.Context(), bearing("Bearer token"))
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}
