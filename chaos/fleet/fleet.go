package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/process"
)

// The ways for a relay to end.
const (
	kill = "kill"
	term = "term"
)

// patience is how long anything may take before the measurement is given up: more
// than the bounds, so that what exceeds them is measured, too.
const patience = 3 * time.Minute

// plan is what is to be measured.
type plan struct {
	clients int
	how     string
	rate    int // connections a second that the relay lets in; 0: no bound
}

// run connects a fleet, ends the relay, starts it again, waits until everybody is
// back, and then lets everybody go.
func run(ctx context.Context, binary string, p plan) (*figures, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	many := strconv.Itoa(p.clients + 100)
	server, err := process.Ours(binary, "--log-level", "error", "--log-clients-interval", "0",
		"--max-connections", many, "--max-connections-per-address", many, "--accept-rate", strconv.Itoa(p.rate))
	if err != nil {
		return nil, err
	}
	defer server.Kill()
	if err := server.Start(ctx); err != nil {
		return nil, err
	}
	f := &figures{plan: p}
	if f.files[empty], err = alone(ctx, server); err != nil {
		return nil, err
	}
	fleet := &fleet{}
	defer fleet.close()
	if err := fleet.launch(ctx, server.URL, p.clients); err != nil {
		return nil, err
	}
	f.files[before] = openFiles(server)

	f.end = time.Now()
	if err := end(ctx, server, p.how); err != nil {
		return nil, err
	}
	if err := server.Start(ctx); err != nil {
		return nil, err
	}
	f.start = time.Now()
	if err := fleet.await(ctx, 2); err != nil {
		return nil, err
	}
	f.attempts, f.registrations, f.ended = fleet.account()
	if f.files[after], err = settled(ctx, server, f.files[before]); err != nil {
		return nil, err
	}
	fleet.close()
	f.files[last], err = settled(ctx, server, f.files[empty])
	return f, err
}

func end(ctx context.Context, server *process.Relay, how string) error {
	switch how {
	case kill:
		server.Kill()
		return nil
	case term:
		return server.Stop(ctx)
	}
	return fmt.Errorf("there is no way to end a relay called %q, only %s and %s", how, kill, term)
}

// fleet is many clients.
type fleet struct {
	members []*member
	watch   sync.WaitGroup // of their events
}

// member is one client, and what was seen of it.
type member struct {
	client *relay.Client

	mu            sync.Mutex
	attempts      []time.Time   // planned, after a loss or a failure
	registrations []time.Time   // that succeeded
	changed       chan struct{} // closed, and replaced, at each registration
}

// launch makes n clients and connects them, with as many at a time as disturb
// nobody.
func (f *fleet) launch(ctx context.Context, url string, n int) error {
	connecting, dialing := errgroup.WithContext(ctx)
	connecting.SetLimit(64)
	for range n {
		client, err := relay.New(url)
		if err != nil {
			return errors.Join(err, connecting.Wait())
		}
		f.join(client, nil)
		connecting.Go(func() error { return client.Connect(dialing) })
	}
	if err := connecting.Wait(); err != nil {
		return err
	}
	return f.await(ctx, 1)
}

// join makes a client one of the fleet, and has its events seen, if see is not nil.
func (f *fleet) join(client *relay.Client, see func(relay.Event)) {
	m := &member{client: client, changed: make(chan struct{})}
	f.members = append(f.members, m)
	f.watch.Go(func() { m.watch(see) }) // ends with the client
}

// watch notes what the client does until it ends.
func (m *member) watch(see func(relay.Event)) {
	for event := range m.client.Events() {
		if see != nil {
			see(event)
		}
		change, ok := event.(relay.StateChange)
		if !ok {
			continue
		}
		m.mu.Lock()
		switch change.To {
		case relay.Backoff:
			m.attempts = append(m.attempts, change.At.Add(change.Retry))
		case relay.Connected:
			m.registrations = append(m.registrations, change.At)
			close(m.changed)
			m.changed = make(chan struct{})
		}
		m.mu.Unlock()
	}
}

// await waits until everybody has registered n times, or has ended.
func (f *fleet) await(ctx context.Context, n int) error {
	for i, m := range f.members {
		for {
			m.mu.Lock()
			done, changed := len(m.registrations) >= n, m.changed
			m.mu.Unlock()
			if done {
				break
			}
			select {
			case <-changed:
				continue
			case <-m.client.Done():
			case <-ctx.Done():
				return fmt.Errorf("client %d of %d is not back: %w; it is %v", i+1, len(f.members), ctx.Err(), m.client.State())
			}
			break
		}
	}
	return nil
}

// account returns when the fleet wanted to come back, when it did, and how many
// clients ended.
func (f *fleet) account() (attempts, registrations []time.Time, ended int) {
	for _, m := range f.members {
		m.mu.Lock()
		attempts = append(attempts, m.attempts...)
		registrations = append(registrations, m.registrations[1:]...)
		m.mu.Unlock()
		if m.client.State() == relay.Closed {
			ended++
		}
	}
	return attempts, registrations, ended
}

// close ends all clients. It may be called again.
func (f *fleet) close() {
	var closing sync.WaitGroup
	turns := make(chan struct{}, 64)
	for _, m := range f.members {
		closing.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			_ = m.client.Close() // there was nothing to send
		})
	}
	closing.Wait()
	f.watch.Wait()
}

// files are how many each side has open.
type files struct{ fleet, relay int }

// exceed says whether a side has more open than it had. It may have less: of those
// who looked whether the relay listens the last one may still have been there.
func (f files) exceed(was files) bool { return f.fleet > was.fleet || f.relay > was.relay }

// alone counts the files that are open without clients. One client connects first,
// so that both sides have opened all that they need, and is not counted.
func alone(ctx context.Context, server *process.Relay) (files, error) {
	client, err := relay.Dial(ctx, server.URL)
	if err != nil {
		return files{}, err
	}
	n := openFiles(server)
	return files{n.fleet - 1, n.relay - 1}, client.Close()
}

func openFiles(server *process.Relay) files {
	return files{process.OpenFiles(os.Getpid()), process.OpenFiles(server.PID())}
}

// settled waits until no more files are open than there were: a socket is closed
// a moment after its peer has said goodbye. If that does not come to pass, what is
// returned tells.
func settled(ctx context.Context, server *process.Relay, was files) (now files, err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(15 * time.Second)
	for {
		now = openFiles(server)
		if !now.exceed(was) {
			return now, nil
		}
		select {
		case <-tick.C:
		case <-late:
			return now, nil
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}
