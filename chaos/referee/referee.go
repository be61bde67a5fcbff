// Package referee joins what was sent with what became of it: delivered,
// reported in doubt, bounced, refused, or returned. The sum has to be exact.
package referee

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
)

// Rules are what a run was played by. The zero value is at most once, where
// nobody's connection may lose what was handed on.
type Rules struct {
	// Spilling says that receivers' connections break, too: then a message
	// that the relay has handed on may have been lost with one, unseen. Not if one
	// sent later has arrived while a receiver that is watched still had the
	// connection that it had when the message was accepted.
	Spilling bool
	// Resending says that clients send again what was not confirmed: then
	// a message may arrive more than once, and nothing is in doubt.
	Resending bool
	// Unordered says that messages of one sender take several ways at a time.
	Unordered bool
}

// Referee writes down what becomes of each message. The zero value is ready to
// use. All methods may be called concurrently.
type Referee struct {
	mu       sync.Mutex
	fates    map[key]*fate
	players  map[uuid.UUID]*player
	order    map[[2]uuid.UUID]int // the last number by sender and receiver
	ahead    map[[2]uuid.UUID][]ahead
	late     map[key]bool // arrived after a successor
	protests []string     // what needs no judgement to be wrong
}

// key is the name of a message: its sender and number.
type key struct {
	sender uuid.UUID
	number int
}

func (k key) String() string { return fmt.Sprintf("%.8s/%d", k.sender, k.number) }

// ahead is a message that nothing sent later has overtaken yet.
type ahead struct {
	number      int
	connections uint64 // that its receiver had had when it was accepted
}

// fate is what happened to one message, how often.
type fate struct {
	peer   uuid.UUID
	spills bool // the receiver had no connection, or has lost it since
	epoch  int  // of the receiver's connection when the message was accepted
	passed bool // a later one has arrived on the connection of then

	delivered, bounced, inDoubt, refused, returned int
}

// player is what is known of a client's connection.
type player struct {
	connected bool
	epoch     int // grows with each loss

	connections func() uint64 // how many it has had so far; nil: not watched
}

// Watch tells the referee of a client how many connections it has had so far,
// which must have grown before anything arrives on a new one. Events say the same
// some time later.
func (r *Referee) Watch(id uuid.UUID, connections func() uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.player(id).connections = connections
}

// Accepted books a message of sender to peer, before the client can know of it,
// and returns what its description has to be. Numbers of a sender count up.
func (r *Referee) Accepted(sender, peer uuid.UUID, number, size int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fates == nil {
		r.fates = make(map[key]*fate)
	}
	k := key{sender, number}
	if r.fates[k] != nil {
		r.protest("%v is accepted twice", k)
	}
	to := r.player(peer)
	r.fates[k] = &fate{peer: peer, spills: !to.connected, epoch: to.epoch}
	if to.connections != nil {
		if r.ahead == nil {
			r.ahead = make(map[[2]uuid.UUID][]ahead)
		}
		lane := [2]uuid.UUID{sender, peer}
		r.ahead[lane] = append(r.ahead[lane], ahead{number, to.connections()})
	}
	return text(number, size)
}

// Withdrawn takes back an Accepted: the client has not taken the message.
func (r *Referee) Withdrawn(sender uuid.UUID, number int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.fates, key{sender, number})
}

// Connected books that a client has a connection.
func (r *Referee) Connected(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.player(id).connected = true
}

// Lost books that a client has lost its connection.
func (r *Referee) Lost(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.player(id)
	p.connected = false
	p.epoch++
}

func (r *Referee) player(id uuid.UUID) *player {
	if r.players == nil {
		r.players = make(map[uuid.UUID]*player)
	}
	if r.players[id] == nil {
		r.players[id] = new(player)
	}
	return r.players[id]
}

