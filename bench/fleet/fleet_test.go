package fleet

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/bench/servers"
	"github.com/seed73300619/relay/bench/turns"
)

func TestMain(m *testing.M) {
	child.Main(servers.Roles, Roles)
	os.Setenv("GORACE", "atexit_sleep_ms=0") // children need not wait, at their end, for more races
	os.Exit(m.Run())
}

func TestEachSideTakesItsTurn(t *testing.T) {
	for _, m := range []turns.Measurement{Restart(true), Pairs(true), Scale(true)} {
		for _, c := range m.Cases {
			for _, side := range c.Sides {
				t.Run(m.ID+"/"+c.Name+"/"+side.Name, func(t *testing.T) {
					t.Parallel()
					values, err := side.Turn(t.Context())
					if err != nil || len(values) != len(c.Figures) {
						t.Fatalf("%v, %v", values, err)
					}
					for i, v := range values {
						if v <= 0 && c.Figures[i] != "memory of the server" { // of a few clients, it drowns in what comes and goes
							t.Errorf("%s: %v", c.Figures[i], v)
						}
					}
				})
			}
		}
	}
}

// stub is a member whose partner says what it is told to.
type stub struct {
	member
	said payloads.Sum
}

func (m stub) send(context.Context, int, *payloads.Set) error     { return nil }
func (m stub) receive(context.Context, int) (payloads.Sum, error) { return m.said, nil }
func (m stub) reach(context.Context) error                        { return nil }

func TestWhatIsSaidToAnotherIsNoticed(t *testing.T) {
	p := payloads.New(64)
	c := &crowd{members: []member{stub{said: p.Sum(1, 1)}, stub{said: p.Sum(0, 1)}}}
	if _, err := c.talk(t.Context(), speech{1, 64}); err != nil {
		t.Error(err)
	}
	if _, err := c.whisper(t.Context(), speech{2, 64}); err != nil {
		t.Error(err)
	}
	if _, err := c.present(t.Context(), struct{}{}); err != nil {
		t.Error(err)
	}
	c.members[1] = stub{said: p.Sum(2, 1)}
	if _, err := c.talk(t.Context(), speech{1, 64}); err == nil || !strings.Contains(err.Error(), "member 1 has received") {
		t.Errorf("talk: %v", err)
	}
	if _, err := c.whisper(t.Context(), speech{2, 64}); err == nil || !strings.Contains(err.Error(), "member 1 has received") {
		t.Errorf("whisper: %v", err)
	}
	if _, err := c.present(t.Context(), struct{}{}); err == nil || !strings.Contains(err.Error(), "member 1 has received") {
		t.Errorf("present: %v", err)
	}
}

func TestAMemberThatIsLostAgainIsWaitedFor(t *testing.T) {
	c := &crowd{members: make([]member, 2), watch: newWatch(2)}
	c.watch.lost(0)
	c.watch.back(0)
	c.watch.lost(0)
	c.watch.back(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.await(ctx, time.Now()); err == nil || !strings.Contains(err.Error(), "1 of 2 members are not back") {
		t.Error(err)
	}
	c.watch.back(0)
	if b, err := c.await(t.Context(), time.Now().Add(-time.Hour)); err != nil || b.All < 59*time.Minute || b.Half > b.All {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestAMemberThatHasEndedIsNotWaitedFor(t *testing.T) {
	c := &crowd{members: make([]member, 2), watch: newWatch(2)}
	c.watch.ended(1, errors.New("as it wanted"))
	if _, err := c.await(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), "member 1 has ended: as it wanted") {
		t.Error(err)
	}
}

func TestPeak(t *testing.T) {
	var at []time.Time
	for _, ms := range []int{0, 150, 160, 250, 251, 400} {
		at = append(at, time.Unix(0, 0).Add(time.Duration(ms)*time.Millisecond))
	}
	if got := peak(at); got != 30 {
		t.Errorf("%v a second, want 30", got)
	}
}
