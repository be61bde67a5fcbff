package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

// crowd is many goroutines that share a few clients. A client that one of them
// closes is replaced by a new one.
type crowd struct {
	relay   *relaytest.Relay
	clients []atomic.Pointer[relay.Client]
	done    atomic.Int64 // operations, over all

	mu      sync.Mutex
	all     []*relay.Client // the closed ones too
	watches []*watch
	arrived map[string]int // texts that came back
	unsent  []string
	calls   map[string]int
}

// replace puts a new client into a place.
func (c *crowd) replace(place int) {
	client := c.relay.Client("c", relay.WithBackoff(time.Millisecond, 20*time.Millisecond), relay.WithTimeout(30*time.Second))
	c.mu.Lock()
	c.all, c.watches = append(c.all, client), append(c.watches, watching(client))
	c.mu.Unlock()
	c.clients[place].Store(client)
}

// arrive notes a message that was received.
func (c *crowd) arrive(m relay.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrived[m.Description]++
}

// give notes what a Close or a Run returned.
func (c *crowd) give(t *testing.T, err error) {
	rest, ok := errors.AsType[*relay.UnsentError](err)
	if err != nil && !ok {
		t.Errorf("the end of a client: %v", err)
	}
	if ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.unsent = append(c.unsent, texts(rest.Messages)...)
	}
}

// allowed reports an error that no call may return while all is well but the
// network.
func (c *crowd) allowed(t *testing.T, what string, err error) {
	c.mu.Lock()
	c.calls[what]++
	c.mu.Unlock()
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, relay.ErrClosed) &&
		!errors.Is(err, relay.ErrInDoubt) && what != "TryConnect" {
		t.Errorf("%s: %v", what, err)
	}
}

// do makes one call at random. What it sent, and what it was refused, goes into
// the account.
func (c *crowd) do(t *testing.T, random *rand.Rand, text string, a *account) {
	place := random.IntN(len(c.clients))
	client := c.clients[place].Load()
	short, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(20))*time.Millisecond)
	defer cancel()
	switch n := random.IntN(1000); {
	case n < 300:
		err := client.Send(short, to(nobody, text))
		if err == nil {
			a.accepted = append(a.accepted, text)
		} else {
			a.refused = append(a.refused, text)
		}
		c.allowed(t, "Send", err)
	case n < 500:
		select {
		case client.Outbox() <- to(nobody, text):
			a.accepted = append(a.accepted, text)
			c.allowed(t, "Outbox", nil)
		case <-short.Done():
		case <-client.Done():
		}
	case n < 650:
		m, err := client.Recv(short)
		if err == nil {
			c.arrive(m)
		}
		c.allowed(t, "Recv", err)
	case n < 700:
		select {
		case m, ok := <-client.Inbox():
			if ok {
				c.arrive(m)
			}
			c.allowed(t, "Inbox", nil)
		case <-short.Done():
		}
	case n < 750:
		c.allowed(t, "Flush", client.Flush(short))
	case n < 800:
		c.allowed(t, "Connect", client.Connect(short))
	case n < 850:
		c.allowed(t, "TryConnect", client.TryConnect(short))
	case n < 900:
		c.allowed(t, "State", nil)
		_, _ = client.State(), client.Stats()
	case n < 996:
		c.allowed(t, "Stats", nil)
		_, _, _, _ = client.Stats(), client.Err(), client.UUID(), client.String()
	default:
		c.replace(place) // then nobody new comes
		if n < 998 {
			c.give(t, client.Close())
			c.allowed(t, "Close", nil)
		} else {
			c.give(t, client.Run(short))
			c.allowed(t, "Run", nil)
		}
	}
}

// A thousand goroutines call everything at random on twenty clients, which are
// closed and cut off meanwhile. It is bounded by calls instead of ten seconds, so
// that a machine that is slow does as much.
func TestT24_AThousandGoroutinesAtRandom(t *testing.T) {
	const goroutines, each, cuts = 1000, 30, 20
	leavesNothing(t)
	r := relaytest.New(t)
	p := &tape{echoes: true}
	r.Script(p.serve)
	s := seed(t)
	c := &crowd{relay: r, clients: make([]atomic.Pointer[relay.Client], 20), arrived: make(map[string]int), calls: make(map[string]int)}
	for i := range c.clients {
		c.replace(i)
	}
	start := time.Now()
	accounts := make([]account, goroutines)
	var all sync.WaitGroup
	for i := range accounts {
		all.Go(func() {
			random := rand.New(rand.NewPCG(s, uint64(i)))
			for k := range each {
				c.do(t, random, fmt.Sprintf("%04d:%04d", i, k), &accounts[i])
				if n := c.done.Add(1); n%(goroutines*each/cuts) == 0 {
					r.Cut()
				}
			}
		})
	}
	all.Wait()
	for _, client := range c.all {
		c.give(t, client.Close())
	}
	var doubts []string
	connects, inDoubt := uint64(0), uint64(0)
	for i, w := range c.watches {
		<-w.done
		for m := range c.all[i].Inbox() { // what the channel itself held
			c.arrive(m)
		}
		doubts = append(doubts, w.doubts()...)
		stats := c.all[i].Stats()
		connects, inDoubt = connects+stats.Connects, inDoubt+stats.InDoubt
	}
	if len(doubts) != int(inDoubt) {
		t.Errorf("%d messages in doubt, of which events carried %d", inDoubt, len(doubts))
	}
	outcomes{delivered: p.texts(), doubtful: doubts, unsent: c.unsent}.sum(t, accounts...)
	c.checkArrived(t, p.texts())
	accepted, refused := 0, 0
	for _, a := range accounts {
		accepted, refused = accepted+len(a.accepted), refused+len(a.refused)
	}
	t.Logf("%d goroutines, %d calls in %v: %v", goroutines, c.done.Load(), time.Since(start).Round(time.Millisecond), c.calls)
	t.Logf("%d clients, %d connections; %d accepted, %d refused; %d delivered, %d in doubt, %d unsent, %d came back", len(c.all), connects,
		accepted, refused, len(p.texts()), len(doubts), len(c.unsent), len(c.arrived))
}

// checkArrived checks that what was received had been delivered, and came once.
func (c *crowd) checkArrived(t *testing.T, delivered []string) {
	t.Helper()
	known := make(map[string]bool, len(delivered))
	for _, text := range delivered {
		known[text] = true
	}
	for text, n := range c.arrived {
		if n != 1 || !known[text] {
			t.Errorf("%s was received %d times; delivered: %v", text, n, known[text])
		}
	}
	if len(c.arrived) == 0 {
		t.Error("nothing was received")
	}
}
