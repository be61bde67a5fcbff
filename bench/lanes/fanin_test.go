package lanes

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/bench/payloads"
)

// leaky is a fan-in that loses the first message that arrives, or mistakes it
// for another's.
type leaky struct {
	fanIn
	mistake bool
	did     bool
}

func (l *leaky) next(ctx context.Context) (relay.Message, error) {
	m, err := l.fanIn.next(ctx)
	if l.did || err != nil {
		return m, err
	}
	l.did = true
	if !l.mistake {
		return l.fanIn.next(ctx)
	}
	for _, s := range l.senders() {
		if s.UUID() != m.SourceUUID {
			m.SourceUUID = s.UUID()
			break
		}
	}
	return m, nil
}

func testFanIn(t *testing.T, open func(context.Context) (fanIn, error)) {
	const n = 100
	p := payloads.New(64)
	t.Run("whole", func(t *testing.T) {
		rate, err := gathering(open, n, p)(t.Context())
		if err != nil || len(rate) != 1 || rate[0] <= 0 {
			t.Fatalf("%v messages/s, %v", rate, err)
		}
	})
	t.Run("a message of another", func(t *testing.T) {
		_, err := gathering(func(ctx context.Context) (fanIn, error) {
			f, err := open(ctx)
			return &leaky{fanIn: f, mistake: true}, err
		}, n, p)(t.Context())
		if err == nil || !strings.Contains(err.Error(), "want") {
			t.Fatalf("not noticed: %v", err)
		}
	})
	t.Run("one of them lost", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := gathering(func(context.Context) (fanIn, error) {
			f, err := open(t.Context())
			return &leaky{fanIn: f}, err
		}, n, p)(ctx)
		if err == nil {
			t.Fatal("not noticed")
		}
	})
}

func TestManyRelays(t *testing.T) { testFanIn(t, openManyRelays) }
func TestOneRelay(t *testing.T)   { testFanIn(t, openOneRelay) }
