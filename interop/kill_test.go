package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
)

func TestT12_every_message_accepted_has_exactly_one_fate(t *testing.T) {
	t.Parallel()
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	kinds := []relayKind{realKind, ourKind}
	if _, err := os.Stat("../cmd/relay/main.go"); err == nil {
		kinds = append(kinds, ourCommandKind)
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			r := startRelay(t, kind)
			leavesNoGoroutine(t, func() { survive(t, r, rounds) })
		})
	}
}

// survive lets four pairs of clients talk both ways while the relay is killed
// and restarted, and does the accounts in the end.
func survive(t *testing.T, r testRelay, rounds int) {
	book := &ledger{fates: make(map[string]*fate), last: make(map[uuid.UUID]int)}
	var all []*survivor
	for range 4 {
		a, b := newSurvivor(t, r, book), newSurvivor(t, r, book)
		a.partner, b.partner = b.UUID(), a.UUID()
		all = append(all, a, b)
	}
	for _, s := range all {
		connect(t, s.Client)
	}
	var senders, readers sync.WaitGroup
	stop := make(chan struct{})
	for _, s := range all {
		senders.Go(func() { s.sendUntil(stop) })
		readers.Go(s.readInbox)
		readers.Go(s.readEvents)
	}

	for range rounds {
		book.progress(t, all, 20)
		r.Kill(t)
		r.Start(t)
	}
	book.progress(t, all, 20)
	close(stop)
	senders.Wait()
	for _, s := range all {
		// The kills left messages in doubt; that is in the accounts below.
		if err := s.Flush(soon(t)); err != nil && !errors.Is(err, relay.ErrInDoubt) {
			t.Errorf("Flush: %v", err)
		}
	}
	deadline := time.Now().Add(patience)
	for len(book.open()) > 0 && time.Now().Before(deadline) {
		<-time.After(10 * time.Millisecond) // settle tells
	}

	// What is accepted while there is no relay comes back from Close.
	r.Kill(t)
	for _, s := range all {
		eventually(t, patience, "the loss is noticed", func() bool { return s.State() != relay.Connected })
		for range 10 {
			s.Outbox() <- s.next()
		}
	}
	var closing sync.WaitGroup
	for _, s := range all {
		closing.Go(func() { s.shutdown(t) })
	}
	closing.Wait()
	readers.Wait()
	book.settle(t, all)
}

// A survivor is a client that writes down what becomes of each message.
type survivor struct {
	*relay.Client
	book    *ledger
	partner uuid.UUID
	sent    int
}

func newSurvivor(t *testing.T, r testRelay, book *ledger) *survivor {
	return &survivor{Client: newClient(t, r.URL(), peerConfig{}.options()...), book: book}
}

// next makes the next message, and books it as accepted: it is called when the
// client is sure to take it.
func (s *survivor) next() relay.Message {
	m := offer(s.partner, fmt.Sprintf("%v/%d", s.UUID(), s.sent))
	s.sent++
	s.book.note(m, func(f *fate) { f.accepted++ })
	return m
}

// sendUntil offers a message every millisecond, and waits as long as the
// client does not take it.
func (s *survivor) sendUntil(stop <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		m := s.next()
		select {
		case s.Outbox() <- m:
		case <-s.Done():
			s.book.note(m, func(f *fate) { f.accepted-- })
			return
		case <-stop:
			s.book.note(m, func(f *fate) { f.accepted-- })
			return
		}
		<-tick.C
	}
}

func (s *survivor) readInbox() {
	for m := range s.Inbox() {
		switch {
		case m.Undelivered() && m.SourceUUID == s.UUID():
			s.book.note(m, func(f *fate) { f.bounced++ })
		default:
			s.book.deliver(m)
		}
	}
}

func (s *survivor) readEvents() {
	for event := range s.Events() {
		switch event := event.(type) {
		case relay.InDoubt:
			for _, m := range event.Messages {
				s.book.note(m, func(f *fate) { f.inDoubt++ })
			}
		case relay.Dropped:
			s.book.note(event.Message, func(f *fate) { f.dropped++ })
		}
	}
}

