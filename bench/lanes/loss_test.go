package lanes

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay/bench/payloads"
)

// lossy is a lane that loses the second message of each run.
type lossy struct {
	lane
	short bool // nothing comes in its place
}

func (l lossy) send(ctx context.Context, n int, p *payloads.Set) error {
	if l.short {
		n--
	}
	return l.lane.send(ctx, n, &payloads.Set{
		Text:  slices.Concat(p.Text[:1], p.Text[2:]),
		Bytes: slices.Concat(p.Bytes[:1], p.Bytes[2:]),
	})
}

func testLane(t *testing.T, open func(context.Context) (lane, error)) {
	const n = 200
	p := payloads.New(64)
	t.Run("whole", func(t *testing.T) {
		rate, err := oneWay(open, n, p)(t.Context())
		if err != nil || len(rate) != 1 || rate[0] <= 0 {
			t.Fatalf("%v messages/s, %v", rate, err)
		}
	})
	t.Run("one of them lost", func(t *testing.T) {
		_, err := oneWay(func(ctx context.Context) (lane, error) {
			l, err := open(ctx)
			return lossy{lane: l}, err
		}, n, p)(t.Context())
		if err == nil || !strings.Contains(err.Error(), "want") {
			t.Fatalf("the loss was not noticed: %v", err)
		}
	})
	t.Run("one too few", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := oneWay(func(context.Context) (lane, error) {
			l, err := open(t.Context())
			return lossy{lane: l, short: true}, err
		}, n, p)(ctx)
		if err == nil {
			t.Fatal("the loss was not noticed")
		}
	})
}

func TestRelay(t *testing.T)          { testLane(t, openRelay) }
func TestNATS(t *testing.T)           { testLane(t, openNATS) }
func TestNATSWithJSON(t *testing.T)   { testLane(t, openNATSWithJSON) }
func TestGorilla(t *testing.T)        { testLane(t, openGorilla) }
func TestDrainedRelay(t *testing.T)   { testLane(t, openDrainedRelay) }
func TestDrainedGorilla(t *testing.T) { testLane(t, openDrainedGorilla(0)) }
