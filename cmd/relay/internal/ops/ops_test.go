package ops

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/relaytest"
)

func TestT51_HealthAndReadiness(t *testing.T) {
	r := relaytest.New(t)
	h := New(r.Server(), Options{})
	defer h.Close()
	for _, c := range []struct {
		name        string
		do          func()
		ready       int
		says, state string
	}{
		{"at the start", func() {}, 503, "not ready: starting\n", "starting"},
		{"when ready", h.Ready, 200, "ready\n", "serving"},
		{"while draining", h.Drain, 503, "not ready: draining\n", "draining"},
		{"draining is for good", h.Ready, 503, "not ready: draining\n", "draining"},
		{"after the end", h.Close, 503, "not ready: draining\n", "draining"},
	} {
		c.do()
		if a := get(h, "GET", "/readyz"); a.Code != c.ready || a.Body.String() != c.says {
			t.Errorf("%s: /readyz says %d %q", c.name, a.Code, a.Body)
		}
		if a := get(h, "GET", "/healthz"); a.Code != 200 || a.Body.String() != "ok\n" {
			t.Errorf("%s: /healthz says %d %q", c.name, a.Code, a.Body)
		}
		if a := get(h, "GET", "/"); !strings.Contains(a.Body.String(), `<dd id="state">`+c.state) {
			t.Errorf("%s: the page does not say %s", c.name, c.state)
		}
	}
}

func TestWhoMayAskForWhat(t *testing.T) {
	_, h := newRelay(t, Options{Hosts: []string{"Relay.Example."}})
	_, profiled := newRelay(t, Options{PProf: true})
	for _, c := range []struct {
		name         string
		h            http.Handler
		method, path string
		header       []string
		want         int
	}{
		{"the page", h, "GET", "/", nil, 200},
		{"its head", h, "HEAD", "/", nil, 200},
		{"a link from another site", h, "GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
		{"a frame in another site", h, "GET", "/style.css", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"its events, by a script of another site", h, "HEAD", "/events", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, 403},
		{"its events, by a script of another port", h, "HEAD", "/events", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}, 403},
		{"its events, by its own script", h, "HEAD", "/events", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"by localhost", h, "GET", "/", []string{"Host", "localhost:9"}, 200},
		{"by IPv6", h, "GET", "/", []string{"Host", "[::1]:9"}, 200},
		{"by IPv6, without port", h, "GET", "/", []string{"Host", "[::1]"}, 200},
		{"by an allowed name", h, "GET", "/", []string{"Host", "relay.EXAMPLE:9"}, 200},
		{"by a name that may resolve to anything", h, "GET", "/", []string{"Host", "rebound.example"}, 421},
		{"by one that looks like an address", h, "GET", "/", []string{"Host", "127.0.0.1.example"}, 421},
		{"events by such a name", h, "GET", "/events", []string{"Host", "rebound.example"}, 421},
		{"profiles by such a name", profiled, "GET", "/debug/pprof/", []string{"Host", "rebound.example"}, 421},
		{"metrics by such a name", h, "GET", "/metrics", []string{"Host", "relay-7.site"}, 200},
		{"health by such a name", h, "GET", "/healthz", []string{"Host", "relay-7.site"}, 200},
		{"to change something", h, "POST", "/", nil, 405},
		{"to change metrics", h, "DELETE", "/metrics", nil, 405},
		{"something else", h, "GET", "/etc/passwd", nil, 404},
		{"an asset by its folder", h, "GET", "/assets/live.js", nil, 404},
		{"profiles, which are off", h, "GET", "/debug/pprof/", nil, 404},
		{"a profile, which is off", h, "GET", "/debug/pprof/heap", nil, 404},
		{"profiles", profiled, "GET", "/debug/pprof/", nil, 200},
		{"a profile", profiled, "GET", "/debug/pprof/heap", nil, 200},
		{"the command line", profiled, "GET", "/debug/pprof/cmdline", nil, 200},
		{"a profile, by another site", profiled, "GET", "/debug/pprof/heap", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},
	} {
		answer := get(c.h, c.method, c.path, c.header...)
		if answer.Code != c.want {
			t.Errorf("%s: %d, want %d", c.name, answer.Code, c.want)
		}
		if answer.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: other origins are let in", c.name)
		}
	}
}

func TestThePageIsLockedUp(t *testing.T) {
	_, h := newRelay(t, Options{})
	header := get(h, "GET", "/").Header()
	for name, want := range map[string]string{
		"Content-Security-Policy":      "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
		"Content-Type":                 "text/html; charset=utf-8",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Cache-Control":                "no-store",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cross-Origin-Opener-Policy":   "same-origin",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // would not end with a goroutine left
		r := relaytest.NewInMemory(t)
		h := New(r.Server(), Options{})
		time.Sleep(10 * time.Second)
		h.Close()
		h.Close()
		r.Close()
	})
}

// An http.Server waits for its handlers when it is shut down. The streams of
// the page would never end.
func TestShutdownDoesNotWaitForThoseWhoWatch(t *testing.T) {
	_, h := newRelay(t, Options{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }() // received below
	answer, err := http.Get("http://" + listener.Addr().String() + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := bufio.NewReader(answer.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	h.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	<-served
}
