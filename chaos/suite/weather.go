package suite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/seed73300619/relay/chaos/faultproxy"
	"github.com/seed73300619/relay/chaos/process"
)

// weather is what happens to the links and the relay of a run, at random.
type weather struct {
	links   []*link
	relay   *process.Relay
	journal *journal
	seed    uint64

	mu      sync.Mutex
	strikes map[string]int // by the fault's name
}

// blow lets faults happen until ctx ends, and then leaves everything healed. Each
// link, and the relay, has a storm of its own, whose sequence of faults and how
// long each lasts depend on the seed alone.
func (w *weather) blow(ctx context.Context) {
	var storms sync.WaitGroup
	for number, l := range w.links {
		storms.Go(func() {
			dice := rand.New(rand.NewPCG(w.seed, uint64(number)))
			for wait(ctx, ms(dice, 50, 3000)) {
				w.strike(ctx, fmt.Sprintf("link %d", number), l, dice)
			}
		})
	}
	storms.Go(func() {
		dice := rand.New(rand.NewPCG(w.seed, 1<<32))
		for wait(ctx, ms(dice, 2000, 8000)) {
			fault := relayFaults[dice.IntN(len(relayFaults))]
			w.note(fault.name, "the relay")
			if err := fault.strike(ctx, w.relay, dice); err != nil {
				w.journal.fail("the relay, %s: %v", fault.name, err)
			}
			w.journal.note("the relay is well again")
		}
	})
	storms.Wait()
	for _, l := range w.links {
		// A link that has swallowed bytes is none any more.
		l.front.Each((*faultproxy.Link).Reset)
	}
	w.journal.note("all links are cut once more, and then left in peace")
}

func (w *weather) strike(ctx context.Context, name string, l *link, dice *rand.Rand) {
	fault, length := linkFaults[dice.IntN(len(linkFaults))], ms(dice, 10, 1500)
	w.note(fault.name, name)
	heal, err := fault.strike(l, dice)
	if err != nil {
		w.journal.fail("%s, %s: %v", name, fault.name, err)
		return
	}
	wait(ctx, length)
	if err := heal(); err != nil {
		w.journal.fail("%s, no longer %s: %v", name, fault.name, err)
	}
	w.journal.note("%s: no longer %s", name, fault.name)
}

func (w *weather) note(fault, target string) {
	w.mu.Lock()
	w.strikes[fault]++
	w.mu.Unlock()
	w.journal.note("%s: %s", target, fault)
}
