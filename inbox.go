package relay

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/seed73300619/relay/actor"
)

// Overflow says what a client does with a message that arrives when its Inbox
// is full.
type Overflow uint8

// The policies of an Inbox. The zero value is Wait.
const (
	// Wait stops reading from the relay until the program reads its Inbox. A
	// [Stalled] event says so at once, because a relay closes a client that
	// does not answer pings, after 40 to 60 seconds.
	Wait Overflow = iota
	// DropOldest makes room by letting go what has waited longest.
	DropOldest
	// DropNewest lets go what has just arrived.
	DropNewest
	// Disconnect closes the connection; the client comes back with backoff.
	Disconnect
)

func (o Overflow) String() string {
	switch o {
	case Wait:
		return "wait"
	case DropOldest:
		return "drop oldest"
	case DropNewest:
		return "drop newest"
	case Disconnect:
		return "disconnect"
	}
	return fmt.Sprintf("Overflow(%d)", uint8(o))
}

// InboxPolicy bounds what a client keeps for a program that does not read, for
// [WithInbox]. What is dropped is counted in [Stats] and reported as [Dropped].
type InboxPolicy struct {
	MaxBytes int      // of unread messages in memory; 0 means 64 MiB
	WhenFull Overflow // what then; the zero value is Wait
}

const (
	defaultInboxBytes = 64 << 20
	inboxBuffer       = 8  // messages that the channel holds by itself; each costs an idle client 112 bytes
	spillRow          = 64 // messages that spill one after another without a turn for the program
	malformedBuffer   = 16 // decode errors kept for Recv

	messageOverhead = 160 // what a message costs in memory beside its strings

	// spillOverhead is messageOverhead for those that wait in a queue, of whose
	// places as many may be empty as are taken.
	spillOverhead = 2 * int(unsafe.Sizeof(struct {
		Message
		size int
	}{}))
)

func stringBytes(m Message) int {
	return len(m.SourceName) + len(m.DescriptionType) + len(m.Description) + len(m.Error)
}

// messageSize is how much a message counts against a bound in bytes.
func messageSize(m Message) int { return messageOverhead + stringBytes(m) }

// spillSize is messageSize for what must be no less than the memory that it
// takes, but for a tenth: the allocator rounds up, too.
func spillSize(m Message) int {
	n := stringBytes(m)
	if n <= 32<<10 {
		return spillOverhead + n + n/8 // it is a fifth at most
	}
	return spillOverhead + (n+8191)&^8191 // to whole pages
}

// inbox takes messages from the reader, which must never wait for the program
// unless the program said so, and hands them to the program through a channel.
// What the channel has no room for spills into a mailbox, which a goroutine of
// its own empties; without a spill there is no such goroutine.
type inbox struct {
	out     chan Message // closed by the last who sends on it: end, or the pump after end
	policy  InboxPolicy
	stalled atomic.Bool // the reader waits for the program
	said    bool        // and has been reported; the reader's
	spills  int         // messages that have spilt; likewise

	asked  sync.Once
	errors chan error // decode errors for Recv; never closed; nil until asked for

	onDrop  func(Message, error)
	onStall func(bytes int)

	mu        sync.Mutex   // guards what follows, and the order of what goes into out
	spill     *spill       // nil: nothing has spilled yet; the reader makes it, and may look at it without mu
	spilling  bool         // a pump runs
	held      []Message    // at most one, that the reader had when its connection ended
	inHand    atomic.Int64 // messages that the pump has taken and not yet passed on; the pump needs no mu to count down
	handBytes atomic.Int64 // and their size; likewise
	ended     bool
	closed    bool // the program has closed the client
}

// spill is where messages wait. Many an inbox never needs one.
type spill struct {
	actor.Mailbox[Message]
	stop chan struct{} // closed when the program has closed the client
	pump sync.WaitGroup
}

var errInboxOverflow = errors.New("relay: inbox full; read it, or give it more room with WithInbox")

func newInbox(policy InboxPolicy, onDrop func(Message, error), onStall func(int)) *inbox {
	return &inbox{out: make(chan Message, inboxBuffer), policy: policy, onDrop: onDrop, onStall: onStall}
}

// makeSpill is called by the reader, which needs it.
func (in *inbox) makeSpill() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.spill = &spill{stop: make(chan struct{})}
	in.spill.MaxBytes, in.spill.Size = in.policy.MaxBytes-in.handful(), spillSize
	in.spill.OnDrop = func(m Message) { in.onDrop(m, errInboxOverflow) }
	switch in.policy.WhenFull {
	case DropOldest:
		in.spill.Overflow = actor.DropOldest
	case DropNewest:
		in.spill.Overflow = actor.DropNewest
	}
}

// deliver is called by the reader, one at a time. It waits only under the
// policy Wait, and returns an error when the connection is to end.
func (in *inbox) deliver(ctx context.Context, m *Message) error {
	passed, spilling := in.pass(m)
	if !passed && !spilling {
		runtime.Gosched()
		passed, _ = in.pass(m)
	}
	if passed {
		return nil
	}
	if err := in.put(ctx, *m); err != nil {
		if in.policy.WhenFull == Wait {
			in.startPump(*m)
		} else {
			in.onDrop(*m, err)
		}
		return err
	}
	in.startPump()
	// The program gets to run while what has come is still in the cache, and not
	// when all that the kernel has is read: a twentieth less time, and half the memory.
	if in.spills++; in.spills%spillRow == 0 {
		runtime.Gosched()
	}
	return nil
}

