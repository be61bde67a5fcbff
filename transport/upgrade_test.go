package transport

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestUpgradeRefusals(t *testing.T) {
	const upgrade = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
	const rest = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	tests := []struct {
		name, request string
		allow         func(*http.Request) bool
		want          int
	}{
		{"all is well", "GET /x HTTP/1.1\r\nHost: h\r\n" + upgrade + rest, nil, 101},
		{"no Upgrade header", "GET /x HTTP/1.1\r\nHost: h\r\n" + rest, nil, 426},
		{"not GET", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n" + upgrade + rest, nil, 405},
		{"HTTP/1.0", "GET /x HTTP/1.0\r\nHost: h\r\n" + upgrade + rest, nil, 505},
		{"version 12", "GET /x HTTP/1.1\r\nHost: h\r\n" + upgrade + strings.Replace(rest, "13", "12", 1), nil, 400},
		{"no key", "GET /x HTTP/1.1\r\nHost: h\r\n" + upgrade + "Sec-WebSocket-Version: 13\r\n", nil, 400},
		{"a short key", "GET /x HTTP/1.1\r\nHost: h\r\n" + upgrade + strings.Replace(rest, "dGhl", "", 1), nil, 400},
		{"two keys", "GET /x HTTP/1.1\r\nHost: h\r\n" + upgrade + rest[:len(rest)-2] + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", nil, 400},
		{"the same origin", "GET /x HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\n" + upgrade + rest, nil, 101},
		{"another origin", "GET /x HTTP/1.1\r\nHost: h\r\nOrigin: http://evil\r\n" + upgrade + rest, nil, 403},
		{"origin null", "GET /x HTTP/1.1\r\nHost: h\r\nOrigin: null\r\n" + upgrade + rest, nil, 403},
		{"another origin, allowed", "GET /x HTTP/1.1\r\nHost: h\r\nOrigin: http://evil\r\n" + upgrade + rest, func(*http.Request) bool { return true }, 101},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			refusals := make(chan error, 1)
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := (&Upgrader{CheckOrigin: tt.allow}).Upgrade(w, r)
				if err == nil {
					_ = c.Abort()
				}
				refusals <- err
			}))
			defer h.Close()
			conn, err := net.Dial("tcp", h.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = fmt.Fprintf(conn, "%s\r\n", tt.request)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || answer.StatusCode != tt.want {
				t.Fatalf("%v %v", answer, err)
			}
			err = <-refusals
			var e *HandshakeError
			if tt.want == 101 {
				if err != nil {
					t.Error(err)
				}
			} else if !errors.As(err, &e) || e.Status != tt.want || e.Step != StepUpgrade || e.URL != "/x" {
				t.Errorf("%v", err)
			}
		})
	}
}

// wrapped is what middleware does to a ResponseWriter.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestUpgradeBehindMiddleware(t *testing.T) {
	noLeaks(t)
	ended := make(chan error, 1)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := new(Upgrader).Upgrade(wrapped{w}, r)
		if err != nil {
			t.Error(err)
			return
		}
		ended <- errors.Join(c.WriteFrame([]byte("m")), c.Close(1000, ""))
	}))
	defer h.Close()
	client, err := (&Dialer{Proxy: noProxy}).Dial(t.Context(), "ws"+strings.TrimPrefix(h.URL, "http"))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, client, []byte("m"))
	_ = readError(client)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_ = client.Close(1000, "")
}

func TestUpgradeWithoutHijacking(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, value := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	if _, err := new(Upgrader).Upgrade(w, r); err == nil || w.Code != http.StatusInternalServerError {
		t.Errorf("%d %v", w.Code, err)
	}
	_, _ = io.Copy(io.Discard, w.Body)
}