func (s *survivor) shutdown(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	err := s.Shutdown(ctx)
	unsent, ok := errors.AsType[*relay.UnsentError](err)
	if !ok {
		t.Errorf("Shutdown: %v, want an UnsentError", err)
		return
	}
	for _, m := range unsent.Messages {
		s.book.note(m, func(f *fate) { f.unsent++ })
	}
}

// A fate is what happened to one message, how often.
type fate struct{ accepted, delivered, inDoubt, bounced, unsent, dropped int }

type ledger struct {
	mu         sync.Mutex
	fates      map[string]*fate // by description
	last       map[uuid.UUID]int
	inversions []string
}

func (l *ledger) note(m relay.Message, what func(*fate)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what(l.fate(m))
}

func (l *ledger) fate(m relay.Message) *fate {
	if l.fates[m.Description] == nil {
		l.fates[m.Description] = new(fate)
	}
	return l.fates[m.Description]
}

// deliver books a delivery, and looks at the order of each sender.
func (l *ledger) deliver(m relay.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fate(m).delivered++
	var number int
	fmt.Sscanf(m.Description[len(uuid.Nil.String()):], "/%d", &number)
	if last, heard := l.last[m.SourceUUID]; heard && number <= last {
		l.inversions = append(l.inversions, fmt.Sprintf("%s after %d", m.Description, last))
	}
	l.last[m.SourceUUID] = number
}

// progress waits until each client has been heard n more messages.
func (l *ledger) progress(t *testing.T, all []*survivor, n int) {
	t.Helper()
	heard := func(s *survivor) int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.last[s.UUID()]
	}
	for _, s := range all {
		from := heard(s)
		eventually(t, patience, "messages of every client arrive", func() bool { return heard(s) >= from+n })
	}
}

// open lists the messages of which nothing is known yet.
func (l *ledger) open() (open []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, f := range l.fates {
		if f.accepted > 0 && f.delivered+f.inDoubt+f.bounced+f.unsent+f.dropped == 0 {
			open = append(open, name)
		}
	}
	return open
}

// settle checks every message. One in doubt may have been delivered or bounced,
// too; for all others exactly one thing is known.
func (l *ledger) settle(t *testing.T, all []*survivor) {
	t.Helper()
	var sum fate
	for name, f := range l.fates {
		known := f.delivered + f.bounced + f.unsent
		if f.accepted == 0 && *f == (fate{}) {
			continue // the last one offered, not taken
		}
		if f.accepted != 1 || f.dropped != 0 || f.inDoubt > 1 || f.inDoubt == 0 && known != 1 || f.inDoubt == 1 && (known > 1 || f.unsent > 0) {
			t.Errorf("%s: %+v", name, *f)
		}
		sum.accepted += f.accepted
		sum.delivered += f.delivered
		sum.inDoubt += f.inDoubt
		sum.bounced += f.bounced
		sum.unsent += f.unsent
	}
	t.Logf("%+v", sum)
	if sum.unsent < 10*len(all) {
		t.Errorf("Close gave %d messages back, want the %d sent last at least", sum.unsent, 10*len(all))
	}
	if l.inversions != nil {
		t.Errorf("out of order or twice: %q", l.inversions)
	}
	for _, s := range all {
		if stats := s.Stats(); stats.EventsLost > 0 || stats.Malformed > 0 {
			t.Errorf("%+v", stats)
		}
	}
}

// leavesNoGoroutine fails the test when a goroutine that was started inside of
// the function, directly or not, outlives it. It knows them by a label that
// goroutines inherit, so that tests beside it do not matter.
func leavesNoGoroutine(t *testing.T, f func()) {
	t.Helper()
	pprof.Do(t.Context(), pprof.Labels("test", t.Name()), func(context.Context) { f() })
	left := func() string {
		var profile bytes.Buffer
		pprof.Lookup("goroutine").WriteTo(&profile, 1)
		var stacks []string
		for stack := range strings.SplitSeq(profile.String(), "\n\n") {
			if strings.Contains(stack, fmt.Sprintf("%q:%q", "test", t.Name())) {
				stacks = append(stacks, stack)
			}
		}
		return strings.Join(stacks, "\n\n")
	}
	for end := time.Now().Add(5 * time.Second); left() != ""; {
		if time.Now().After(end) {
			t.Errorf("goroutines left:\n%s", left())
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}
