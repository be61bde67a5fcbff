package relay_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

// trio is three relays that keep what they handle, and a group with a client of
// each.
type trio struct {
	relays  [3]*relaytest.Relay
	tapes   [3]*tape
	clients [3]*relay.Client
	group   relay.Group
}

func newTrio(t *testing.T, opts ...relay.Option) *trio {
	t.Helper()
	g := &trio{}
	for i := range g.relays {
		g.relays[i], g.tapes[i] = relaytest.NewInMemory(t), &tape{}
		g.relays[i].Script(g.tapes[i].serve)
		g.clients[i] = g.relays[i].Client(fmt.Sprint("c", i), opts...)
		if err := g.group.Add(g.clients[i]); err != nil {
			t.Fatal(err)
		}
		connect(t, g.clients[i])
	}
	t.Cleanup(func() { _ = g.group.Close() })
	return g
}

func (g *trio) handled() []string {
	var all []string
	for _, p := range g.tapes {
		all = append(all, p.texts()...)
	}
	return all
}

// given are the messages that a group's Close gave back.
func given(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var all []string
	for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
		all = append(all, unsent(t, err)...)
	}
	return all
}

func TestGroupMergesWhatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g relay.Group
		defer func() { _ = g.Close() }()
		var sending sync.WaitGroup
		names := make(map[*relay.Client]string)
		for i := range 3 {
			r := relaytest.NewInMemory(t)
			sender, reader := r.Client("sender"), r.Client("reader", relay.WithUUID(nobody))
			names[reader] = fmt.Sprint("r", i)
			if err := g.Add(reader); err != nil {
				t.Fatal(err)
			}
			connect(t, reader)
			sending.Go(func() {
				for j := range 500 {
					sender.Outbox() <- to(nobody, fmt.Sprintf("r%d:%04d", i, j))
				}
			})
		}
		last := make(map[string]string)
		for range 1500 {
			in := <-g.Inbox()
			name, _, _ := strings.Cut(in.Description, ":")
			if name != names[in.Client] || in.Description <= last[name] {
				t.Fatalf("%s after %s, from client %s", in.Description, last[name], names[in.Client])
			}
			last[name] = in.Description
		}
		sending.Wait()
	})
}

func TestGroupMembership(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		var g relay.Group
		g.Remove(nil)
		if err := g.Add(nil); err == nil {
			t.Error("nil was added")
		}
		c := r.Client("c")
		g.Remove(c)
		if err := g.Add(c); err != nil {
			t.Error(err)
		}
		if err := g.Add(c); err == nil || errors.Is(err, relay.ErrClosed) {
			t.Error("the same client twice:", err)
		}
		g.Remove(c)
		g.Remove(c)
		if err := g.Add(c); err != nil {
			t.Error("again:", err)
		}
		connect(t, c)
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if err := g.Add(c); !errors.Is(err, relay.ErrClosed) {
			t.Error("after Close:", err)
		}
		if c.State() != relay.Closed {
			t.Error(c.State())
		}
		<-g.Done()
		for range g.Inbox() {
		}
		for range g.Events() {
		}
	})
}

