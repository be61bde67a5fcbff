package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/transport"
)

func TestShutdownFlushesTheQueuesAndSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a, b := join(t, s).register(alice), join(t, s).register(bob)
		stranger := join(t, s)
		const n = 500 // more than the pipe holds
		for i := range n {
			a.send(alice, bob, fmt.Sprint(i))
		}
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(t.Context()) }()
		synctest.Wait()
		for i := range n {
			if m := b.receive(); m.Description != fmt.Sprint(i) {
				t.Fatalf("%+v", m)
			}
		}
		for _, p := range []peer{a, b, stranger} {
			p.expectClose(1001, "")
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error("the second time:", err)
		}
		_, end := transport.Pipe()
		if err := s.ServeConn(t.Context(), end); err != ErrServerClosed {
			t.Error(err)
		}
	})
}

func TestShutdownCutsOffWhoIsLeftWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		join(t, s).register(alice) // answers no close frame
		b := join(t, s).register(bob)
		for range 100 { // and does not read
			b.send(bob, bob, "")
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("returned after %v", d)
		}
		if st := s.Stats(); st.Connections != 0 || st.Clients != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestAConnectionThatOpensWhileShutdownCutsIsCutOffToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		place, _ := s.places.take(netip.Addr{}, s.config()) // its handshake takes long
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(ctx) }()
		synctest.Wait()
		start := time.Now()
		_, end := transport.Pipe()
		c := &conn{s: s, cfg: s.config(), ws: end, place: place}
		s.open(c)
		s.serve(c)
		if err := <-ended; err != context.Canceled {
			t.Error(err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("served for %v", d)
		}
	})
}

func TestAServerThatIsFullOrStoppingAnswers503(t *testing.T) {
	s := newServer(t, WithMaxConnections(2))
	url := listen(t, s)
	first, _ := dial(t, url).register(alice), dial(t, url)
	for range 3 {
		status, body, retry := refusal(t, url)
		if status != 503 || body != "Too many connections." || retry == "" {
			t.Error(status, body, retry)
		}
	}
	first.Close(1000, "")
	eventually(t, "there is room again", func() bool { return s.Stats().Connections == 1 })
	dial(t, url).register(alice)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Shutdown(ctx)
	if status, body, _ := refusal(t, url); status != 503 || body != "Server is shutting down." {
		t.Error(status, body)
	}
	if st := s.Stats(); st.RejectedConnections != 3 || st.RejectedStopping != 1 {
		t.Errorf("%+v", st)
	}
}

func refusal(t *testing.T, url string) (status int, body, retryAfter string) {
	t.Helper()
	resp, err := http.Get("http" + strings.TrimPrefix(url, "ws"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text)), resp.Header.Get("Retry-After")
}

func TestARefusedUpgradeTakesNoPlace(t *testing.T) {
	s := newServer(t, WithMaxConnections(1), WithCheckOrigin(func(*http.Request) bool { panic(http.ErrAbortHandler) }))
	url := "http" + strings.TrimPrefix(listen(t, s), "ws")
	for range 2 {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusUpgradeRequired {
			t.Fatal(resp.Status)
		}
		if _, err := new(transport.Dialer).Dial(t.Context(), "ws"+strings.TrimPrefix(url, "http")); err == nil {
			t.Fatal("connected")
		}
	}
	if n := s.Stats().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestASilentPeerIsFoundByPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		silent, alive := join(t, s).register(alice), join(t, s).register(bob)
		pong := time.NewTicker(time.Second)
		defer pong.Stop()
		stop := make(chan struct{})
		answering, wake := make(chan struct{}), wakes(alive)
		go func() { // reads, so that pings are seen, and flushes the answers
			defer close(answering)
			for {
				select {
				case <-wake:
					alive.Flush()
				case <-stop:
					return
				}
			}
		}()
		go func() {
			for _, _, err := alive.ReadFrame(); err == nil; _, _, err = alive.ReadFrame() {
			}
		}()
		start := time.Now()
		for s.Stats().Clients == 2 {
			<-pong.C
		}
		if d := time.Since(start); d < 30*time.Second || d > 41*time.Second {
			t.Errorf("found after %v", d)
		}
		silent.expectClose(1011, "keepalive ping timeout")
		time.Sleep(time.Hour)
		if n := s.Stats().Clients; n != 1 {
			t.Error("the peer that answers is gone")
		}
		close(stop)
		<-answering
	})
}
