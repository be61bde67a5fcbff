package lanes

import (
	"context"
	"errors"
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/seed73300619/relay/bench/payloads"
)

// gorillaLane is the same hops on bare gorilla connections: a server that passes
// on what comes in, and no more.
type gorillaLane struct {
	stop     func() error
	from, to *websocket.Conn
}

func openGorilla(ctx context.Context) (lane, error) {
	url, stop, err := serve(newGorillaPair(), func() {})
	if err != nil {
		return nil, err
	}
	l := &gorillaLane{stop: stop}
	if l.to, _, err = wholeFrames.DialContext(ctx, url, nil); err == nil {
		l.from, _, err = wholeFrames.DialContext(ctx, url, nil)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// gorillaPair connects two clients with each other.
type gorillaPair struct {
	upgrader websocket.Upgrader
	waiting  chan *websocket.Conn
}

// bufferBytes hold any message of ours whole: with the 4 KiB that is gorilla's
// default, it would go out in several frames.
const bufferBytes = 64 << 10

var wholeFrames = &websocket.Dialer{WriteBufferSize: bufferBytes}

func newGorillaPair() *gorillaPair {
	return &gorillaPair{
		upgrader: websocket.Upgrader{WriteBufferSize: bufferBytes},
		waiting:  make(chan *websocket.Conn, 1),
	}
}

func (p *gorillaPair) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := p.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	select {
	case other := <-p.waiting:
		go pass(c, other)
		go pass(other, c)
	case p.waiting <- c:
	}
}

// pass writes to one what comes from the other, until either ends.
func pass(from, to *websocket.Conn) {
	defer to.Close()
	for {
		kind, p, err := from.ReadMessage()
		if err != nil || to.WriteMessage(kind, p) != nil {
			return
		}
	}
}

func (l *gorillaLane) send(ctx context.Context, n int, p *payloads.Set) error {
	for i := range n {
		if err := l.from.WriteMessage(websocket.TextMessage, p.Bytes[i%payloads.Distinct]); err != nil {
			return err
		}
	}
	return nil
}

func (l *gorillaLane) receive(ctx context.Context, n int) (s payloads.Sum, err error) {
	defer context.AfterFunc(ctx, func() { l.to.Close() })()
	for s.Messages < n {
		_, p, err := l.to.ReadMessage()
		if err != nil {
			return s, err
		}
		s.Add(p)
	}
	return s, nil
}

func (l *gorillaLane) close() error {
	for _, c := range []*websocket.Conn{l.from, l.to} {
		if c != nil {
			c.Close()
		}
	}
	return l.stop()
}