func TestGroupRoutes(t *testing.T) {
	bubble(t, func(t *testing.T, _ *relaytest.Relay) {
		g := newTrio(t)
		send := func(peer uuid.UUID, text string) {
			g.group.Outbox() <- to(peer, text)
			time.Sleep(time.Second)
		}
		peer := uuid.New()
		send(peer, "by the first one")
		hears := func(i int) { // the peer says something by way of relay i
			frame, _ := relay.Message{SourceUUID: peer, PeerUUID: g.clients[i].UUID(), DescriptionType: relay.Offer}.Append(nil)
			g.tapes[i].mu.Lock()
			conn := g.tapes[i].owners[g.clients[i].UUID()]
			g.tapes[i].mu.Unlock()
			_ = conn.WriteFrame(frame)
			_ = conn.Flush()
			<-g.group.Inbox()
		}
		hears(2)
		send(peer, "by the last one")
		hears(1)
		send(peer, "by the one in the middle")
		send(uuid.New(), "a stranger")
		g.relays[1].Stop()
		time.Sleep(time.Second)
		send(peer, "by another one")
		g.relays[0].Stop()
		time.Sleep(time.Second)
		send(peer, "by the only one")
		g.relays[1].Start()
		time.Sleep(2 * time.Minute)
		send(peer, "by the one in the middle again")
		equal(t, "by the first relay", g.tapes[0].texts(), []string{"by the first one", "a stranger", "by another one"})
		equal(t, "by the second relay", g.tapes[1].texts(), []string{"by the one in the middle", "by the one in the middle again"})
		equal(t, "by the third relay", g.tapes[2].texts(), []string{"by the last one", "by the only one"})
	})
}

func TestGroupWaitsWhileNobodyIsConnected(t *testing.T) {
	bubble(t, func(t *testing.T, _ *relaytest.Relay) {
		g := newTrio(t)
		for _, r := range g.relays {
			r.Stop()
		}
		time.Sleep(time.Minute)
		select {
		case g.group.Outbox() <- to(nobody, "0"):
			t.Error("a message was taken")
		case <-time.After(time.Hour):
		}
		g.relays[1].Start()
		g.group.Outbox() <- to(nobody, "1")
		if err := g.group.Close(); err != nil {
			t.Error(err)
		}
		equal(t, "handled", g.handled(), []string{"1"})
	})
}

// The messages that a relay had not been given when it was lost go by another
// one, in order and once.
func TestGroupLosesNoMessageThatAnotherRelayCanCarry(t *testing.T) {
	bubble(t, func(t *testing.T, _ *relaytest.Relay) {
		g := newTrio(t)
		var events []relay.GroupEvent
		var watching sync.WaitGroup
		watching.Go(func() {
			for e := range g.group.Events() {
				events = append(events, e)
			}
		})
		thaw := g.relays[0].Freeze()
		var want []string
		for i := range 300 { // more than a frozen connection takes
			text := fmt.Sprintf("%04d%s", i, strings.Repeat("x", 2000))
			want = append(want, text)
			g.group.Outbox() <- to(nobody, text)
		}
		synctest.Wait()
		g.relays[0].Stop()
		thaw()
		time.Sleep(time.Minute)
		if err := g.group.Close(); err != nil {
			t.Error(err)
		}
		watching.Wait()
		var doubt []string
		lost := false
		for _, e := range events {
			switch e := e.Event.(type) {
			case relay.InDoubt:
				doubt = append(doubt, texts(e.Messages)...)
			case relay.StateChange:
				lost = lost || e.From == relay.Connected && e.To == relay.Backoff
			}
			if !slices.Contains(g.clients[:], e.Client) {
				t.Error("an event of nobody")
			}
		}
		if !lost || len(doubt) == 0 || len(doubt) == len(want) {
			t.Errorf("loss told: %v, %d in doubt", lost, len(doubt))
		}
		if got := g.tapes[1].texts(); !slices.Equal(slices.Concat(doubt, got), want) {
			t.Errorf("%d in doubt, %d by another relay, want %d, in order", len(doubt), len(got), len(want))
		}
	})
}

// groupSend is send for a group.
func groupSend(g *relay.Group, name string, n int, random *rand.Rand) account {
	var a account
	for i := range n {
		text := fmt.Sprintf("%s:%04d", name, i)
		select {
		case g.Outbox() <- to(nobody, text):
			a.accepted = append(a.accepted, text)
		case <-g.Done():
			a.refused = append(a.refused, text)
		}
		if random.IntN(4) == 0 {
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		}
	}
	return a
}