// Arrived books what came out of receiver's Inbox: a delivery, or a message of
// its own that the relay has bounced.
func (r *Referee) Arrived(receiver uuid.UUID, m relay.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, f := r.find(m)
	if f == nil {
		return
	}
	lane := [2]uuid.UUID{k.sender, receiver}
	switch {
	case m.Undelivered():
		f.bounced++
		if receiver != k.sender {
			r.protest("%v was bounced to %.8s", k, receiver)
		}
		return // in no order: a message may have waited for its peer before
	case receiver != f.peer:
		r.protest("%v arrived at %.8s instead of %.8s", k, receiver, f.peer)
		return
	default:
		f.delivered++
		r.pass(lane, k.number)
	}
	if f.delivered+f.bounced > 1 {
		return // a copy, judged by their number
	}
	if r.order == nil {
		r.order, r.late = make(map[[2]uuid.UUID]int), make(map[key]bool)
	}
	if last, ok := r.order[lane]; ok && k.number < last {
		r.late[k] = true // which is wrong unless it turns out to be in doubt
		return
	}
	r.order[lane] = k.number
}

// pass notes that those sent before a number cannot have been lost with the
// receiver's connection, if it has had no other one since they were accepted: the
// relay hands on in order.
func (r *Referee) pass(lane [2]uuid.UUID, number int) {
	before := r.ahead[lane]
	if len(before) == 0 || before[0].number > number {
		return
	}
	connections := r.player(lane[1]).connections()
	for len(before) > 0 && before[0].number <= number {
		if f := r.fates[key{lane[0], before[0].number}]; f != nil && before[0].connections == connections {
			f.passed = true
		}
		before = before[1:]
	}
	r.ahead[lane] = before
}

// InDoubt books messages of which a client says that they may have arrived.
func (r *Referee) InDoubt(messages ...relay.Message) {
	r.each(messages, func(f *fate) { f.inDoubt++ })
}

// Refused books messages that a client let go.
func (r *Referee) Refused(messages ...relay.Message) {
	r.each(messages, func(f *fate) { f.refused++ })
}

// Returned books messages that a client gave back in the end.
func (r *Referee) Returned(messages ...relay.Message) {
	r.each(messages, func(f *fate) { f.returned++ })
}

func (r *Referee) each(messages []relay.Message, note func(*fate)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range messages {
		if _, f := r.find(m); f != nil {
			note(f)
		}
	}
}

// Protest books what needs no judgement to be wrong.
func (r *Referee) Protest(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.protest(format, args...)
}

func (r *Referee) protest(format string, args ...any) {
	r.protests = append(r.protests, fmt.Sprintf(format, args...))
}

// find finds the fate of a message, which has to be as it was sent.
func (r *Referee) find(m relay.Message) (key, *fate) {
	number, err := parse(m.Description)
	k := key{m.SourceUUID, number}
	if err != nil {
		r.protest("a message of %.8s is not as it was sent: %v", m.SourceUUID, err)
		return k, nil
	}
	f := r.fates[k]
	switch {
	case f == nil:
		r.protest("%v was never sent", k)
	case f.peer != m.PeerUUID:
		r.protest("%v was sent to %.8s, not %.8s", k, f.peer, m.PeerUUID)
		return k, nil
	}
	return k, f
}

// Open counts the messages of which nothing is known yet.
func (r *Referee) Open() (open int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.fates {
		if f.delivered+f.bounced+f.inDoubt+f.refused+f.returned == 0 {
			open++
		}
	}
	return open
}

// Delivered counts the deliveries so far, copies included.
func (r *Referee) Delivered() (delivered int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.fates {
		delivered += f.delivered
	}
	return delivered
}

// Judge joins everything, once all clients have ended. Violations are sorted;
// none means that the sum is exact.
func (r *Referee) Judge(rules Rules) (Account, []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var account Account
	violations := slices.Clone(r.protests)
	keys := make([]key, 0, len(r.fates))
	for k := range r.fates {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.sender.String(), b.sender.String()), cmp.Compare(a.number, b.number))
	})
	for _, k := range keys {
		f := r.fates[k]
		peer := r.player(f.peer)
		spills := rules.Spilling && !f.passed && (f.spills || peer.epoch != f.epoch)
		if wrong := account.add(f, rules, spills); wrong != "" {
			violations = append(violations, fmt.Sprintf("%v to %.8s: %s: %+v", k, f.peer, wrong, *f))
		}
		switch {
		case !r.late[k]:
		case f.inDoubt == 0 && !rules.Resending && !rules.Unordered:
			violations = append(violations, fmt.Sprintf("%v to %.8s: arrived after one sent later", k, f.peer))
		default:
			account.Late++
		}
	}
	return account, violations
}
