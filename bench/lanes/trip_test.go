package lanes

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay/bench/payloads"
)

// astray is a trip on which the answer to the second question is another's.
type astray struct{ trip }

func (t astray) ask(ctx context.Context, i int, p *payloads.Set) ([]byte, error) {
	if i == 1 {
		i = 2
	}
	return t.trip.ask(ctx, i, p)
}

// testTrip tests a trip, and that it says so when gone, which takes its far end
// away, leaves the questions without an answer.
func testTrip(t *testing.T, open func(context.Context) (trip, error), gone func(trip)) {
	const n = 100
	p := payloads.New(64)
	t.Run("whole", func(t *testing.T) {
		took, err := roundTrips(open, n, p)(t.Context())
		if err != nil || len(took) != 2 || took[0] <= 0 || took[1] < took[0] {
			t.Fatalf("%v s, %v", took, err)
		}
	})
	t.Run("a wrong answer", func(t *testing.T) {
		_, err := roundTrips(func(ctx context.Context) (trip, error) {
			l, err := open(ctx)
			return astray{l}, err
		}, n, p)(t.Context())
		if err == nil || !strings.Contains(err.Error(), "want") {
			t.Fatalf("not noticed: %v", err)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := roundTrips(func(ctx context.Context) (trip, error) {
			l, err := open(ctx)
			if err == nil {
				gone(l)
			}
			return l, err
		}, n, p)(ctx)
		if err == nil {
			t.Fatal("not noticed")
		}
	})
}

func TestRelayTrip(t *testing.T) {
	testTrip(t, openRelayTrip, func(l trip) { l.(*relayTrip).to.Close() })
}

func TestGorillaTrip(t *testing.T) {
	testTrip(t, openGorillaTrip, func(l trip) { l.(*gorillaTrip).to.Close() })
}

func TestNATSTrip(t *testing.T) {
	testTrip(t, openNATSTrip, func(l trip) { l.(*natsTrip).to.Close() })
}
