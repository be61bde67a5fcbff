package lanes

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
)

// sources are the senders of a fan-in and the relays that they are clients of.
type sources struct {
	clients []sender
	stops   []func() error
}

func (s *sources) senders() []sender { return s.clients }

// serve starts one more relay.
func (s *sources) serve() (url string, err error) {
	url, stop, err := serveRelay()
	if err == nil {
		s.stops = append(s.stops, stop)
	}
	return url, err
}

// dial connects one more sender.
func (s *sources) dial(ctx context.Context, url string, to uuid.UUID) error {
	c, err := relay.Dial(ctx, url, relay.WithName(fmt.Sprint("sender ", len(s.clients))))
	if err == nil {
		s.clients = append(s.clients, sender{c, to})
	}
	return err
}

// end closes the senders, then the receiver, then the relays.
func (s *sources) end(receiver func() error) error {
	var errs []error
	for _, c := range s.clients {
		errs = append(errs, c.Close())
	}
	errs = append(errs, receiver())
	for _, stop := range s.stops {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}

// manyRelays has a relay for each sender, and a Group that is a client of all.
type manyRelays struct {
	sources
	group relay.Group
}

func openManyRelays(ctx context.Context) (fanIn, error) {
	f := &manyRelays{}
	for range width {
		if err := f.add(ctx); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

func (f *manyRelays) add(ctx context.Context) error {
	url, err := f.serve()
	if err != nil {
		return err
	}
	c, err := relay.Dial(ctx, url, relay.WithName("receiver"))
	if err != nil {
		return err
	}
	if err := f.group.Add(c); err != nil {
		return err
	}
	return f.dial(ctx, url, c.UUID())
}

func (f *manyRelays) next(ctx context.Context) (relay.Message, error) {
	select {
	case m, ok := <-f.group.Inbox():
		if !ok {
			return relay.Message{}, errors.New("the group has ended")
		}
		return m.Message, nil
	case <-ctx.Done():
		return relay.Message{}, ctx.Err()
	}
}

func (f *manyRelays) close() error { return f.end(f.group.Close) }

// oneRelay has one relay for all senders, and one client that receives.
type oneRelay struct {
	sources
	receiver *relay.Client
}

func openOneRelay(ctx context.Context) (fanIn, error) {
	f := &oneRelay{}
	url, err := f.serve()
	if err != nil {
		return nil, err
	}
	f.receiver, err = relay.Dial(ctx, url, relay.WithName("receiver"))
	if err != nil {
		return nil, errors.Join(err, f.stops[0]())
	}
	for range width {
		if err := f.dial(ctx, url, f.receiver.UUID()); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

func (f *oneRelay) next(ctx context.Context) (relay.Message, error) {
	select {
	case m, ok := <-f.receiver.Inbox():
		if !ok {
			return relay.Message{}, f.receiver.Err()
		}
		return m, nil
	case <-ctx.Done():
		return relay.Message{}, ctx.Err()
	}
}

func (f *oneRelay) close() error { return f.end(f.receiver.Close) }
