package gate

import (
	"bufio"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// upgrade answers 101 and keeps the connection, echoing what comes.
func upgrade(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		http.Error(w, "no upgrade", http.StatusUpgradeRequired)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	go func() {
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		_, _ = io.Copy(c, rw)
	}()
}

// serve runs a server behind a gate, with TLS or without.
func serve(t *testing.T, limits Limits, secure bool, headers time.Duration) (*Listener, func() (net.Conn, error)) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := New(inner, limits)
	address := inner.Addr().String()
	var front net.Listener = l
	dial := func() (net.Conn, error) { return net.Dial("tcp", address) }
	if secure {
		certificates := httptest.NewTLSServer(nil)
		config := certificates.TLS.Clone()
		certificates.Close()
		config.NextProtos = []string{"http/1.1"}
		front = tls.NewListener(l, config)
		dial = func() (net.Conn, error) { return tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) }
	}
	s := &http.Server{
		Handler:           http.HandlerFunc(upgrade),
		ConnState:         l.ConnState,
		ReadHeaderTimeout: headers,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	s.SetKeepAlivesEnabled(false)
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(front) })
	t.Cleanup(func() { s.Close(); served.Wait() })
	return l, dial
}

// request sends a request and returns the status line of the answer.
func request(c net.Conn, header string) (string, error) {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"+header+"\r\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// await waits until the gate's figures are as wanted.
func await(t *testing.T, l *Listener, what string, ok func(Stats) bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(patience)
	for !ok(l.Stats()) {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("not %s: %+v", what, l.Stats())
		}
	}
}

func TestAPlaceIsHeldUntilTheUpgradeAndNoLonger(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(t *testing.T) {
			l, dial := serve(t, Limits{}, secure, time.Minute)
			silent, err := net.Dial("tcp", l.Addr().String()) // not even a ClientHello
			if err != nil {
				t.Fatal(err)
			}
			await(t, l, "held before anything is sent", func(s Stats) bool { return s.Handshakes == 1 })
			silent.Close()
			await(t, l, "free when the client has gone", func(s Stats) bool { return s.Handshakes == 0 })

			c, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			await(t, l, "held before the request", func(s Stats) bool { return s.Handshakes == 1 })
			if status, err := request(c, "Upgrade: websocket\r\n"); err != nil || !strings.Contains(status, "101") {
				t.Fatalf("%q, %v", status, err)
			}
			await(t, l, "free after the upgrade", func(s Stats) bool { return s.Handshakes == 0 })

			plain, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			if status, err := request(plain, ""); err != nil || !strings.Contains(status, "426") {
				t.Fatalf("%q, %v", status, err)
			}
			await(t, l, "free after a refusal", func(s Stats) bool { return s.Handshakes == 0 })
			if s := l.Stats(); s != (Stats{Accepted: 3}) {
				t.Errorf("%+v, want 3 accepted and nothing else", s)
			}
		})
	}
}

func TestT39_SlowLorisKeepsNobodyOut(t *testing.T) {
	const slow, room = 300, 100
	l, dial := serve(t, Limits{MaxHandshakes: room}, false, 3*time.Second)

	var dribblers sync.WaitGroup
	defer dribblers.Wait()
	for range slow {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		dribblers.Go(func() {
			defer c.Close()
			ticker := time.NewTicker(100 * time.Millisecond)
			defer ticker.Stop()
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: ")
			for err == nil {
				<-ticker.C
				_, err = io.WriteString(c, "x")
			}
		})
	}
	await(t, l, "full", func(s Stats) bool { return s.Handshakes == room })
	start := time.Now()
	for i := range 20 {
		c, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if status, err := request(c, "Upgrade: websocket\r\n"); err != nil || !strings.Contains(status, "101") {
			t.Fatalf("good client %d: %q, %v; %+v", i, status, err, l.Stats())
		}
	}
	t.Logf("20 good clients behind %d slow ones: %v; %+v", slow, time.Since(start), l.Stats())
	dribblers.Wait() // each of them has been cut: by the gate, or at its bound
	await(t, l, "empty", func(s Stats) bool { return s.Handshakes == 0 })
	if s := l.Stats(); s.Accepted != slow+20 || s.Cut == 0 {
		t.Errorf("%+v, want all %d accepted, and some cut", s, slow+20)
	}
}
