// Package suite plays with clients, relays and faults: one run is some clients
// that talk through one relay while links and relay suffer from what a seed says.
package suite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/referee"
)

// Mode is what a run is about.
type Mode int

// The modes.
const (
	// Senders suffer, and half of the clients have a quiet link on which they
	// receive: nothing that was handed on may be lost.
	Senders Mode = iota
	// Everybody suffers, and everybody sends and receives.
	Everybody
	// Resenders are Everybody WithResend: at least once.
	Resenders
)

func (m Mode) String() string {
	return [...]string{"senders suffer", "everybody suffers", "everybody resends"}[m]
}

// Run is one run.
type Run struct {
	Seed     uint64
	Relay    *process.Relay // not started yet
	Clients  int            // at least 4
	Duration time.Duration  // of the weather
}

// Mode depends on the seed.
func (r Run) Mode() Mode { return Mode(r.Seed % 3) }

// Result is what came of a run.
type Result struct {
	Run
	Account  referee.Account
	Connects uint64         // registrations of all clients
	Strikes  map[string]int // faults by name
	Failures []string       // none: the run has passed
	Journal  string         // all that happened, a line each
}

// Play plays the run. When ctx ends the weather clears at once.
func (r Run) Play(ctx context.Context) Result {
	g := &game{Run: r, journal: &journal{began: time.Now()}, dice: rand.New(rand.NewPCG(r.Seed, 1<<33))}
	g.weather = &weather{relay: r.Relay, journal: g.journal, seed: r.Seed, strikes: make(map[string]int)}
	if err := g.play(ctx); err != nil {
		g.journal.fail("%v", err)
	}
	r.Relay.Kill()
	return g.result()
}

// game is a run that is being played.
type game struct {
	Run
	referee referee.Referee
	journal *journal
	dice    *rand.Rand
	weather *weather
	players []*player
	senders []*player
	peers   []uuid.UUID // whom they send to
}

func (g *game) play(ctx context.Context) error {
	if err := g.Relay.Start(context.Background()); err != nil {
		return err
	}
	defer func() {
		for _, l := range g.weather.links {
			l.close()
		}
	}()
	if err := g.enter(); err != nil {
		return err
	}
	var listeners sync.WaitGroup
	defer listeners.Wait()
	for _, p := range g.players {
		listeners.Go(p.listen)
	}
	defer g.leave()

	if err := g.all((*player).connect); err != nil {
		return err
	}
	g.storm(ctx)
	for _, step := range []func(*player, context.Context) error{(*player).settle, (*player).settle, (*player).mark} {
		if err := g.all(step); err != nil {
			return err
		}
	}
	if g.Mode() != Resenders && g.Seed%2 == 0 {
		g.offline()
	}
	return nil
}

// enter makes the links and the clients.
func (g *game) enter() error {
	for number := range g.Clients {
		url, options := g.Relay.URL, []relay.Option{}
		suffers := g.Mode() != Senders || number < g.Clients/2
		if suffers {
			l, err := newLink(strings.TrimPrefix(url, "ws://"))
			if err != nil {
				return err
			}
			g.weather.links = append(g.weather.links, l)
			url, options = l.front.URL(), append(options, relay.WithHeartbeat(time.Second, time.Second))
		}
		if g.Mode() == Resenders {
			options = append(options, relay.WithResend(1000))
		}
		p, err := newPlayer(fmt.Sprintf("client %d", number), url, rand.New(rand.NewPCG(g.Seed, 1<<34+uint64(number))), &g.referee, g.journal, options...)
		if err != nil {
			return err
		}
		g.players = append(g.players, p)
		if suffers {
			g.senders = append(g.senders, p)
		}
		if !suffers || g.Mode() != Senders {
			g.peers = append(g.peers, p.UUID())
		}
	}
	return nil
}

// storm lets the senders talk in the weather, until it clears.
func (g *game) storm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, g.Duration)
	defer cancel()
	var talks sync.WaitGroup
	for _, p := range g.senders {
		var others []uuid.UUID
		for _, peer := range g.peers {
			if peer != p.UUID() {
				others = append(others, peer)
			}
		}
		talks.Go(func() { p.talk(ctx, others) })
	}
	g.weather.blow(ctx)
	talks.Wait()
}

// all does something with all players at a time, within patience.
func (g *game) all(step func(*player, context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	errs := make(chan error, len(g.players))
	for _, p := range g.players {
		go func() { errs <- step(p, ctx) }()
	}
	var first error
	for range g.players {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

// offline has the clients take messages that they can never send, because there
// is no relay any more.
func (g *game) offline() {
	g.Relay.Kill()
	g.journal.note("the relay is killed for good")
	for _, p := range g.senders {
		for range 10 {
			p.offer(context.Background(), g.peers[0], size(p.dice))
		}
	}
}

// leave ends all clients.
func (g *game) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var leaving sync.WaitGroup
	for _, p := range g.players {
		leaving.Go(func() { p.leave(ctx) })
	}
	leaving.Wait()
}

// result judges the game.
func (g *game) result() Result {
	result := Result{Run: g.Run, Strikes: g.weather.strikes}
	var violations []string
	result.Account, violations = g.referee.Judge(referee.Rules{Spilling: g.Mode() != Senders, Resending: g.Mode() == Resenders})
	for _, violation := range violations {
		g.journal.fail("referee: %s", violation)
	}
	if !result.Account.Exact() {
		g.journal.fail("the sum is not exact: %v", result.Account)
	}
	var inDoubt, dropped, resent int
	for _, p := range g.players {
		stats := p.Stats()
		result.Connects += stats.Connects
		inDoubt += int(stats.InDoubt)
		dropped += int(stats.Dropped)
		resent += int(stats.Resent)
	}
	if inDoubt != result.Account.InDoubt() || dropped != result.Account.Refused || result.Account.Copies > resent {
		g.journal.fail("the clients count %d in doubt, %d dropped and %d resent: %v", inDoubt, dropped, resent, result.Account)
	}
	result.Failures, result.Journal = g.journal.failures, g.journal.String()
	return result
}
