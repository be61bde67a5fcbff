package lanes

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/lxzan/gws"

	"github.com/seed73300619/relay/bench/payloads"
)

// gwsLane is the same hops on gws, which calls back for each message. It does
// so in order, and neither compresses nor checks for UTF-8, unless told to.
type gwsLane struct {
	pair     *gwsPair
	stop     func() error
	from, to *gws.Conn
	receiver *gwsReceiver
	reading  sync.WaitGroup // both clients
}

func openGWS(ctx context.Context) (lane, error) {
	l := &gwsLane{
		pair:     &gwsPair{waiting: make(chan *gwsEnd, 1)},
		receiver: newGWSReceiver(),
	}
	url, stop, err := serve(l.pair, func() {})
	if err != nil {
		return nil, err
	}
	l.stop = stop
	if l.to, _, err = gws.NewClient(l.receiver, &gws.ClientOption{Addr: url}); err == nil {
		l.reading.Go(l.to.ReadLoop)
		if l.from, _, err = gws.NewClient(gws.BuiltinEventHandler{}, &gws.ClientOption{Addr: url}); err == nil {
			l.reading.Go(l.from.ReadLoop)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// gwsPair connects two clients with each other.
type gwsPair struct {
	waiting chan *gwsEnd
	passing sync.WaitGroup
}

// gwsEnd is one of them, as the server has it.
type gwsEnd struct {
	gws.BuiltinEventHandler
	conn  *gws.Conn
	other *gws.Conn // set before anything is read
}

func (p *gwsPair) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	end := &gwsEnd{}
	conn, err := gws.NewUpgrader(end, nil).Upgrade(w, r)
	if err != nil {
		return
	}
	end.conn = conn
	select {
	case first := <-p.waiting:
		first.other, end.other = end.conn, first.conn
		p.passing.Go(first.conn.ReadLoop)
		p.passing.Go(end.conn.ReadLoop)
	case p.waiting <- end:
	}
}

func (e *gwsEnd) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if e.other.WriteMessage(m.Opcode, m.Bytes()) != nil {
		c.NetConn().Close()
	}
}

func (e *gwsEnd) OnClose(*gws.Conn, error) { e.other.NetConn().Close() }

// gwsReceiver counts as many messages as are wanted, again and again.
type gwsReceiver struct {
	gws.BuiltinEventHandler
	want  chan int          // taken at the first message; closed by the lane's close
	got   chan payloads.Sum // given at the last; never closed
	ended chan struct{}     // closed when nothing more can come, because of err
	err   error

	n int // these are of the goroutine that reads
	s payloads.Sum
}

func newGWSReceiver() *gwsReceiver {
	return &gwsReceiver{want: make(chan int), got: make(chan payloads.Sum, 1), ended: make(chan struct{})}
}

func (r *gwsReceiver) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	if r.s.Messages == 0 {
		r.n = <-r.want
	}
	if r.s.Add(m.Bytes()); r.s.Messages == r.n {
		r.got <- r.s
		r.s = payloads.Sum{}
	}
}

func (r *gwsReceiver) OnClose(_ *gws.Conn, err error) {
	r.err = err
	close(r.ended)
}

func (l *gwsLane) send(ctx context.Context, n int, p *payloads.Set) error {
	defer context.AfterFunc(ctx, func() { l.from.NetConn().Close() })()
	for i := range n {
		if err := l.from.WriteMessage(gws.OpcodeText, p.Bytes[i%payloads.Distinct]); err != nil {
			return err
		}
	}
	return nil
}

func (l *gwsLane) receive(ctx context.Context, n int) (payloads.Sum, error) {
	r := l.receiver
	for want := r.want; ; want = nil {
		select {
		case want <- n:
		case s := <-r.got:
			return s, nil
		case <-r.ended:
			return payloads.Sum{}, r.err
		case <-ctx.Done():
			return payloads.Sum{}, ctx.Err()
		}
	}
}

func (l *gwsLane) close() error {
	close(l.receiver.want)
	for _, c := range []*gws.Conn{l.from, l.to} {
		if c != nil {
			c.NetConn().Close()
		}
	}
	err := l.stop()
	l.reading.Wait()
	l.pair.passing.Wait()
	return err
}
