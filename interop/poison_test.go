package interop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/transport"
)

// poisonous is message 3 of 10, which is one byte over what a relay takes; the
// others are small.
func poisonous(t *testing.T, c *relay.Client, to peer, number int) relay.Message {
	t.Helper()
	m := offer(to.UUID(), fmt.Sprintf("%d ", number))
	if number != 3 {
		return m
	}
	m.SourceUUID, m.SourceName = c.UUID(), c.Name()
	frame, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Description += strings.Repeat("x", 1<<20+1-len(frame))
	if frame, err = m.Append(nil); err != nil || len(frame) != 1<<20+1 {
		t.Fatalf("%d bytes, %v", len(frame), err)
	}
	return m
}

// number is that of a message of poisonous.
func number(m relay.Message) (n int) {
	if _, err := fmt.Sscanf(m.Description, "%d ", &n); err != nil || m.Undelivered() {
		return -1
	}
	return n
}

// A poisoning is what happened to a client that sent poison.
type poisoning struct {
	mu        sync.Mutex
	doubtful  []int
	reasons   []error
	pauses    []time.Duration // before each attempt to connect again
	other     []relay.Event
	inDoubt   chan struct{} // closed with the first doubt
	delivered []int
	read      chan struct{} // closed when the events have ended
}

// watch reads the events of the sender.
func (p *poisoning) watch(c *relay.Client) {
	p.inDoubt, p.read = make(chan struct{}), make(chan struct{})
	events := c.Events()
	go func() { // ends with the client
		defer close(p.read)
		for e := range events {
			p.mu.Lock()
			switch e := e.(type) {
			case relay.InDoubt:
				if len(p.doubtful) == 0 {
					close(p.inDoubt)
				}
				p.reasons = append(p.reasons, e.Err)
				for _, m := range e.Messages {
					p.doubtful = append(p.doubtful, number(m))
				}
			case relay.StateChange:
				if e.To == relay.Backoff {
					p.pauses = append(p.pauses, e.Retry)
				}
			default:
				p.other = append(p.other, e)
			}
			p.mu.Unlock()
		}
	}()
}

func newPoisoning(t *testing.T, r testRelay, kind peerKind) (*poisoning, *relay.Client, peer) {
	t.Helper()
	p := new(poisoning)
	c := newClient(t, r.URL(), relay.WithMaxMessageBytes(1<<20+1))
	p.watch(c)
	receiver := kind.new(t, r.URL(), peerConfig{})
	connect(t, c, receiver)
	return p, c, receiver
}

// check closes the client and looks at what it has told.
func (p *poisoning) check(t *testing.T, c *relay.Client) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	<-p.read
	for _, err := range p.reasons {
		if closed, ok := errors.AsType[*transport.CloseError](err); !ok || closed.Code != 1009 {
			t.Errorf("the reason for the doubt is %v", err)
		}
	}
	if stats := c.Stats(); stats.Connects != 2 || stats.InDoubt != uint64(len(p.doubtful)) || stats.Resent != 0 || len(p.reasons) != 1 {
		t.Errorf("%d InDoubt events, %+v; want one, and one extra connection", len(p.reasons), stats)
	}
	if len(p.pauses) != 1 || p.pauses[0] > time.Second {
		t.Errorf("pauses %v, want one of at most the first step", p.pauses)
	}
	t.Logf("delivered %v, in doubt %v, %d connections, pause %v, because: %v", p.delivered, p.doubtful, c.Stats().Connects, p.pauses, p.reasons)
}

// One message that a relay does not take is reported by its number, costs one
// connection, and no other message, whichever relay and receiver there are.
func TestT19_APoisonIsReportedByItsNumber(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		for _, kind := range bothKind {
			t.Run("to "+kind.name, func(t *testing.T) {
				p, c, receiver := newPoisoning(t, r, kind)
				for i := 1; i <= 10; i++ {
					if err := c.Send(soon(t), poisonous(t, c, receiver, i)); err != nil {
						t.Fatal(err)
					}
					switch i {
					case 2: // what is not confirmed yet would be a suspect, too
						if err := c.Flush(soon(t)); err != nil {
							t.Fatal(err)
						}
					case 3:
						select {
						case <-p.inDoubt:
						case <-soon(t).Done():
							t.Fatal("the poison is not reported")
						}
					}
				}
				if err := c.Flush(soon(t)); err != nil && !errors.Is(err, relay.ErrInDoubt) {
					t.Error(err)
				}
				for range 9 {
					p.delivered = append(p.delivered, number(receive(t, receiver)))
				}
				if !slices.Equal(p.delivered, []int{1, 2, 4, 5, 6, 7, 8, 9, 10}) {
					t.Errorf("delivered %v", p.delivered)
				}
				p.check(t, c)
				if !slices.Equal(p.doubtful, []int{3}) {
					t.Errorf("in doubt %v", p.doubtful)
				}
			})
		}
	})
}

// Sent without a pause, those behind the poison are suspects as well: each is
// delivered or reported, and none is sent twice.
func TestT19_ThePoisonOfABatchIsOneSuspectOfSeveral(t *testing.T) {
	t.Parallel()
	onEachRelay(t, func(t *testing.T, r testRelay) {
		p, c, receiver := newPoisoning(t, r, ourPeer)
		for i := 1; i <= 10; i++ {
			if err := c.Send(soon(t), poisonous(t, c, receiver, i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Flush(soon(t)); err == nil {
			// It may have been answered on the new connection alone; the doubt is told by event.
			<-p.inDoubt
		} else if !errors.Is(err, relay.ErrInDoubt) {
			t.Error(err)
		}
		send(t, c, receiver.UUID(), "11 ")
		for n := 0; n != 11; {
			n = number(receive(t, receiver))
			p.delivered = append(p.delivered, n)
		}
		p.check(t, c)
		if !slices.IsSorted(p.delivered) || slices.Contains(p.delivered, 3) || !slices.Contains(p.doubtful, 3) {
			t.Errorf("delivered %v, in doubt %v", p.delivered, p.doubtful)
		}
		for i := 1; i <= 11; i++ {
			delivered, doubtful := 0, slices.Contains(p.doubtful, i)
			for _, n := range p.delivered {
				if n == i {
					delivered++
				}
			}
			if delivered > 1 || delivered == 0 && !doubtful {
				t.Errorf("%d was delivered %d times, in doubt: %v", i, delivered, doubtful)
			}
		}
	})
}
