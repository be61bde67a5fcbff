package lanes

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/server"
)

// relayLane is ours: two clients of a relay.
type relayLane struct {
	stop     func() error
	from, to *relay.Client
}

func openRelay(ctx context.Context) (lane, error) {
	url, stop, err := serveRelay()
	if err != nil {
		return nil, err
	}
	l := &relayLane{stop: stop}
	if l.to, err = relay.Dial(ctx, url, relay.WithName("receiver")); err == nil {
		l.from, err = relay.Dial(ctx, url, relay.WithName("sender"))
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// serveRelay starts a relay on the loopback.
func serveRelay() (url string, stop func() error, err error) {
	s, err := server.New()
	if err != nil {
		return "", nil, err
	}
	return serve(s, func() { _ = s.Shutdown(context.Background()) })
}

// serve has h answer on the loopback until stop, which first calls end.
func serve(h http.Handler, end func()) (url string, stop func() error, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	web := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	return "ws://" + listener.Addr().String() + "/", func() error {
		end()
		err := web.Close()
		<-served
		return err
	}, nil
}

func (l *relayLane) send(ctx context.Context, n int, p *payloads.Set) error {
	return sendAll(l.from, l.to.UUID(), n, p)
}

// sendAll sends n messages by the client's Outbox.
func sendAll(from *relay.Client, to uuid.UUID, n int, p *payloads.Set) error {
	outbox, done := from.Outbox(), from.Done()
	for i := range n {
		select {
		case outbox <- relay.Message{PeerUUID: to, Description: p.Text[i%payloads.Distinct]}:
		case <-done:
			return from.Err()
		}
	}
	return nil
}

func (l *relayLane) receive(ctx context.Context, n int) (s payloads.Sum, err error) {
	inbox, from, scratch := l.to.Inbox(), l.from.UUID(), []byte(nil)
	for s.Messages < n {
		select {
		case m, ok := <-inbox:
			if !ok {
				return s, l.to.Err()
			}
			if m.SourceUUID != from || m.Error != "" {
				return s, errors.New("not from the sender: " + m.Error)
			}
			scratch = append(scratch[:0], m.Description...)
			s.Add(scratch)
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	return s, nil
}

func (l *relayLane) close() error {
	var errs []error
	for _, c := range []*relay.Client{l.from, l.to} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(append(errs, l.stop())...)
}