func TestGroupSumIsExact(t *testing.T) {
	for _, test := range []struct {
		name     string
		members  bool // come and go
		shutOut  bool // one relay refuses for ever in the middle
		outboxed bool // ended by closing the Outbox
	}{
		{"relays come and go", false, false, false},
		{"members come and go", true, false, false},
		{"one relay refuses for good", false, true, false},
		{"the Outbox is closed", false, false, true},
		{"the Outbox is closed while members come and go", true, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := seed(t)
			for round := range uint64(8) {
				bubble(t, func(t *testing.T, _ *relaytest.Relay) {
					random := rand.New(rand.NewPCG(s, round))
					g := newTrio(t, relay.WithHeartbeat(5*time.Second, 3*time.Second), relay.WithBackoff(50*time.Millisecond, 2*time.Second))
					var doubt []string
					var watching, work sync.WaitGroup
					watching.Go(func() {
						for e := range g.group.Events() {
							if e, ok := e.Event.(relay.InDoubt); ok {
								doubt = append(doubt, texts(e.Messages)...)
							}
						}
					})
					watching.Go(func() {
						for range g.group.Inbox() {
						}
					})
					for i, r := range g.relays {
						own := rand.New(rand.NewPCG(s, round<<16+uint64(i)))
						work.Go(func() { trouble(r, own, 6) })
					}
					accounts := make([]account, 3)
					for i := range accounts {
						own := rand.New(rand.NewPCG(s, round<<8+uint64(i)))
						work.Go(func() { accounts[i] = groupSend(&g.group, fmt.Sprint("s", i), 200, own) })
					}
					if test.members {
						for range 10 {
							i := random.IntN(3)
							time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
							g.group.Remove(g.clients[i])
							time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
							if err := g.group.Add(g.clients[i]); err != nil {
								t.Error(err)
							}
						}
						time.Sleep(100 * time.Millisecond)
					}
					if test.shutOut {
						time.Sleep(time.Second)
						g.relays[1].Reject(4002, "no")
					}
					work.Wait()
					var rest []string
					if test.outboxed {
						close(g.group.Outbox())
						<-g.group.Done()
					}
					rest = given(t, g.group.Close())
					watching.Wait()
					// Two relays have no order between them: audit each for itself.
					outcomes{delivered: g.handled(), doubtful: doubt, unsent: rest}.sum(t, accounts...)
				})
			}
		})
	}
}

// sum is audit without order.
func (o outcomes) sum(t *testing.T, accounts ...account) {
	t.Helper()
	slices.Sort(o.delivered)
	o.audit(t, false, accounts...)
}

func TestGroupCloseGivesBackWhatWasNotSent(t *testing.T) {
	s := seed(t)
	for round := range uint64(30) {
		bubble(t, func(t *testing.T, _ *relaytest.Relay) {
			random := rand.New(rand.NewPCG(s, round))
			g := newTrio(t)
			var doubt []string
			var watching, sending sync.WaitGroup
			watching.Go(func() {
				for e := range g.group.Events() {
					if e, ok := e.Event.(relay.InDoubt); ok {
						doubt = append(doubt, texts(e.Messages)...)
					}
				}
			})
			accounts := make([]account, 3)
			for i := range accounts {
				own := rand.New(rand.NewPCG(s, round<<8+uint64(i)))
				sending.Go(func() { accounts[i] = groupSend(&g.group, fmt.Sprint("s", i), 200, own) })
			}
			time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
			for _, r := range g.relays {
				if random.IntN(2) == 0 {
					r.Freeze()
				} else {
					go r.Stop()
				}
			}
			for range random.IntN(20) {
				_ = g.group.Done()
			}
			rest := given(t, g.group.Close())
			sending.Wait()
			watching.Wait()
			outcomes{delivered: g.handled(), doubtful: doubt, unsent: rest}.sum(t, accounts...)
		})
	}
}

