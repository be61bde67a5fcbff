package links_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/seed73300619/relay/chaos/faultproxy"
	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/referee"
)

// cutBytes is after how many bytes a link is cut, at most: the table has a row
// for each number below.
const cutBytes = 400

// table runs a row for each byte on the relay of our own, and for each seventh on
// the Python one, which takes ten times as long; a few at a time. It returns the
// sum of all.
func table(t *testing.T, r *process.Relay, row func(t *testing.T, n int64) referee.Account) (sum referee.Account) {
	step := 1
	if r.Kind == "python" {
		step = 7
	}
	rows := make(chan int64)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for n := range rows {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					account := row(t, n)
					mu.Lock()
					defer mu.Unlock()
					sum = sum.Plus(account)
				})
			}
		})
	}
	count := 0
	for n := 0; n < cutBytes; n += step {
		rows <- int64(n)
		count++
	}
	close(rows)
	workers.Wait()
	t.Logf("%d rows: %v", count, sum)
	return sum
}

// A client registers all the same, and nothing that it was given is lost.
func TestT13_AResetAfterEachByteOfTheHandshake(t *testing.T) {
	each(t, func(t *testing.T, r *process.Relay) {
		for _, d := range []faultproxy.Direction{faultproxy.Up, faultproxy.Down} {
			t.Run(d.String(), func(t *testing.T) {
				var mu sync.Mutex
				early := 0 // rows whose cut came before the client was registered
				table(t, r, func(t *testing.T, n int64) referee.Account {
					p := newProxy(t, r)
					p.OnNew(func(l *faultproxy.Link) {
						p.OnNew(nil)
						l.At(d, n, (*faultproxy.Link).Reset)
					})
					g := newGame(t, r, p, eager()...)
					cut := p.Stats().Accepted > 1
					g.offer(3, 100)
					account := g.judge(referee.Rules{})
					if cut {
						mu.Lock()
						defer mu.Unlock()
						early++
					}
					if cut && account.Once != 3 || account.Sent != 3 {
						t.Errorf("%v", account)
					}
					return account
				})
				t.Logf("%d of the cuts were in the handshake or the registration", early)
				if early == 0 {
					t.Error("none was")
				}
			})
		}
	})
}

func TestT13_AResetAfterEachByteOfAMessage(t *testing.T) {
	each(t, func(t *testing.T, r *process.Relay) {
		sum := table(t, r, func(t *testing.T, n int64) referee.Account {
			p := newProxy(t, r)
			g := newGame(t, r, p, eager()...)
			l := g.newest()
			quiet(t, l)
			l.At(faultproxy.Up, l.Delivered(faultproxy.Up)+n, (*faultproxy.Link).Reset)
			g.offer(3, cutBytes)
			eventually(t, "lost", func() bool { return len(g.sender.losses()) > 0 })
			g.offer(3, cutBytes)
			account := g.judge(referee.Rules{})
			if s := p.Stats(); s.Accepted != 2 || account.Once < 3 {
				t.Errorf("%v; %+v; want one cut, and one link after it that works", account, s)
			}
			return account
		})
		if sum.DoubtLost == 0 || sum.DoubtDelivered > 0 {
			t.Errorf("a message of which the relay got only a part is in doubt, and not delivered: %v", sum)
		}
	})
}

// What was handed on to a link that then broke is lost, as the guarantees say; but
// it never arrives in part, and what comes after the break arrives whole.
func TestT13_AResetAfterEachByteOfAMessageReceived(t *testing.T) {
	each(t, func(t *testing.T, r *process.Relay) {
		table(t, r, func(t *testing.T, n int64) referee.Account {
			p := newProxy(t, r)
			g := newReceiversGame(t, r, p, eager()...)
			l := g.newest()
			quiet(t, l)
			l.At(faultproxy.Down, l.Delivered(faultproxy.Down)+n, (*faultproxy.Link).Reset)
			g.offer(3, cutBytes)
			eventually(t, "lost", func() bool { return len(g.receiver.losses()) > 0 })
			connect(t, g.receiver.Client)
			g.sender.settle(t) // so that the first three are no longer under way
			g.offer(3, cutBytes)
			account := g.judge(referee.Rules{Spilling: true})
			if account.Once != 3 || account.Spilt+account.Bounced != 3 {
				t.Errorf("%v; want the first three lost or bounced, and the others delivered", account)
			}
			return account
		})
	})
}
