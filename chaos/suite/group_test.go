package suite

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/referee"
)

// crowd is a group with the same address at several relays, and a referee who
// gets to know everything.
type crowd struct {
	relay.Group
	t       *testing.T
	id      uuid.UUID
	referee *referee.Referee
	readers sync.WaitGroup
}

func newCrowd(t *testing.T, judge *referee.Referee) *crowd {
	c := &crowd{t: t, id: uuid.New(), referee: judge}
	inbox, events := c.Inbox(), c.Events()
	c.readers.Go(func() {
		for m := range inbox {
			judge.Arrived(c.id, m.Message)
		}
	})
	c.readers.Go(func() {
		for e := range events {
			c.hear(e.Event)
		}
	})
	return c
}

func (c *crowd) hear(event relay.Event) {
	switch event := event.(type) {
	case relay.InDoubt:
		c.referee.InDoubt(event.Messages...)
	case relay.Dropped:
		c.referee.Refused(event.Message)
	case relay.Malformed, relay.Taken:
		c.t.Errorf("%v", event)
	}
}

// join adds a client of the relay, and waits until it is connected.
func (c *crowd) join(r *process.Relay) *relay.Client {
	c.t.Helper()
	client, err := relay.New(r.URL, relay.WithUUID(c.id), relay.WithHeartbeat(time.Second, time.Second), relay.WithBackoff(20*time.Millisecond, 200*time.Millisecond))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.Add(client); err != nil {
		c.t.Fatal(err)
	}
	c.wait(client)
	return client
}

func (c *crowd) wait(client *relay.Client) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := client.Connect(ctx); err != nil {
		c.t.Fatal(err)
	}
}

// leave takes a client out and ends it.
func (c *crowd) leave(client *relay.Client) {
	c.t.Helper()
	c.Remove(client)
	c.returned(client.Close())
	for m := range client.Inbox() {
		c.referee.Arrived(c.id, m)
	}
	for event := range client.Events() {
		c.hear(event)
	}
}

// returned books what an error of Close brings back.
func (c *crowd) returned(err error) {
	if unsent, ok := errors.AsType[*relay.UnsentError](err); ok {
		c.referee.Returned(unsent.Messages...)
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range several.Unwrap()[1:] {
			c.returned(err)
		}
	}
}

func (c *crowd) end() {
	c.returned(c.Close())
	c.readers.Wait()
}

// Three relays are killed, one after the other and each while it carries a message
// a millisecond, and one is stopped for longer than the heartbeat allows; then one
// is taken out and one put in.
func TestT31_AGroupGoesOnByAnotherRelay(t *testing.T) {
	before := Measure()
	func() {
		var judge referee.Referee
		sender, receiver := newCrowd(t, &judge), newCrowd(t, &judge)
		defer receiver.end()
		defer sender.end()
		binary := build(t)
		var all [4]*process.Relay
		var from, to [4]*relay.Client
		for i := range all {
			r, err := process.Ours(binary)
			if err != nil {
				t.Fatal(err)
			}
			revive(t, r)
			defer r.Kill()
			all[i] = r
			if i < 3 {
				to[i], from[i] = receiver.join(r), sender.join(r)
			}
		}
		stop := make(chan struct{})
		var sending sync.WaitGroup
		sending.Go(func() { sender.talk(stop, receiver.id) })

		heard(t, &judge, 100)
		for i, r := range all[:3] { // each of them is the one that carries everything
			began := time.Now()
			r.Kill()
			if i == 2 { // the last one that was left: all waits for the first
				revive(t, all[0])
			}
			heard(t, &judge, 100)
			t.Logf("relay %d is killed: 100 messages later after %v", i, time.Since(began).Round(time.Millisecond))
		}
		revive(t, all[1])
		revive(t, all[2])
		for i := range 3 {
			receiver.wait(to[i])
			sender.wait(from[i])
		}
		// The group sends by the first one that is connected.
		began := time.Now()
		all[0].Freeze()
		for from[0].State() == relay.Connected {
			wait(t.Context(), time.Millisecond)
		}
		noticed := time.Since(began)
		heard(t, &judge, 100)
		t.Logf("relay 0 is stopped: noticed after %v, 100 messages later after %v", noticed.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		if bound := 2 * time.Second; noticed > bound+3*time.Second { // three for a machine that is busy
			t.Errorf("%v, and the heartbeat allows %v", noticed, bound)
		}
		all[0].Thaw()
		receiver.wait(to[0])
		sender.wait(from[0])

		sender.leave(from[0])
		heard(t, &judge, 100)
		receiver.join(all[3])
		sender.join(all[3])
		heard(t, &judge, 100)
		close(stop)
		sending.Wait()
		sender.end()
		for end := time.Now().Add(patience); judge.Open() > 0 && time.Now().Before(end); {
			wait(t.Context(), time.Millisecond)
		}
		receiver.end()

		account, violations := judge.Judge(referee.Rules{Unordered: true})
		t.Log(account)
		if len(violations) > 0 || !account.Exact() || account.Copies > 0 {
			t.Errorf("%.20q", violations)
		}
	}()
	if after := before.Back(10 * time.Second); after.Exceed(before) {
		t.Errorf("before: %v; after: %v", before, after)
	}
}

func revive(t *testing.T, r *process.Relay) {
	t.Helper()
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// talk sends a message a millisecond, as long as something takes it.
func (c *crowd) talk(stop <-chan struct{}, peer uuid.UUID) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for number := 0; ; number++ {
		m := relay.Message{SourceUUID: c.id, PeerUUID: peer, Description: c.referee.Accepted(c.id, peer, number, 100)}
		select {
		case c.Outbox() <- m:
		case <-stop:
			c.referee.Withdrawn(c.id, number)
			return
		}
		<-tick.C
	}
}

// heard waits until n more messages have been delivered.
func heard(t *testing.T, judge *referee.Referee, n int) {
	t.Helper()
	for end, want := time.Now().Add(patience), judge.Delivered()+n; judge.Delivered() < want; {
		if time.Now().After(end) {
			t.Fatal("messages do not arrive any more")
		}
		wait(t.Context(), time.Millisecond)
	}
}
