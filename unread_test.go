package relay_test

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// offered is how many messages the unread Inbox is offered: a million, or
// RELAY_TEST_MESSAGES.
func offered() int {
	if n, err := strconv.Atoi(os.Getenv("RELAY_TEST_MESSAGES")); err == nil {
		return n
	}
	if raceEnabled || testing.Short() {
		return 30_000
	}
	return 1_000_000
}

// A firehose is a relay that sends numbered messages to whoever registers, as
// fast as they are taken, and a ping behind every so many, whose pong it awaits.
type firehose struct {
	messages   int
	padding    string
	unanswered <-chan struct{} // closed when no pong is to be expected any more

	pings, pongs atomic.Int64
	done         chan struct{} // closed when all is sent
}

func (h *firehose) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		upgrader := transport.Upgrader{WriteTimeout: 10 * time.Minute}
		conn, err := upgrader.Upgrade(w, req)
		if err != nil {
			return
		}
		defer func() { _ = conn.Abort() }()
		answer(conn, okReply)
		var reader sync.WaitGroup
		reader.Go(func() { untilEnd(conn) })
		defer reader.Wait()
		h.spray(conn)
		close(h.done)
		reader.Wait() // until the client leaves
	})
}

func (h *firehose) spray(conn transport.Conn) {
	const pingEvery = 1000
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var frame []byte
	for i := range h.messages {
		frame, _ = relay.Message{SourceUUID: nobody, SourceName: "firehose", PeerUUID: nobody, DescriptionType: relay.Offer, Description: strconv.Itoa(i) + " " + h.padding}.Append(frame[:0])
		if conn.WriteFrame(frame) != nil {
			return
		}
		if i%50 == 0 && conn.Flush() != nil { // its buffer is in the same heap
			return
		}
		if i%pingEvery != 0 || isClosed(h.unanswered) {
			continue
		}
		before := conn.Pongs()
		conn.Ping()
		if conn.Flush() != nil {
			return
		}
		h.pings.Add(1)
		for conn.Pongs() == before && !isClosed(h.unanswered) {
			<-tick.C
		}
		h.pongs.Add(int64(conn.Pongs() - before))
	}
	_ = conn.Flush()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func numberOf(t *testing.T, m relay.Message) int {
	t.Helper()
	text, _, _ := strings.Cut(m.Description, " ")
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// within fails the test unless the channel is closed in time.
func within(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(5 * time.Minute):
		t.Fatalf("not within 5 minutes: %s", what)
	}
}

// What a program does not read costs memory up to the bound and a tenth, whatever
// the policy; pings are answered all the while, until the client stops reading;
// the first message that finds no room is told at once; and every message is
// counted.
func TestT21_AMillionMessagesIntoAnInboxThatNobodyReads(t *testing.T) {
	for _, policy := range []relay.Overflow{relay.Wait, relay.DropOldest, relay.DropNewest} {
		// In numbers that fill a queue's memory, which doubles, to the last place or hardly half.
		for _, length := range []int{20, 75} {
			t.Run(fmt.Sprintf("%v, of %d bytes", policy, length), func(t *testing.T) { unread(t, policy, strings.Repeat("x", length), offered()) })
		}
		t.Run(policy.String()+", of 1000 bytes", func(t *testing.T) { unread(t, policy, strings.Repeat("x", 1000), offered()/4) })
	}
}

// inChannel are the messages beside the bound: the channel's own, and one on its
// way into it.
const inChannel = 9

func unread(t *testing.T, policy relay.Overflow, padding string, n int) {
	bound := 16 << 20
	if n < 200_000 {
		bound = 4 << 20
	}
	stalled := make(chan struct{})
	h := &firehose{messages: n, padding: padding, unanswered: stalled, done: make(chan struct{})}
	r := relaytest.New(t)
	r.Handle(h.handler())
	c := r.Client("deaf", relay.WithUUID(nobody), relay.WithInbox(relay.InboxPolicy{MaxBytes: bound, WhenFull: policy}))
	before := heap()

	var stalls, drops, firstDrop int // the watcher's
	var watching sync.WaitGroup
	watching.Go(func() {
		for e := range c.Events() {
			switch e := e.(type) {
			case relay.Stalled:
				if stalls++; stalls == 1 {
					if e.Bytes > bound || e.Bytes < bound*9/10 {
						t.Errorf("stalled with %d bytes, the bound is %d", e.Bytes, bound)
					}
					close(stalled)
				}
			case relay.Dropped:
				if drops++; drops == 1 {
					firstDrop = numberOf(t, e.Message)
				}
			}
		}
	})
	connect(t, c)
	if policy == relay.Wait {
		within(t, "the Inbox is full", stalled)
	} else {
		within(t, "all is sent", h.done)
		received(t, c, n)
	}

	most := int64(bound*11/10 + inChannel*(len(padding)+messageCost) + 256<<10) // and a connection
	grown := heap() - before
	for i := 0; i < 5 && grown > most; i++ { // the least counts: the relay still fills the socket, and makes garbage
		grown = min(grown, heap()-before)
	}
	full := c.Stats()
	t.Logf("%d messages offered, %d received and %d dropped when the Inbox was full: heap %.2f MiB, InboxBytes %.2f MiB, bound %d MiB; %d pings, %d pongs",
		n, full.Received, full.Dropped, float64(grown)/(1<<20), float64(full.InboxBytes)/(1<<20), bound>>20, h.pings.Load(), h.pongs.Load())
	if full.InboxBytes > bound || full.InboxBytes < bound*9/10 {
		t.Errorf("%d bytes wait, the bound is %d", full.InboxBytes, bound)
	}
	if grown > most {
		t.Errorf("the heap has grown by %d bytes, want %d at most", grown, most)
	}
	if unanswered := h.pings.Load() - h.pongs.Load(); unanswered < 0 || unanswered > 1 || policy != relay.Wait && unanswered != 0 {
		t.Errorf("%d pings were not answered", unanswered)
	}

	// Now it is read: what was kept, in order, and not one message more.
	kept := n
	if policy != relay.Wait {
		kept = n - int(full.Dropped)
	}
	for i := range kept {
		want := i
		if policy == relay.DropOldest && i >= inChannel {
			want = n - kept + i
		}
		if got := numberOf(t, <-c.Inbox()); got != want {
			t.Fatalf("message %d of those kept is number %d, want %d", i, got, want)
		}
	}
	_ = c.Close()
	if m, ok := <-c.Inbox(); ok {
		t.Errorf("one more: number %d", numberOf(t, m))
	}
	watching.Wait()
	s := c.Stats()
	if s.Received != uint64(n) || s.Connects != 1 || s.Malformed != 0 || s.Dropped != s.DroppedOldest+s.DroppedNewest || int(s.Dropped)+kept != n {
		t.Errorf("%d kept of %d, %+v", kept, n, s)
	}
	if drops+int(s.EventsLost) != int(s.Dropped) {
		t.Errorf("%d Dropped events and %d events lost make not %d", drops, s.EventsLost, s.Dropped)
	}
	switch policy {
	case relay.Wait:
		if stalls == 0 || s.Dropped != 0 {
			t.Errorf("%d stalls, %d dropped", stalls, s.Dropped)
		}
	case relay.DropOldest:
		if firstDrop != inChannel || s.DroppedNewest != 0 {
			t.Errorf("the first dropped is number %d, want %d; %+v", firstDrop, inChannel, s)
		}
	case relay.DropNewest:
		if firstDrop != kept || s.DroppedOldest != 0 {
			t.Errorf("the first dropped is number %d, want %d; %+v", firstDrop, kept, s)
		}
	}
}

// messageCost is a generous bound for a message beside its text.
const messageCost = 512

// received waits until a client has received n messages.
func received(t *testing.T, c *relay.Client, n int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Minute); c.Stats().Received < uint64(n); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%d of %d messages", c.Stats().Received, n)
		}
	}
}
