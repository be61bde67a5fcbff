package links_test

import (
	"bytes"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/faultproxy"
	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/referee"
)

// An end without a close frame is abnormal, and retried.
func TestT14_FINWithoutACloseFrame(t *testing.T) {
	each(t, func(t *testing.T, r *process.Relay) {
		for name, fault := range map[string]func(*faultproxy.Link){
			"both ways":       (*faultproxy.Link).FIN,
			"half-close up":   func(l *faultproxy.Link) { l.HalfClose(faultproxy.Up) },
			"half-close down": func(l *faultproxy.Link) { l.HalfClose(faultproxy.Down) },
		} {
			t.Run(name, func(t *testing.T) {
				g := newGame(t, r, newProxy(t, r), eager()...)
				g.offer(20, 100)
				g.sender.settle(t)
				fault(g.newest())
				g.offer(20, 100) // into the link that is ending
				g.comesBack(t)
				g.offer(20, 100)
				g.end(referee.Rules{})
			})
		}
	})
}

// comesBack waits until the sender has lost its connection and has another one.
func (g *game) comesBack(t *testing.T) {
	t.Helper()
	eventually(t, "lost", func() bool { return len(g.sender.losses()) == 1 })
	loss := g.sender.losses()[0]
	if loss.To != relay.Backoff || loss.Err == nil {
		t.Errorf("%v; want a loss that is retried", loss)
	}
	t.Log(loss)
	connect(t, g.sender.Client)
	if stats := g.sender.Stats(); stats.Connects != 2 {
		t.Errorf("%d connects", stats.Connects)
	}
}

// The relay says goodbye, and its FIN never comes.
func TestT14_ACloseFrameAndNoFIN(t *testing.T) {
	eachAlone(t, func(t *testing.T, r *process.Relay) {
		g := newGame(t, r, newProxy(t, r), eager()...)
		g.offer(20, 100)
		g.sender.settle(t)
		g.proxy.Each(func(l *faultproxy.Link) { l.KeepOpen(faultproxy.Down, true) })
		if err := r.Stop(t.Context()); err != nil {
			t.Log(err)
		}
		eventually(t, "lost", func() bool { return len(g.sender.losses()) == 1 })
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.comesBack(t)
		connect(t, g.receiver.Client)
		eventually(t, "one session for each client", func() bool { return sessions() == 2 })
		g.offer(20, 100)
		g.end(referee.Rules{})
	})
}

// sessions counts the goroutines that read from relays.
func sessions() int {
	var profile bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&profile, 2)
	return strings.Count(profile.String(), "relay.(*session).read(")
}

// Close is done within its bound, whatever the link does.
func TestT14_CloseEndsWithinItsBound(t *testing.T) {
	const timeout = time.Second
	each(t, func(t *testing.T, r *process.Relay) {
		for name, fault := range map[string]func(*faultproxy.Link){
			"no FIN":    func(l *faultproxy.Link) { l.KeepOpen(faultproxy.Down, true) },
			"half-open": (*faultproxy.Link).HalfOpen,
			"frozen":    (*faultproxy.Link).Freeze,
		} {
			t.Run(name, func(t *testing.T) {
				g := newGame(t, r, newProxy(t, r), relay.WithTimeout(timeout))
				g.offer(20, 100)
				g.sender.settle(t)
				fault(g.newest())
				g.offer(20, 100)
				began := time.Now()
				g.sender.leave()
				took := time.Since(began)
				if took > 2*timeout+slack {
					t.Errorf("Close took %v", took)
				}
				t.Logf("Close took %v", took.Round(time.Millisecond))
				account := g.end(referee.Rules{})
				if name == "no FIN" && account.Once != 40 || name != "no FIN" && account.DoubtLost != 20 {
					t.Errorf("%v", account)
				}
			})
		}
	})
}
