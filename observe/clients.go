package observe

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
	"weak"

	"github.com/seed73300619/relay"
)

const (
	maxNames  = 1000 // of clients, so that a name for each client is found out early
	maxName   = 256  // bytes of a name
	maxRelays = 64   // that are told apart under one name
)

// OtherRelay stands for the addresses beyond the first 64 under one name.
const OtherRelay = "other"

// Clients are clients whose figures are to be exported. Each is put in under a
// name, and those of one name and one relay are added up: a name is for a kind of
// client, so that there are as many series as kinds, however many clients come and
// go.
//
// The zero value is empty and ready to use. All methods may be called
// concurrently. Nothing here starts a goroutine or talks to a relay.
type Clients struct {
	mu    sync.Mutex
	names map[string]*kind
}

// Sum is what the clients of one name and one relay have counted together.
// Of the figures in [relay.Stats] that are no counters, Outbox, Unconfirmed, Inbox
// and InboxBytes are added up, Backoff, RoundTrip and ConfirmTime are those of the
// client where they are largest, and State is of no use. A client that was removed
// still counts for the others of its name: a sum does not fall because of it.
type Sum struct {
	Name  string // as it was put in
	Relay string // the address, without userinfo and query; or OtherRelay

	Instances int // clients there are now
	Connected int // of these now
	Stats     relay.Stats
}

// kind is what is known under one name.
type kind struct {
	clients map[*relay.Client]struct{} // put in one by one
	groups  map[*relay.Group]struct{}

	counted map[*relay.Client]string                   // in the last sums, and for which relay
	past    map[string]relay.Stats                     // of those that left, by relay
	left    map[weak.Pointer[relay.Client]]relay.Stats // each one's part in past, in case it comes back
	relays  map[string]struct{}                        // that are told apart
}

// Add puts in a client. It returns an error for a nil client, for one that is in
// there already on its own, for a name that is empty, longer than 256 bytes or no
// UTF-8, and for the 1001st name. Put neither a secret nor a UUID into a name.
func (c *Clients) Add(name string, client *relay.Client) error {
	if client == nil {
		return errors.New("observe: Add: nil client")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, kind := range c.names {
		if _, ok := kind.clients[client]; ok {
			return fmt.Errorf("observe: Add: the client is there already, as %q", other)
		}
	}
	kind, err := c.kind(name)
	if err != nil {
		return fmt.Errorf("observe: Add: %w", err)
	}
	kind.clients[client] = struct{}{}
	kind.update()
	return nil
}

// AddGroup puts in a group: all clients that are in it now and whenever the figures
// are read. What a client counts that is in the group only in between is not seen.
// The errors are those of [Clients.Add].
func (c *Clients) AddGroup(name string, group *relay.Group) error {
	if group == nil {
		return errors.New("observe: AddGroup: nil group")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, kind := range c.names {
		if _, ok := kind.groups[group]; ok {
			return fmt.Errorf("observe: AddGroup: the group is there already, as %q", other)
		}
	}
	kind, err := c.kind(name)
	if err != nil {
		return fmt.Errorf("observe: AddGroup: %w", err)
	}
	kind.groups[group] = struct{}{}
	kind.update()
	return nil
}

// Remove takes out a client that was put in by Add; any other is left alone. Do so
// when it has been closed, or it is kept in memory. Its name goes with the last of
// its clients and groups.
func (c *Clients) Remove(client *relay.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, kind := range c.names {
		if _, ok := kind.clients[client]; ok {
			delete(kind.clients, client)
			c.tidy(name, kind)
		}
	}
}

// RemoveGroup is [Clients.Remove] for a group.
func (c *Clients) RemoveGroup(group *relay.Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, kind := range c.names {
		if _, ok := kind.groups[group]; ok {
			delete(kind.groups, group)
			c.tidy(name, kind)
		}
	}
}

// kind returns what is under a name, and makes it if need be.
func (c *Clients) kind(name string) (*kind, error) {
	if k := c.names[name]; k != nil {
		return k, nil
	}
	switch {
	case name == "":
		return nil, errors.New("empty name")
	case len(name) > maxName:
		return nil, fmt.Errorf("a name of %d bytes is over the limit of %d", len(name), maxName)
	case !utf8.ValidString(name):
		return nil, errors.New("the name is not valid UTF-8")
	case len(c.names) == maxNames:
		return nil, fmt.Errorf("there are %d names; a name is for a kind of client, not for each of them", maxNames)
	}
	k := &kind{
		clients: make(map[*relay.Client]struct{}),
		groups:  make(map[*relay.Group]struct{}),
		counted: make(map[*relay.Client]string),
		past:    make(map[string]relay.Stats),
		left:    make(map[weak.Pointer[relay.Client]]relay.Stats),
		relays:  make(map[string]struct{}),
	}
	if c.names == nil {
		c.names = make(map[string]*kind)
	}
	c.names[name] = k
	return k, nil
}

// tidy forgets a name under which nothing is left, and keeps no client that is.
func (c *Clients) tidy(name string, k *kind) {
	if len(k.clients)+len(k.groups) == 0 {
		delete(c.names, name)
		return
	}
	k.update()
}

// Sums returns the figures of this moment, in the order of names and relays.
func (c *Clients) Sums() []Sum {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sums []Sum
	for name, k := range c.names {
		sums = append(sums, k.sums(name)...)
	}
	slices.SortFunc(sums, func(a, b Sum) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Relay, b.Relay))
	})
	return sums
}

