package transport

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// Upgrader makes WebSockets of HTTP requests. The zero value works. It may be
// used concurrently and must not be changed while it is.
type Upgrader struct {
	// MaxFrameBytes is the largest message accepted. Zero means 1 MiB.
	MaxFrameBytes int

	// WriteTimeout bounds how long the peer may take nothing. Zero means 10 s.
	WriteTimeout time.Duration

	// CloseTimeout bounds Close. Zero means 5 s.
	CloseTimeout time.Duration

	// CheckOrigin decides about requests that a browser sends for another site.
	// Nil means that an Origin, if there is one, must have the host of
	// the request; other programs than browsers send none.
	CheckOrigin func(*http.Request) bool
}

// Upgrade answers the request with a switch to the WebSocket protocol. A
// [net.Conn] that wraps another one, as a listener may make them, should keep its
// CloseWrite and SetLinger: ending a connection takes longer without them. One
// that leaves Read and Write alone may have a method Socket that returns the
// [*net.TCPConn]: then both are cheaper, and go past the wrapper. After
// that the deadlines of the HTTP server are gone and the connection is the
// caller's, who may return from the handler and must Close or Abort it.
//
// A request that cannot be upgraded has been answered with the status in the
// [*HandshakeError] (405, 426, 505, 400, 403); status 0 means that the
// connection broke. Extensions and subprotocols that the client offers are ignored.
func (u *Upgrader) Upgrade(w http.ResponseWriter, r *http.Request) (Conn, error) {
	refusal := &HandshakeError{Step: StepUpgrade, URL: r.URL.Path}
	refuse := func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
		refusal.Status = status
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, http.StatusText(status), status)
	}
	if status, reason := precheck(w, r); status != 0 {
		refuse(w, r, status, reason)
		refusal.Err = reason
		return nil, refusal
	}
	limits := newLimits(u.WriteTimeout, u.CloseTimeout, u.MaxFrameBytes)
	gorilla := websocket.Upgrader{
		HandshakeTimeout: limits.write,
		WriteBufferSize:  1, // it writes nothing
		CheckOrigin:      u.CheckOrigin,
		Error:            refuse,
		// ReadBufferSize zero: the buffer of the HTTP server goes on being used,
		// unless the hijacker knows better.
	}
	h := &hijacker{ResponseWriter: w, upgrader: &gorilla}
	ws, err := gorilla.Upgrade(h, r, nil)
	if err != nil {
		refusal.Err = err
		return nil, refusal
	}
	return newSocket(h.wire, ws, false, limits), nil
}

// precheck finds what the real relay answers with another status than gorilla:
// the status is 0 if there is nothing.
func precheck(w http.ResponseWriter, r *http.Request) (status int, reason error) {
	switch {
	case !r.ProtoAtLeast(1, 1):
		return http.StatusHTTPVersionNotSupported, errors.New("the request is not HTTP/1.1")
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		return http.StatusMethodNotAllowed, errors.New("the method is not GET")
	case !websocket.IsWebSocketUpgrade(r):
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		return http.StatusUpgradeRequired, errors.New("the request does not ask for an upgrade to WebSocket")
	case len(r.Header.Values("Sec-WebSocket-Key")) > 1:
		return http.StatusBadRequest, errors.New("the request has two Sec-WebSocket-Key headers")
	}
	return 0, nil
}

// hijacker puts a wire between gorilla and the connection.
type hijacker struct {
	http.ResponseWriter
	upgrader *websocket.Upgrader
	wire     *wire
}

// Hijack implements [http.Hijacker], also where middleware has wrapped the
// writer and only offers Unwrap.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	limitUnsent(conn)
	h.wire = &wire{Conn: conn, ahead: newAhead(conn)}
	if h.wire.ahead.on() {
		h.upgrader.ReadBufferSize = aheadBufferBytes
	}
	return h.wire, rw, nil
}