func TestGroupCloseGivesBackWhatWasBeingWritten(t *testing.T) {
	bubble(t, func(t *testing.T, _ *relaytest.Relay) {
		g := newTrio(t)
		for _, r := range g.relays {
			r.Freeze()
		}
		events := make(chan []string)
		go func() {
			var doubt []string
			for e := range g.group.Events() {
				if e, ok := e.Event.(relay.InDoubt); ok {
					doubt = append(doubt, texts(e.Messages)...)
				}
			}
			events <- doubt
		}()
		var accepted []string
		var sending sync.WaitGroup
		sending.Go(func() {
			for i := range 200 {
				text := fmt.Sprintf("%04d%s", i, strings.Repeat("x", 40_000))
				select {
				case g.group.Outbox() <- to(nobody, text):
					accepted = append(accepted, text)
				case <-g.group.Done():
					return
				}
			}
		})
		synctest.Wait()
		var rest []string
		if d := took(func() { rest = given(t, g.group.Close()) }); d > 10*time.Second {
			t.Errorf("Close took %v", d)
		}
		sending.Wait()
		doubt := <-events
		if len(doubt) == 0 || len(rest) == 0 {
			t.Errorf("%d in doubt, %d unsent", len(doubt), len(rest))
		}
		all := slices.Concat(doubt, rest)
		slices.Sort(all)
		equal(t, "in doubt or unsent", all, accepted)
	})
}

func TestGroupRemoveInsideTheInboxLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g relay.Group
		r := relaytest.NewInMemory(t)
		sender, reader := pair(t, r, relay.InboxPolicy{})
		if err := g.Add(reader); err != nil {
			t.Fatal(err)
		}
		flood(t, sender, 500)
		n := 0
		for range g.Inbox() {
			if n++; n == 5 {
				g.Remove(reader)
				break
			}
		}
		_ = g.Close()
		for range g.Inbox() {
			n++
		}
		for e := range g.Events() { // one may have been in the hands of the group
			if _, ok := e.Event.(relay.Dropped); ok {
				n++
			}
		}
		if n += len(drain(reader)); n != 500 { // the rest is the client's own again
			t.Errorf("read %d", n)
		}
		if reader.State() != relay.Connected {
			t.Error("the group closed a client that was removed")
		}
	})
}

func TestGroupClosingTheOutboxEndsAll(t *testing.T) {
	bubble(t, func(t *testing.T, _ *relaytest.Relay) {
		g := newTrio(t)
		for _, text := range numbers(0, 500) {
			g.group.Outbox() <- to(nobody, text)
		}
		close(g.group.Outbox())
		for range g.group.Inbox() {
		}
		<-g.group.Done()
		equal(t, "handled", g.tapes[0].texts(), numbers(0, 500))
		for _, c := range g.clients {
			if c.State() != relay.Closed || c.Err() != nil {
				t.Error(c.State(), c.Err())
			}
		}
	})
}

// A message that was being written when its client left the group is not
// forgotten when that client never gets to write it.
func TestGroupRemembersWhatARemovedClientHasNotWritten(t *testing.T) {
	bubble(t, func(t *testing.T, _ *relaytest.Relay) {
		g := newTrio(t)
		thaw := g.relays[0].Freeze()
		var sending sync.WaitGroup
		sending.Go(func() {
			for i := range 200 {
				g.group.Outbox() <- to(nobody, fmt.Sprintf("%04d%s", i, strings.Repeat("x", 4000)))
			}
		})
		synctest.Wait()
		g.group.Remove(g.clients[0])
		sending.Wait()
		w := watching(g.clients[0])
		g.relays[0].Stop()
		thaw()
		if err := g.clients[0].Close(); err != nil {
			t.Error(err)
		}
		<-w.done
		if err := g.group.Close(); err != nil {
			t.Error(err)
		}
		got := slices.Concat(w.doubts(), g.handled())
		slices.Sort(got)
		if len(w.doubts()) == 0 || len(g.tapes[1].texts()) == 0 || len(slices.Compact(got)) != 200 {
			t.Errorf("%d in doubt, %d handled, want 200", len(w.doubts()), len(g.handled()))
		}
	})
}
