package relay_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/transport"
)

// names is a DNS server on a loopback port that knows one address for every
// name, or none.
type names struct {
	conn *net.UDPConn
	mu   sync.Mutex
	at   netip.Addr // the zero value: there is no such name
	mute bool       // it does not even answer

	asking []net.Conn // of those who ask, closed in the end: a resolver is patient
	over   bool
}

func newNames(t *testing.T) *names {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	n := &names{conn: conn}
	var serving sync.WaitGroup
	serving.Go(n.serve)
	t.Cleanup(func() {
		_ = conn.Close()
		serving.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		n.over = true
		for _, asking := range n.asking {
			_ = asking.Close()
		}
	})
	return n
}

// ask connects a resolver to the server.
func (n *names) ask(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over {
		return nil, net.ErrClosed
	}
	conn, err := new(net.Dialer).DialContext(ctx, "udp", n.conn.LocalAddr().String())
	if err == nil {
		n.asking = append(n.asking, conn)
	}
	return conn, err
}

func (n *names) set(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at = netip.Addr{}
	if address != "" {
		n.at = netip.MustParseAddr(address)
	}
}

// silence lets it answer nothing any more.
func (n *names) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mute = true
}

func (n *names) serve() {
	query := make([]byte, 512)
	for {
		size, from, err := n.conn.ReadFromUDPAddrPort(query)
		if err != nil {
			return
		}
		if answer := n.answer(query[:size]); answer != nil {
			_, _ = n.conn.WriteToUDPAddrPort(answer, from)
		}
	}
}

// answer answers a query of RFC 1035 with at most one question: an address that
// may be kept for no time, or that there is none.
func (n *names) answer(query []byte) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	end := 12 // of the question
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	if end += 5; n.mute || end > len(query) {
		return nil
	}
	const a, internet = 1, 1
	kind := binary.BigEndian.Uint16(query[end-4:])
	flags, answers := uint16(0x8180), uint16(0) // an answer, without error
	var record []byte
	switch {
	case !n.at.IsValid():
		flags |= 3 // no such name
	case kind == a:
		answers = 1
		record = append(record, 0xc0, 12) // the name of the question
		record = binary.BigEndian.AppendUint16(record, a)
		record = binary.BigEndian.AppendUint16(record, internet)
		record = binary.BigEndian.AppendUint32(record, 0)
		record = binary.BigEndian.AppendUint16(record, 4)
		record = append(record, n.at.AsSlice()...)
	}
	answer := append([]byte{}, query[:2]...)
	for _, field := range []uint16{flags, 1, answers, 0, 0} {
		answer = binary.BigEndian.AppendUint16(answer, field)
	}
	return append(append(answer, query[12:end]...), record...)
}

// dialer opens connections to names that this server knows.
func (n *names) dialer() relay.Option {
	d := net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: n.ask}}
	return relay.WithDialContext(d.DialContext)
}

// relaysAt starts relays on the same port of several loopback addresses.
func relaysAt(t *testing.T, addresses ...string) (relays []*server.Server, port string) {
	t.Helper()
	port = "0"
	for _, address := range addresses {
		listener, err := net.Listen("tcp", net.JoinHostPort(address, port))
		if err != nil {
			t.Skipf("this machine has no second loopback address: %v", err)
		}
		port = strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
		s, err := server.New()
		if err != nil {
			t.Fatal(err)
		}
		h := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
		var serving sync.WaitGroup
		serving.Go(func() { _ = h.Serve(listener) })
		t.Cleanup(func() {
			_ = h.Close()
			_ = s.Shutdown(context.Background())
			serving.Wait()
		})
		relays = append(relays, s)
	}
	return relays, port
}

// awaitState reads events until the client has come to a state, and returns how
// many attempts to connect it began on the way.
func awaitState(t *testing.T, events <-chan relay.Event, state relay.State) (attempts int, last relay.StateChange) {
	t.Helper()
	for e := range events {
		change, ok := e.(relay.StateChange)
		if !ok {
			continue
		}
		if change.To == relay.Connecting {
			attempts++
		}
		if change.To == state {
			return attempts, change
		}
	}
	t.Fatalf("the client ended before it was %v", state)
	return 0, relay.StateChange{}
}

// A relay whose name is not known yet, then is, and then moves.
func TestT7_TheNameIsResolvedAtEachAttempt(t *testing.T) {
	const here, there = "127.0.0.1", "127.0.0.2"
	dns := newNames(t)
	relays, port := relaysAt(t, here, there)
	c, err := relay.New("ws://relay.test:"+port, dns.dialer(), relay.WithBackoff(20*time.Millisecond, 20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	events := c.Events()
	c.Inbox()
	for range 3 {
		_, change := awaitState(t, events, relay.Backoff)
		failed, ok := errors.AsType[*transport.HandshakeError](change.Err)
		unknown, also := errors.AsType[*net.DNSError](change.Err)
		if !ok || failed.Step != transport.StepResolve || !also || !unknown.IsNotFound || !strings.Contains(change.Err.Error(), "relay.test") {
			t.Errorf("%v: want a *transport.HandshakeError at step resolve with a *net.DNSError", change.Err)
		}
	}

	dns.set(here)
	attempts, _ := awaitState(t, events, relay.Connected)
	if attempts > 2 { // one may have been under way
		t.Errorf("connected at attempt %d after the name was known, want the next one", attempts)
	}
	checkWhere(t, c, relays, 1, 0)

	dns.set(there)
	if err := c.Flush(t.Context()); err != nil { // the connection that is there stays
		t.Error(err)
	}
	checkWhere(t, c, relays, 1, 0)
	if err := relays[0].Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	attempts, _ = awaitState(t, events, relay.Connected)
	if attempts != 1 {
		t.Errorf("connected at attempt %d after the relay moved, want the first", attempts)
	}
	checkWhere(t, c, relays, 1, 1)
	t.Logf("connected %d times, to %s and to %s", c.Stats().Connects, here, there)
}

// checkWhere checks how many registrations each relay has seen.
func checkWhere(t *testing.T, c *relay.Client, relays []*server.Server, want ...uint64) {
	t.Helper()
	connects := uint64(0)
	for i, s := range relays {
		connects += want[i]
		if n := s.Stats().Registrations; fmt.Sprint(n) != fmt.Sprint(want[i]) {
			t.Errorf("relay %d has seen %d registrations, want %d", i, n, want[i])
		}
	}
	if n := c.Stats().Connects; n != connects {
		t.Errorf("%d connects, want %d", n, connects)
	}
}

// A name server that says nothing costs an attempt its bound, no more.
func TestT7_ANameServerThatIsSilentIsBounded(t *testing.T) {
	dns := newNames(t)
	dns.silence()
	c, err := relay.New("ws://relay.test:1", dns.dialer(), relay.WithTimeout(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	err = c.TryConnect(t.Context())
	failed, ok := errors.AsType[*transport.HandshakeError](err)
	if !ok || failed.Step != transport.StepResolve || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v: want a *transport.HandshakeError at step resolve that is a timeout", err)
	}
	if c.State() != relay.Idle {
		t.Errorf("state %v: %v", c.State(), c.Err())
	}
}
