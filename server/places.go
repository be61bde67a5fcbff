package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
)

// places counts the connections that are open, and who has them. A place is
// taken before the opening handshake and given back at the very end.
type places struct {
	mu           sync.Mutex // never held over a wait
	stopping     bool       // none is given any more
	taken        int
	unregistered int                // of these, without a registration
	byAddress    map[netip.Addr]int // of these, by whence they come
	byUser       map[string]int     // of the registered ones, by their user's ID

	idle chan struct{} // closed, once, when stopping and none is taken
}

func (p *places) init() {
	p.byAddress, p.byUser = make(map[netip.Addr]int), make(map[string]int)
	p.idle = make(chan struct{})
}

// A place is one connection's. Its fields are places' own.
type place struct {
	address    netip.Addr // the zero Addr is not counted
	user       string     // "" is not counted
	registered bool
}

// A rejection is why there is no place.
type rejection uint8

const (
	admitted rejection = iota
	rejectedStopping
	rejectedConnections
	rejectedUnregistered
	rejectedAddress
	rejections int = iota
)

// String says which limit it was, for the log.
func (r rejection) String() string {
	switch r {
	case rejectedStopping:
		return "the server is shutting down"
	case rejectedConnections:
		return "too many connections"
	case rejectedUnregistered:
		return "too many connections without a registration"
	case rejectedAddress:
		return "too many connections from one address"
	}
	return ""
}

// take takes a place for a connection from address.
func (p *places) take(address netip.Addr, limits *config) (*place, rejection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopping:
		return nil, rejectedStopping
	case p.taken >= limits.maxConnections:
		return nil, rejectedConnections
	case p.unregistered >= limits.maxUnregistered:
		return nil, rejectedUnregistered
	case address.IsValid() && p.byAddress[address] >= limits.maxPerAddress:
		return nil, rejectedAddress
	}
	p.taken++
	p.unregistered++
	if address.IsValid() {
		p.byAddress[address]++
	}
	return &place{address: address}, admitted
}

// register turns l into a registered user's place. It returns false if the user
// has too many.
func (p *places) register(l *place, user string, limits *config) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.registered && l.user == user {
		return true
	}
	if user != "" && p.byUser[user] >= limits.maxPerUser {
		return false
	}
	if !l.registered {
		l.registered = true
		p.unregistered--
	}
	decrement(p.byUser, l.user)
	if l.user = user; user != "" {
		p.byUser[user]++
	}
	return true
}

// give gives l back.
func (p *places) give(l *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if !l.registered {
		p.unregistered--
	}
	decrement(p.byAddress, l.address)
	decrement(p.byUser, l.user)
	p.checkIdle()
}

// stop gives no more places.
func (p *places) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopping {
		p.stopping = true
		p.checkIdle()
	}
}

// checkIdle is called under mu when stopping begins and when a place is given
// back. As none is taken any more, both cannot find the server idle.
func (p *places) checkIdle() {
	if p.stopping && p.taken == 0 {
		close(p.idle)
	}
}

func (p *places) count() (taken, unregistered int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken, p.unregistered
}

// decrement keeps nothing of what is zero: addresses and users come and go.
func decrement[K comparable](counts map[K]int, key K) {
	if n := counts[key]; n > 1 {
		counts[key] = n - 1
	} else {
		delete(counts, key)
	}
}

// origin returns where a request comes from, for the log and for the limit of
// an address. Behind a proxy that is trusted this is whom the proxy names.
func origin(r *http.Request, proxies []netip.Prefix) (remote string, address netip.Addr) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr, netip.Addr{} // not TCP
	}
	address = peer.Addr().Unmap()
	if !trusted(address, proxies) {
		return r.RemoteAddr, network(address)
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- { // each proxy appends whom it heard from
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break // the rest may be anybody's invention
		}
		if address = hop; !trusted(hop, proxies) {
			break
		}
	}
	return address.String(), network(address)
}

// parseHop reads an address, which some proxies give with its port.
func parseHop(s string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	address, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return address.Unmap().WithZone(""), err == nil
}

func trusted(address netip.Addr, proxies []netip.Prefix) bool {
	for _, p := range proxies {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// network returns what counts as one address: of IPv6 the /64, in which one
// machine can have as many addresses as it likes.
func network(address netip.Addr) netip.Addr {
	if address.Is6() {
		if prefix, err := address.WithZone("").Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return address
}
