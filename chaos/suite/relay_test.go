package suite

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/faultproxy"
	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/referee"
	"github.com/seed73300619/relay/codec"
)

// match is a relay, a sender and a receiver, and a referee who counts.
type match struct {
	referee          referee.Referee
	journal          *journal
	proxy            *faultproxy.Proxy // before the sender
	sender, receiver *player
	listening        sync.WaitGroup
}

// newMatch starts the relay and connects both. Options are the sender's.
func newMatch(t *testing.T, r *process.Relay, options ...relay.Option) *match {
	t.Helper()
	m := &match{journal: &journal{began: time.Now()}}
	revive(t, r)
	t.Cleanup(r.Kill)
	dice := rand.New(rand.NewPCG(1, 2))
	var err error
	if m.proxy, err = faultproxy.New(strings.TrimPrefix(r.URL, "ws://")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.proxy.Close() })
	if m.receiver, err = newPlayer("receiver", r.URL, dice, &m.referee, m.journal); err != nil {
		t.Fatal(err)
	}
	if m.sender, err = newPlayer("sender", m.proxy.URL(), dice, &m.referee, m.journal, options...); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*player{m.receiver, m.sender} {
		m.listening.Go(p.listen)
		m.do(t, p, (*player).connect)
	}
	return m
}

// do does something that is not to take long.
func (m *match) do(t *testing.T, p *player, what func(*player, context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := what(p, ctx); err != nil {
		t.Fatalf("%v\n%v", err, m.journal)
	}
}

// end has everything settle, ends both, and judges.
func (m *match) end(t *testing.T, rules referee.Rules) referee.Account {
	t.Helper()
	m.do(t, m.sender, (*player).settle)
	m.do(t, m.receiver, (*player).mark)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m.sender.leave(ctx)
	m.receiver.leave(ctx)
	m.listening.Wait()
	account, violations := m.referee.Judge(rules)
	if violations = append(violations, m.journal.failures...); violations != nil || !account.Exact() {
		t.Errorf("%.20q\n%v", violations, m.journal)
	}
	t.Log(account)
	return account
}

// each runs the test with a relay of each kind that is not started yet.
func each(t *testing.T, test func(t *testing.T, r *process.Relay)) {
	for _, make := range relays(t) {
		r, err := make()
		if err != nil {
			t.Fatal(err)
		}
		t.Run(r.Kind, func(t *testing.T) {
			t.Parallel()
			test(t, r)
		})
	}
}

// The relay is stopped for five seconds and then goes on.
func TestT11_ARelayThatIsStoppedAndContinued(t *testing.T) {
	for name, row := range map[string]struct {
		interval, timeout time.Duration // of the sender's heartbeat
		reconnects        bool
	}{
		"the bound is 10 s": {2 * time.Second, 8 * time.Second, false},
		"the bound is 2 s":  {time.Second, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, r *process.Relay) {
				m := newMatch(t, r, relay.WithHeartbeat(row.interval, row.timeout), relay.WithTimeout(time.Second+row.timeout))
				ctx, stop := context.WithCancel(t.Context())
				var talking sync.WaitGroup
				talking.Go(func() {
					for wait(ctx, time.Millisecond) && m.sender.offer(ctx, m.receiver.UUID(), 100) {
					}
				})
				heard(t, &m.referee, 100)
				r.Freeze()
				wait(t.Context(), 5*time.Second)
				r.Thaw()
				m.do(t, m.sender, (*player).connect)
				heard(t, &m.referee, 100)
				stop()
				talking.Wait()
				account := m.end(t, referee.Rules{})
				if connects := m.sender.Stats().Connects; (connects > 1) != row.reconnects {
					t.Errorf("%d registrations", connects)
				}
				if inDoubt := account.InDoubt(); (inDoubt > 0) != row.reconnects {
					t.Errorf("%d in doubt", inDoubt)
				}
			})
		})
	}
}

// A Python relay that waits for a peer which does not read still answers pings,
// and has not handled what came after. Then it dies.
func TestT17_APongConfirmsNothing(t *testing.T) {
	for name, row := range map[string]struct {
		options []relay.Option
		rules   referee.Rules
		doubt   int // of the ten messages behind
	}{
		"without WithResend": {nil, referee.Rules{Spilling: true}, 10}, // what the one that does not read was sent
		"WithResend":         {[]relay.Option{relay.WithResend(1000)}, referee.Rules{Spilling: true, Resending: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, make := range relays(t)[1:] {
				t.Parallel()
				r, err := make()
				if err != nil {
					t.Fatal(err)
				}
				m := newMatch(t, r, append(row.options, relay.WithHeartbeat(200*time.Millisecond, 5*time.Second))...)
				stuck := uuid.New()
				neverRead(t, r, stuck)
				for n := 0; m.handled(t, 2*time.Second); n++ { // until the stuck one's buffers are full
					if n == 1000 {
						t.Fatal("the stuck one takes everything")
					}
					m.sender.offer(t.Context(), stuck, maxMessageBytes/2)
				}
				before := m.referee.Delivered()
				for range 10 {
					m.sender.offer(t.Context(), m.receiver.UUID(), 100)
				}
				if m.handled(t, 2*time.Second) {
					t.Fatal("the relay has handled what it was sent")
				}
				stats := m.sender.Stats()
				if stats.Connects != 1 || m.sender.State() != relay.Connected || stats.RoundTrip == 0 {
					t.Errorf("it is %v, and not because of pongs: %+v", m.sender.State(), stats)
				}
				if delivered := m.referee.Delivered() - before; delivered != 0 {
					t.Errorf("%d were delivered", delivered)
				}
				m.proxy.Refuse(true)
				r.Kill()
				revive(t, r)
				m.do(t, m.receiver, (*player).connect)
				m.proxy.Refuse(false)
				m.do(t, m.sender, (*player).connect)
				account := m.end(t, row.rules)
				if delivered := m.referee.Delivered() - before; delivered != 10-row.doubt+1 { // and the last mark
					t.Errorf("%d of 10 were delivered after that", delivered-1)
				}
				if account.DoubtLost < row.doubt || row.doubt == 0 && account.InDoubt() != 0 {
					t.Errorf("%d in doubt", account.InDoubt())
				}
				if resent := m.sender.Stats().Resent; account.Copies > int(resent) || (resent > 0) != (row.doubt == 0) {
					t.Errorf("%d resent, %d copies", resent, account.Copies)
				}
			}
		})
	}
}

// handled reports whether the relay handles what the sender has sent so far
// within d.
func (m *match) handled(t *testing.T, d time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	err := m.sender.Flush(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}

// neverRead registers a peer and never reads from its connection.
func neverRead(t *testing.T, r *process.Relay, id uuid.UUID) {
	t.Helper()
	conn, err := net.Dial("tcp4", strings.TrimPrefix(r.URL, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	dialer := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	ws, _, err := dialer.Dial(r.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	registration, err := codec.Registration{Name: "stuck", UUID: id}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ws.WriteMessage(websocket.TextMessage, registration); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.ReadMessage(); err != nil {
		t.Fatal(err)
	}
}
