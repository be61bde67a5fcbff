package lanes

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/coder/websocket"

	"github.com/seed73300619/relay/bench/payloads"
)

// coderLane is the same hops on coder/websocket, which does not compress unless
// it is told to.
type coderLane struct {
	pair     *coderPair
	stop     func() error
	from, to *websocket.Conn
}

// unbound is what its connections are used with: for a context that can end,
// it would set up a timeout for every message.
var unbound = context.Background()

func openCoder(ctx context.Context) (lane, error) {
	l := &coderLane{pair: &coderPair{waiting: make(chan *websocket.Conn, 1)}}
	url, stop, err := serve(l.pair, func() {})
	if err != nil {
		return nil, err
	}
	l.stop = stop
	if l.to, _, err = websocket.Dial(ctx, url, nil); err == nil {
		l.from, _, err = websocket.Dial(ctx, url, nil)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// coderPair connects two clients with each other.
type coderPair struct {
	waiting chan *websocket.Conn
	passing sync.WaitGroup
}

func (p *coderPair) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	select {
	case other := <-p.waiting:
		p.passing.Go(func() { passCoder(c, other) })
		p.passing.Go(func() { passCoder(other, c) })
	case p.waiting <- c:
	}
}

func passCoder(from, to *websocket.Conn) {
	defer to.CloseNow()
	for {
		kind, p, err := from.Read(unbound)
		if err != nil || to.Write(unbound, kind, p) != nil {
			return
		}
	}
}

func (l *coderLane) send(ctx context.Context, n int, p *payloads.Set) error {
	defer context.AfterFunc(ctx, func() { l.from.CloseNow() })()
	for i := range n {
		if err := l.from.Write(unbound, websocket.MessageText, p.Bytes[i%payloads.Distinct]); err != nil {
			return err
		}
	}
	return nil
}

func (l *coderLane) receive(ctx context.Context, n int) (s payloads.Sum, err error) {
	defer context.AfterFunc(ctx, func() { l.to.CloseNow() })()
	for s.Messages < n {
		_, p, err := l.to.Read(unbound)
		if err != nil {
			return s, err
		}
		s.Add(p)
	}
	return s, nil
}

func (l *coderLane) close() error {
	for _, c := range []*websocket.Conn{l.from, l.to} {
		if c != nil {
			c.CloseNow()
		}
	}
	err := l.stop()
	l.pair.passing.Wait()
	return err
}
