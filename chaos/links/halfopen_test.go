package links_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/faultproxy"
	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/referee"
)

// slack is what a loaded machine may add to a bound of a second or more.
const slack = 5 * time.Second

func TestT9_AHalfOpenLinkIsNoticedWithinTheHeartbeat(t *testing.T) {
	const heartbeat, timeout, burst = 2 * time.Second, time.Second, 100
	each(t, func(t *testing.T, r *process.Relay) {
		// Before the Python relay answers the next registration, it waits up to ten
		// seconds for its end of the half-open link to say goodbye.
		g := newGame(t, r, newProxy(t, r), eager(relay.WithHeartbeat(heartbeat, timeout), relay.WithTimeout(30*time.Second))...)
		g.offer(burst, 100)
		g.sender.settle(t)

		g.proxy.Each((*faultproxy.Link).HalfOpen)
		broken := time.Now()
		g.write(burst, 100) // the kernel takes it, and nobody gets it
		eventually(t, "lost", func() bool { return len(g.sender.losses()) > 0 })
		took := g.sender.losses()[0].At.Sub(broken)
		if took > heartbeat+timeout+slack {
			t.Errorf("noticed after %v", took)
		}
		t.Logf("noticed after %v: %v", took.Round(time.Millisecond), g.sender.losses()[0].Err)

		connect(t, g.sender.Client)
		g.offer(burst, 100)
		account := g.end(referee.Rules{})
		if want := (referee.Account{Sent: 3 * burst, Once: 2 * burst, DoubtLost: burst}); account != want {
			t.Errorf("want %v", want)
		}
		if stats := g.sender.Stats(); stats.InDoubt != burst || stats.Connects != 2 {
			t.Errorf("%d in doubt, %d connects", stats.InDoubt, stats.Connects)
		}
	})
}

func TestT10_APeerThatStopsReadingWhileTheOutboxIsFull(t *testing.T) {
	const timeout, size = time.Second, 4 << 10
	each(t, func(t *testing.T, r *process.Relay) {
		p := newProxy(t, r, faultproxy.Buffer(4<<10))
		g := newGame(t, r, p, eager(relay.WithTimeout(timeout), relay.WithDialContext(smallBuffers), relay.WithOutbox(8))...)
		g.offer(50, size)
		g.sender.settle(t)

		p.Each((*faultproxy.Link).Freeze)
		frozen := time.Now()
		began := g.sent
		for full := false; !full; {
			select {
			case g.sender.Outbox() <- g.next(size):
			case <-time.After(timeout / 4):
				g.Withdrawn(g.sender.UUID(), g.sent)
				full = true
			}
		}
		t.Logf("full after %d messages of %d bytes", g.sent-began-1, size)
		eventually(t, "lost", func() bool { return len(g.sender.losses()) > 0 })
		loss := g.sender.losses()[0]
		// The reader may look for a close code for another second.
		if took := loss.At.Sub(frozen); took < timeout || took > 2*timeout+slack {
			t.Errorf("noticed after %v", took)
		} else {
			t.Logf("noticed after %v: %v", took.Round(time.Millisecond), loss.Err)
		}
		if !errors.Is(loss.Err, os.ErrDeadlineExceeded) {
			t.Errorf("lost because of %v, not of the write deadline", loss.Err)
		}

		g.offer(50, size)
		account := g.end(referee.Rules{})
		if account.Once < 100 || account.DoubtLost == 0 {
			t.Errorf("%d delivered, %d in doubt", account.Once, account.DoubtLost)
		}
	})
}

// smallBuffers dials as a client does, with buffers that soon fill.
func smallBuffers(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	return conn, errors.Join(tcp.SetWriteBuffer(4<<10), tcp.SetReadBuffer(4<<10))
}
