package interop

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// success is a relay's reply to a registration, byte for byte.
const success = `{"success": true, "message": null, "error": false, "message_type": "relay_response"}`

// scriptedRelay starts a relay that plays the script on each connection, after
// it has read the registration, and closes the connection when that returns. It
// returns its address.
func scriptedRelay(t testing.TB, script func(c *websocket.Conn)) string {
	t.Helper()
	var upgrader websocket.Upgrader
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(patience))
		if _, _, err := c.ReadMessage(); err == nil {
			script(c)
		}
	}))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

// says is a script: answers the registration with a frame, and waits for the
// client to leave.
func says(frame string) func(c *websocket.Conn) {
	return func(c *websocket.Conn) {
		c.WriteMessage(websocket.TextMessage, []byte(frame))
		waitForEnd(c)
	}
}

// closes is a script: answers the registration with a close.
func closes(code int, reason string) func(c *websocket.Conn) {
	return func(c *websocket.Conn) {
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(patience))
		waitForEnd(c)
	}
}

func waitForEnd(c *websocket.Conn) {
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			return
		}
	}
}

// A recorder is a proxy in front of a relay that keeps the request of each
// connection that passes through it.
type recorder struct {
	URL string

	mu       sync.Mutex
	requests []*http.Request
}

func record(t testing.TB, r testRelay) *recorder {
	t.Helper()
	target, err := url.Parse("http" + strings.TrimPrefix(r.URL(), "ws"))
	if err != nil {
		t.Fatal(err)
	}
	rec := new(recorder)
	proxy := httputil.NewSingleHostReverseProxy(target)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec.mu.Lock()
		rec.requests = append(rec.requests, r.Clone(r.Context()))
		rec.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	rec.URL = "ws" + strings.TrimPrefix(s.URL, "http")
	return rec
}

// headers returns what the connections so far said under a key.
func (r *recorder) headers(key string) (values []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, request := range r.requests {
		values = append(values, fmt.Sprint(request.Header[http.CanonicalHeaderKey(key)]))
	}
	return values
}