func (k *kind) sums(name string) []Sum {
	k.update()
	sums := make(map[string]*Sum)
	of := func(address string) *Sum {
		if sums[address] == nil {
			sums[address] = &Sum{Name: name, Relay: address}
		}
		return sums[address]
	}
	for address, past := range k.past {
		of(address).Stats = past
	}
	for client, address := range k.counted {
		sum, stats := of(address), client.Stats()
		sum.Instances++
		if stats.State == relay.Connected {
			sum.Connected++
		}
		addCounters(&sum.Stats, stats, 1)
		addGauges(&sum.Stats, stats)
	}
	list := make([]Sum, 0, len(sums))
	for _, sum := range sums {
		list = append(list, *sum)
	}
	return list
}

// update notes who has come and who has left since the last time.
func (k *kind) update() {
	now := make(map[*relay.Client]struct{}, len(k.counted))
	for client := range k.clients {
		now[client] = struct{}{}
	}
	for group := range k.groups {
		for _, client := range group.Clients() {
			now[client] = struct{}{}
		}
	}
	for client, address := range k.counted {
		if _, still := now[client]; !still {
			k.leave(client, address)
		}
	}
	for client := range now {
		if _, known := k.counted[client]; !known {
			k.join(client)
		}
	}
	for client := range k.left {
		if client.Value() == nil {
			delete(k.left, client) // it cannot come back
		}
	}
}

// leave keeps what a client has counted.
func (k *kind) leave(client *relay.Client, address string) {
	delete(k.counted, client)
	stats := client.Stats()
	past := k.past[address]
	addCounters(&past, stats, 1)
	k.past[address] = past
	k.left[weak.Make(client)] = stats
}

// join begins to count a client, and not twice what it had counted when it left.
func (k *kind) join(client *relay.Client) {
	address := k.relay(client)
	k.counted[client] = address
	pointer := weak.Make(client)
	if stats, ok := k.left[pointer]; ok {
		past := k.past[address]
		addCounters(&past, stats, ^uint64(0)) // minus one, modulo 2^64
		k.past[address] = past
		delete(k.left, pointer)
	}
}

// relay returns under which relay a client is counted: always the same for one
// address.
func (k *kind) relay(client *relay.Client) string {
	address := strings.ToValidUTF8(client.Address(), "�")
	if _, known := k.relays[address]; !known {
		if len(k.relays) == maxRelays {
			return OtherRelay
		}
		k.relays[address] = struct{}{}
	}
	return address
}

// addCounters adds times as much as b has counted to a.
func addCounters(a *relay.Stats, b relay.Stats, times uint64) {
	for _, counter := range []struct {
		a *uint64
		b uint64
	}{
		{&a.Connects, b.Connects},
		{&a.FailedToken, b.FailedToken},
		{&a.FailedNetwork, b.FailedNetwork},
		{&a.FailedTLS, b.FailedTLS},
		{&a.FailedStatus, b.FailedStatus},
		{&a.FailedRegistration, b.FailedRegistration},
		{&a.Abandoned, b.Abandoned},
		{&a.Silent, b.Silent},
		{&a.Sent, b.Sent},
		{&a.SentBytes, b.SentBytes},
		{&a.Received, b.Received},
		{&a.ReceivedBytes, b.ReceivedBytes},
		{&a.Returned, b.Returned},
		{&a.Resent, b.Resent},
		{&a.InDoubt, b.InDoubt},
		{&a.Malformed, b.Malformed},
		{&a.Dropped, b.Dropped},
		{&a.Refused, b.Refused},
		{&a.DroppedOldest, b.DroppedOldest},
		{&a.DroppedNewest, b.DroppedNewest},
		{&a.DroppedDisconnect, b.DroppedDisconnect},
		{&a.DroppedUnread, b.DroppedUnread},
		{&a.EventsLost, b.EventsLost},
	} {
		*counter.a += counter.b * times
	}
	for i := range a.Disconnects {
		a.Disconnects[i] += b.Disconnects[i] * times
	}
}

// addGauges adds what b shows now to a.
func addGauges(a *relay.Stats, b relay.Stats) {
	a.Outbox += b.Outbox
	a.Unconfirmed += b.Unconfirmed
	a.Inbox += b.Inbox
	a.InboxBytes += b.InboxBytes
	a.Backoff = max(a.Backoff, b.Backoff)
	a.RoundTrip = max(a.RoundTrip, b.RoundTrip)
	a.ConfirmTime = max(a.ConfirmTime, b.ConfirmTime)
}