// startPump makes sure that the pump runs, with a message to be held, if any.
func (in *inbox) startPump(held ...Message) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.held = append(in.held, held...)
	if !in.spilling {
		in.spilling = true
		in.spill.pump.Go(in.run)
	}
}

// resume delivers, on a new connection, what the last one left behind.
func (in *inbox) resume(ctx context.Context) error {
	in.mu.Lock()
	held := in.held
	in.held = nil
	in.mu.Unlock()
	for i := range held {
		if err := in.deliver(ctx, &held[i]); err != nil {
			return err
		}
	}
	return nil
}

// pass hands a message to the program directly: only if nothing waits before it.
func (in *inbox) pass(m *Message) (passed, spilling bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.spilling {
		return false, true
	}
	select {
	case in.out <- *m:
		in.said = false
		return true, false
	default:
		return false, false
	}
}

// put spills a message by the policy.
func (in *inbox) put(ctx context.Context, m Message) error {
	if in.spill == nil {
		in.makeSpill()
	}
	full := in.policy.WhenFull
	if full == DropOldest || full == DropNewest {
		return in.spill.Put(ctx, m)
	}
	if in.spill.TryPut(m) {
		return nil
	}
	if full == Disconnect {
		return errInboxFull
	}
	in.stalled.Store(true)
	defer in.stalled.Store(false)
	if !in.said { // once, until the program has caught up
		in.said = true
		in.onStall(in.spill.Stats().Bytes)
	}
	return in.spill.Put(ctx, m)
}

// handful is about how many bytes the pump takes at once: 0, which is one message,
// where what is in its hand could have to be dropped.
func (in *inbox) handful() int {
	if in.policy.WhenFull != Wait {
		return 0
	}
	return min(16<<10, in.policy.MaxBytes/16)
}

// hands hold what a pump has taken.
var hands = sync.Pool{New: func() any { return new([]Message) }}

// run moves what spilled into the channel until nothing is left.
func (in *inbox) run() {
	hand := hands.Get().(*[]Message)
	defer hands.Put(hand)
	for in.next(hand) {
		for i := range *hand {
			m := &(*hand)[i]
			select {
			case in.out <- *m:
			case <-in.spill.stop:
				in.offer(*m)
			}
			in.inHand.Add(-1)
			in.handBytes.Add(-int64(spillSize(*m)))
			*m = Message{} // let the strings go
		}
	}
}

// unread returns how much has arrived that the program has not taken, in messages
// and, of what spilled, in bytes.
func (in *inbox) unread() (messages, bytes int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	var spilt actor.MailboxStats
	if in.spill != nil {
		spilt = in.spill.Stats()
	}
	// The last message in the hand may be larger than what is left of a handful.
	bytes = spilt.Bytes + min(int(in.handBytes.Load()), in.handful())
	return len(in.out) + int(in.inHand.Load()) + spilt.Items + spilt.Waiting + len(in.held), bytes
}

// next takes what spilled first. When there is nothing it ends the spill, under the
// lock that deliver holds while it looks whether one is on, and returns false.
func (in *inbox) next(hand *[]Message) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	*hand = in.spill.DrainBytes((*hand)[:0], max(in.handful(), 1))
	if len(*hand) == 0 {
		*hand = append(*hand, in.held...)
		in.held = nil
	}
	in.inHand.Store(int64(len(*hand)))
	for i := range *hand {
		in.handBytes.Add(int64(spillSize((*hand)[i])))
	}
	if len(*hand) > 0 {
		return true
	}
	in.spilling = false
	if in.ended {
		close(in.out)
	}
	return false
}

// offer leaves a message in the channel's own buffer for a program that closed
// the client and still reads; beyond it nobody will take the message.
func (in *inbox) offer(m Message) {
	select {
	case in.out <- m:
	default:
		in.onDrop(m, ErrClosed)
	}
}

// malformed returns the channel of decode errors.
func (in *inbox) malformed() chan error {
	in.asked.Do(func() { in.errors = make(chan error, malformedBuffer) })
	return in.errors
}

// undecodable keeps a decode error for Recv, unless too many wait already.
func (in *inbox) undecodable(err error) {
	select {
	case in.malformed() <- err:
	default:
	}
}

// end says that nothing more will be delivered: the channel closes once what
// has arrived has been read, or close is called.
func (in *inbox) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
	if !in.spilling {
		close(in.out)
	}
}

// close gives up what has not been read, and waits for the pump. The reader has
// ended.
func (in *inbox) close() {
	in.mu.Lock()
	spill, closed := in.spill, in.closed
	in.closed = true
	in.mu.Unlock()
	if spill == nil {
		return
	}
	if !closed {
		close(spill.stop)
	}
	spill.pump.Wait()
}
