package relay

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// run is the group's one goroutine: it routes until the end, and then ends the
// clients.
func (g *Group) run() {
	defer close(g.done)
	r := &router{Group: g, left: func() {}}
	defer func() { r.left() }()
	r.look()
	for r.step() {
	}
	r.recall(slices.Concat(r.members, r.gone))

	g.mu.Lock()
	g.ended = true
	members := slices.Clone(g.members)
	g.mu.Unlock()
	if r.outboxClosed {
		g.drain(members)
	}
	errs := make([]error, len(members))
	forAll(members, func(i int, m *member) {
		if r.leave == nil {
			errs[i] = m.client.Close()
			return
		}
		errs[i] = m.client.Shutdown(r.leave)
	})
	for len(r.written) > 0 { // what a client was writing when it was closed
		r.settle(<-r.written)
	}
	for _, m := range r.gone { // what a client was writing when it was removed, and still is
		r.leaveInDoubt(m)
	}
	if len(r.again) > 0 {
		unsent := &UnsentError{Err: ErrClosed}
		for _, request := range r.again {
			unsent.Messages = append(unsent.Messages, request.message)
		}
		errs = append(errs, unsent)
	}
	g.err = errors.Join(errs...)
	g.receivers.Wait()
	g.listeners.Wait()
	close(g.inbox)
	g.events.end()
}

// drain lets the clients send the rest and end, and the program read the rest,
// unless Close is called.
func (g *Group) drain(members []*member) {
	forAll(members, func(_ int, m *member) {
		m.client.stopAccepting()
		select {
		case <-m.client.done:
		case <-g.stop:
		}
	})
	select {
	case <-g.stop:
	default:
		g.receivers.Wait() // the clients have ended: their inboxes close
	}
}

func forAll(members []*member, do func(int, *member)) {
	var all sync.WaitGroup
	for i, m := range members {
		all.Go(func() { do(i, m) })
	}
	all.Wait()
}

// router decides by which client a message goes, and takes back what a client
// has not written when it lost its relay.
type router struct {
	*Group
	members      []*member  // as of the last look
	gone         []*member  // removed, with something not answered
	taken        uint64     // messages, numbered so that order survives detours
	again        []*request // to be routed before anything new, in order
	sending      int        // requests that have not been answered
	outboxClosed bool
	leave        context.Context // set by Close: bounds the rest
	left         context.CancelFunc
}

// step does one thing; false: there is nothing left to do.
func (r *router) step() bool {
	ending := r.outboxClosed || r.leave != nil
	if ending && len(r.again) == 0 && r.sending == 0 {
		return false
	}
	stop, leave := r.stop, (<-chan struct{})(nil)
	if r.leave != nil {
		if !r.anyConnected() {
			return false
		}
		stop, leave = nil, r.leave.Done()
	}
	outbox, hand, request := r.offer()
	select {
	case message, ok := <-outbox:
		if r.outboxClosed = !ok; ok {
			r.taken++
			r.put(message, r.taken)
		}
	case hand.requests() <- request:
		r.again = r.again[1:]
		r.sending++
		hand.sends = append(hand.sends, request)
	case answered := <-r.written:
		r.settle(answered)
	case <-r.changed:
		r.look()
	case <-stop:
		r.leave, r.left = context.WithTimeout(context.Background(), r.longestTimeout())
	case <-leave:
		return false
	}
	return true
}

// longestTimeout is when Close gives up: the longest timeout of all clients.
func (r *router) longestTimeout() (longest time.Duration) {
	for _, m := range r.members {
		longest = max(longest, m.client.cfg.timeout)
	}
	return longest
}

func (r *router) anyConnected() bool { return slices.ContainsFunc(r.members, (*member).connected) }

// offer prepares the select of step: either a message waits and there is a
// client to hand it to, or a new message may be taken.
func (r *router) offer() (outbox <-chan Message, hand *member, next *request) {
	if r.sending == groupSends {
		return nil, nil, nil
	}
	if len(r.again) > 0 {
		next = r.again[0]
		if hand = r.pick(next.message); hand != nil {
			next.ctx = hand.gone // so that it comes back when the client is removed
		}
		return nil, hand, next
	}
	if r.outboxClosed || r.leave != nil || !r.anyConnected() {
		return nil, nil, nil
	}
	return r.outbox, nil, nil
}

// put gives a message its place among those to be routed.
func (r *router) put(message Message, number uint64) {
	i, _ := slices.BinarySearchFunc(r.again, number, func(other *request, number uint64) int {
		return cmp.Compare(other.number, number)
	})
	r.again = slices.Insert(r.again, i, &request{ctx: context.Background(), message: message, number: number, done: r.written})
}

// pick returns the client for a message, or nil while none is connected.
func (r *router) pick(message Message) *member {
	if heard, ok := r.heard.Load(message.PeerUUID); ok {
		if m := heard.(*member); m.connected() && slices.Contains(r.members, m) {
			return m
		}
	}
	if i := slices.IndexFunc(r.members, (*member).connected); i >= 0 {
		return r.members[i]
	}
	return nil
}

func (m *member) connected() bool { return m.up }

// requests is where a member takes requests; a nil member never does.
func (m *member) requests() chan<- *request {
	if m == nil {
		return nil
	}
	return m.client.out.requests
}

// look sees who came, went, or lost its relay.
func (r *router) look() {
	r.mu.Lock()
	now := slices.Clone(r.Group.members)
	r.mu.Unlock()
	for _, m := range r.members {
		if !slices.Contains(now, m) {
			r.gone = append(r.gone, m)
		}
	}
	r.members = now
	for _, m := range now {
		m.up = m.client.State() == Connected
	}
	r.recall(slices.DeleteFunc(slices.Clone(now), (*member).connected))
	r.recall(r.gone)
	r.gone = slices.DeleteFunc(r.gone, func(m *member) bool { return len(m.sends) == 0 })
}

// recall takes back what clients were given and have not written.
func (r *router) recall(members []*member) {
	for _, m := range members {
		m.sends = slices.DeleteFunc(m.sends, func(sent *request) bool {
			if !sent.revoke() {
				return false // being written, or answered
			}
			r.sending--
			r.put(sent.message, sent.number)
			return true
		})
		notify(m.client.out.revoked)
	}
}

// settle takes a client's answer: written, refused, or the client has ended.
func (r *router) settle(answered *request) {
	r.sending--
	var by *Client
	for _, m := range slices.Concat(r.members, r.gone) {
		if i := slices.Index(m.sends, answered); i >= 0 {
			m.sends = slices.Delete(m.sends, i, i+1)
			by = m.client
		}
	}
	switch {
	case errors.Is(answered.err, ErrClosed), errors.Is(answered.err, context.Canceled):
		r.put(answered.message, answered.number)
	case answered.err != nil:
		r.events.emit(GroupEvent{Event: Dropped{Message: answered.message, Err: answered.err}, Client: by})
	}
}

// leaveInDoubt reports what is in the hands of a client that was removed, and
// that nobody will be told of any more.
func (r *router) leaveInDoubt(m *member) {
	var messages []Message
	for _, sent := range m.sends {
		messages = append(messages, sent.message)
	}
	if len(messages) > 0 {
		r.events.emit(GroupEvent{Event: InDoubt{Messages: messages, Err: ErrClosed}, Client: m.client})
	}
}
