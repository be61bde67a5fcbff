package links_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/faultproxy"
	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/referee"
)

// mixed is a game of a Go client behind the proxy and a Python client.
type mixed struct {
	*game
	url    string
	python *python
	spoken int          // messages of the Python client
	heard  atomic.Value // the description of what the Python client got last
}

func newMixed(t *testing.T, r *process.Relay, p *faultproxy.Proxy, options ...relay.Option) *mixed {
	t.Helper()
	if len(relays) < len(kinds) {
		t.Skip(process.ErrNoPython)
	}
	m := &mixed{game: &game{t: t, proxy: p, peer: uuid.New()}, url: r.URL}
	m.sender = m.enter(p.URL(), options...)
	connect(t, m.sender.Client)
	m.invite()
	return m
}

// invite starts the Python client.
func (m *mixed) invite() {
	m.t.Helper()
	m.python = startPython(m.t, m.url, m.peer, func(got relay.Message) {
		m.Arrived(m.peer, got)
		m.heard.Store(got.Description)
	})
	m.Connected(m.peer)
}

// speak has the Python client send n messages to the Go client, which arrive.
func (m *mixed) speak(n int) {
	m.t.Helper()
	before := m.sender.arrived.Load()
	for range n {
		m.spoken++
		if !m.python.send(m.sender.UUID(), m.Accepted(m.peer, m.sender.UUID(), m.spoken, 100)) {
			m.t.Fatal("the Python client cannot send")
		}
	}
	eventually(m.t, "received from the Python client", func() bool { return m.sender.arrived.Load() >= before+uint64(n) })
}

// finish ends with a message that arrives, and so all before it have.
func (m *mixed) finish(rules referee.Rules) referee.Account {
	m.t.Helper()
	m.sender.settle(m.t)
	m.meet(rules.Spilling)
	m.speak(1)
	return m.end(rules)
}

// meet sends to the Python client until it gets a message, at once unless some may
// be lost. Then what it sends is not for a connection that it has lost unawares.
func (m *mixed) meet(lossy bool) {
	m.t.Helper()
	m.offer(1, 100)
	for end := time.Now().Add(patience); !m.hears(patience / 10); m.offer(1, 100) {
		if !lossy || time.Now().After(end) {
			m.t.Fatal("not received by the Python client")
		}
		m.Lost(m.peer) // it does not tell when it makes another connection
		m.Connected(m.peer)
	}
}

// hears reports whether the Python client gets the last message within d.
func (m *mixed) hears(d time.Duration) bool {
	tick, late := time.NewTicker(2*time.Millisecond), time.After(d)
	defer tick.Stop()
	for {
		if heard, _ := m.heard.Load().(string); strings.HasPrefix(heard, fmt.Sprint(m.sent, " ")) {
			return true
		}
		select {
		case <-tick.C:
		case <-late:
			return false
		}
	}
}

func TestT54_AHalfOpenLinkBetweenGoAndPython(t *testing.T) {
	each(t, func(t *testing.T, r *process.Relay) {
		const burst = 100
		m := newMixed(t, r, newProxy(t, r), eager(relay.WithHeartbeat(time.Second, time.Second), relay.WithTimeout(30*time.Second))...)
		m.offer(burst, 100)
		m.speak(burst)
		m.sender.settle(t)
		m.proxy.Each((*faultproxy.Link).HalfOpen)
		m.write(burst, 100)
		eventually(t, "lost", func() bool { return len(m.sender.losses()) == 1 })
		connect(t, m.sender.Client)
		m.offer(burst, 100)
		m.speak(burst)
		account := m.finish(referee.Rules{})
		if want := (referee.Account{Sent: 5*burst + 2, Once: 4*burst + 2, DoubtLost: burst}); account != want {
			t.Errorf("want %v", want)
		}
	})
}

// One message over the limit costs one connection, and no other message.
func TestT54_APoisonousMessageToPython(t *testing.T) {
	each(t, func(t *testing.T, r *process.Relay) {
		m := newMixed(t, r, newProxy(t, r), eager(relay.WithMaxMessageBytes(4<<20))...)
		m.offer(2, 100)
		m.sender.settle(t)
		m.offer(1, 1<<20+1)
		eventually(t, "lost", func() bool { return len(m.sender.losses()) == 1 })
		t.Log(m.sender.losses()[0])
		m.offer(7, 100)
		connect(t, m.sender.Client)
		m.speak(1)
		account := m.finish(referee.Rules{})
		if want := (referee.Account{Sent: 13, Once: 12, DoubtLost: 1}); account != want {
			t.Errorf("want %v", want)
		}
		if stats := m.sender.Stats(); stats.Connects != 2 {
			t.Errorf("%d connects, want one more than the first", stats.Connects)
		}
	})
}

// The relay is killed under a stream, and comes back. The real client may end its
// process then; another one takes its UUID, and the Go client goes on.
func TestT54_ARelayThatIsKilledBetweenGoAndPython(t *testing.T) {
	const kills = 5
	eachAlone(t, func(t *testing.T, r *process.Relay) {
		m := newMixed(t, r, newProxy(t, r), eager()...)
		dead := 0
		for range kills {
			m.offer(50, 100)
			r.Kill()
			m.Lost(m.peer)
			m.offer(50, 100)
			if err := r.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			connect(t, m.sender.Client)
			if !m.python.alive() || m.python.call("connect", nil).Error != nil {
				dead++
				m.python.kill()
				m.invite()
			}
			m.Connected(m.peer)
			m.meet(true)
			m.speak(1)
		}
		account := m.finish(referee.Rules{Spilling: true})
		stats := m.sender.Stats()
		t.Logf("%d kills; Go: %d connects; Python: %d processes ended", kills, stats.Connects, dead)
		if account.Once < kills || m.sender.Err() != nil {
			t.Errorf("%v, %v", account, m.sender.Err())
		}
	})
}
