package lanes

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/seed73300619/relay/bench/payloads"
)

// natsLane is nats.go, as fast as it goes: bytes as they are, received over a
// channel.
type natsLane struct {
	stop     func()
	from, to *nats.Conn
	arrived  chan *nats.Msg
}

const subject = "bench"

func openNATS(ctx context.Context) (lane, error) {
	url, stop, err := serveNATS()
	if err != nil {
		return nil, err
	}
	// What finds no room in the channel is dropped.
	l := &natsLane{stop: stop, arrived: make(chan *nats.Msg, 1<<19)}
	if l.to, err = nats.Connect(url); err == nil {
		if l.from, err = nats.Connect(url); err == nil {
			if _, err = l.to.ChanSubscribe(subject, l.arrived); err == nil {
				err = l.to.Flush()
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// serveNATS starts a nats-server on the loopback.
func serveNATS() (url string, stop func(), err error) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		return "", nil, err
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return "", nil, errors.New("nats-server is not ready")
	}
	return s.ClientURL(), func() { s.Shutdown(); s.WaitForShutdown() }, nil
}

func (l *natsLane) send(ctx context.Context, n int, p *payloads.Set) error {
	for i := range n {
		if err := l.from.Publish(subject, p.Bytes[i%payloads.Distinct]); err != nil {
			return err
		}
	}
	return l.from.FlushWithContext(ctx)
}

func (l *natsLane) receive(ctx context.Context, n int) (s payloads.Sum, err error) {
	for s.Messages < n {
		select {
		case m := <-l.arrived:
			s.Add(m.Data)
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	return s, nil
}

func (l *natsLane) close() error {
	for _, c := range []*nats.Conn{l.from, l.to} {
		if c != nil {
			c.Close()
		}
	}
	l.stop()
	return nil
}
