package ops

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/relaytest"
)

// watch opens the stream of events, and returns what reads the next one.
func watch(t *testing.T, url string) (next func() page, stop func()) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || kind != "text/event-stream" {
		t.Fatalf("%s, %s", answer.Status, kind)
	}
	lines := bufio.NewReader(answer.Body)
	return func() (p page) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				if err := json.Unmarshal([]byte(data), &p); err != nil {
					t.Fatal(err)
				}
				return p
			}
		}
	}, func() { answer.Body.Close() }
}

// The events go on beyond the timeouts of the http.Server, of a second each.
func TestEventsOutliveTheTimeoutsOfTheServer(t *testing.T) {
	r, h := newRelay(t, Options{})
	url, _ := serve(t, h, "127.0.0.1:0")
	next, _ := watch(t, url+"/events")
	if p := next(); p.Texts["open"] != "0" || p.Texts["state"] != "serving" || len(p.Plots) != len(plotted) {
		t.Errorf("the first event: %+v", p.Texts)
	}
	join(t, r, "new")
	for seen := 0; seen < 3; {
		if next().Texts["open"] == "1" {
			seen++
		}
	}
}

func TestOneTickIsOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		h := New(r.Server(), Options{})
		defer r.Close()
		defer h.Close()
		ctx, cancel := context.WithCancel(t.Context())
		w := httptest.NewRecorder()
		served := make(chan struct{})
		go func() {
			defer close(served)
			h.ServeHTTP(deadlines{w}, httptest.NewRequestWithContext(ctx, "GET", "http://127.0.0.1/events", nil))
		}()
		time.Sleep(10*time.Second + time.Millisecond)
		cancel()
		<-served
		body := w.Body.String()
		if n := strings.Count(body, "\n\ndata: "); n != 10 || !strings.HasPrefix(body, "retry: 1000\ndata: {") || !strings.HasSuffix(body, "}\n\n") {
			t.Errorf("%d events after the first one: %.100s", n, body)
		}
	})
}

// deadlines makes a ResponseController content.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetWriteDeadline(time.Time) error { return nil }

func TestWatchersAreBounded(t *testing.T) {
	_, h := newRelay(t, Options{})
	url, _ := serve(t, h, "127.0.0.1:0")
	var stop func()
	for range maxViewers {
		var next func() page
		next, stop = watch(t, url+"/events")
		next()
	}
	late := get(h, "GET", "/events")
	if late.Code != http.StatusServiceUnavailable || late.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d", late.Code)
	}
	if a := get(h, "GET", "/"); a.Code != http.StatusOK {
		t.Errorf("the page itself: %d", a.Code)
	}
	stop()
	eventually(t, "there is room again", func() bool { return get(h, "HEAD", "/events").Code == http.StatusOK })
}

// stuck is a viewer that takes in nothing.
type stuck struct {
	http.ResponseWriter
	deadline time.Time
}

func (s *stuck) SetWriteDeadline(at time.Time) error { s.deadline = at; return nil }
func (s *stuck) Write([]byte) (int, error) {
	time.Sleep(time.Until(s.deadline))
	return 0, os.ErrDeadlineExceeded
}

func TestAViewerThatDoesNotReadIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		h := New(r.Server(), Options{})
		defer r.Close()
		defer h.Close()
		start := time.Now()
		h.ServeHTTP(&stuck{ResponseWriter: httptest.NewRecorder()}, httptest.NewRequest("GET", "http://127.0.0.1/events", nil))
		if took := time.Since(start); took != viewerPatience {
			t.Errorf("dropped after %v", took)
		}
		if n := h.viewers.Load(); n != 0 {
			t.Errorf("%d viewers are left", n)
		}
	})
}

func TestASnapshotIsMadeOncePerView(t *testing.T) {
	_, h := newRelay(t, Options{})
	s := h.sampler.latest.Load()
	a, errA := h.snapshot(s, view{})
	b, errB := h.snapshot(s, view{})
	c, errC := h.snapshot(s, view{Sort: "name"})
	if err := errors.Join(errA, errB, errC); err != nil {
		t.Fatal(err)
	}
	if &a[0] != &b[0] || &a[0] == &c[0] {
		t.Error("two views shared a snapshot, or one made two")
	}
}

func TestAViewIsOfTheStreamToo(t *testing.T) {
	r, h := newRelay(t, Options{})
	join(t, r, "apple")
	join(t, r, "pear")
	url, _ := serve(t, h, "127.0.0.1:0")
	next, _ := watch(t, url+"/events?find=PEA")
	for {
		p := next()
		rows := p.Table("connections").Rows
		if p.Texts["open"] == "2" {
			if len(rows) != 1 || rows[0].Cells[0] != "pear" || p.Texts["shown"] != "1 of 2" {
				t.Errorf("%+v, %q", rows, p.Texts["shown"])
			}
			return
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	r := relaytest.Start()
	defer r.Close()
	h := New(r.Server(), Options{})
	defer h.Close()
	s := &sample{started: time.Now(), at: time.Now(), history: make([]point, span), connections: crowd(maxListed)}
	for b.Loop() {
		clear(s.snapshots)
		if _, err := h.snapshot(s, view{}); err != nil {
			b.Fatal(err)
		}
	}
}
