package lanes

import (
	"context"
	"slices"
	"testing"

	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/bench/servers"
)

func TestCoder(t *testing.T) { testLane(t, openCoder) }
func TestGWS(t *testing.T)   { testLane(t, openGWS) }
func TestDERP(t *testing.T)  { testLane(t, openDERP(derpQueue)) }

func TestDERPWithADeepQueue(t *testing.T) { testLane(t, openDERP(deepDERPQueue)) }

func TestPython(t *testing.T) {
	servers.RequirePython(t)
	testLane(t, openPython)
}

// A fakeLane delivers what its fault makes of the messages.
type fakeLane struct {
	fault   func([][]byte) [][]byte
	arrived chan []byte
}

func (l *fakeLane) send(ctx context.Context, n int, p *payloads.Set) error {
	messages := l.fault(slices.Clone(p.Bytes[:n]))
	for i := range n {
		l.arrived <- messages[i]
	}
	return nil
}

func (l *fakeLane) receive(ctx context.Context, n int) (s payloads.Sum, err error) {
	for s.Messages < n {
		s.Add(<-l.arrived)
	}
	return s, nil
}

func (l *fakeLane) close() error { return nil }

func TestWhatALaneDoesToMessagesIsFound(t *testing.T) {
	const n = 10
	spare := []byte("00000010 ")
	for fault, do := range map[string]func([][]byte) [][]byte{
		"nothing": func(m [][]byte) [][]byte { return m },
		"loses":   func(m [][]byte) [][]byte { return append(slices.Delete(m, 4, 5), spare) },
		"repeats": func(m [][]byte) [][]byte { return slices.Insert(m, 5, m[4]) },
		"swaps": func(m [][]byte) [][]byte {
			m[4], m[5] = m[5], m[4]
			return m
		},
		"changes": func(m [][]byte) [][]byte {
			m[4] = slices.Clone(m[4])
			m[4][20]++
			return m
		},
		"cuts": func(m [][]byte) [][]byte {
			m[n-1] = m[n-1][:30]
			return m
		},
	} {
		_, err := carry(t.Context(), &fakeLane{do, make(chan []byte, n)}, n, payloads.New(64))
		if found := err != nil; found != (fault != "nothing") {
			t.Errorf("a lane that %s: %v", fault, err)
		}
	}
}

// What DERP drops is not taken for an error, nor counted. Less than its queue
// holds, the last with it, is not dropped.
func TestFlood(t *testing.T) {
	p := payloads.New(64)
	for _, n := range []int{derpQueue - 1, 5000} {
		figures, err := floodDERP(n, p)(t.Context())
		if err != nil || len(figures) != 2 || figures[0] <= 0 || figures[1] > 100 {
			t.Fatalf("of %d: %v, %v", n, figures, err)
		}
		if n < derpQueue && figures[1] != 100 {
			t.Errorf("%v%% of %d have arrived", figures[1], n)
		}
	}
	figures, err := floodRelay(5000, p)(t.Context())
	if err != nil || len(figures) != 2 || figures[0] <= 0 || figures[1] != 100 {
		t.Errorf("ours: %v, %v", figures, err)
	}
}
