package referee

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
)

// game is a referee, a sender, a receiver that is connected, and their messages.
type game struct {
	Referee
	a, b uuid.UUID
	sent []relay.Message
}

// play makes a game in which a sends n messages to b.
func play(n int) *game {
	g := &game{a: uuid.New(), b: uuid.New()}
	g.Connected(g.b)
	for number := range n {
		g.sent = append(g.sent, relay.Message{SourceUUID: g.a, PeerUUID: g.b, Description: g.Accepted(g.a, g.b, number, 10*number)})
	}
	return g
}

// bounced is what comes back from the relay.
func bounced(m relay.Message) relay.Message {
	m.Error = "not connected"
	return m
}

func TestEachFateIsBooked(t *testing.T) {
	g := play(8)
	g.Arrived(g.b, g.sent[0])
	g.InDoubt(g.sent[1], g.sent[2], g.sent[3])
	g.Arrived(g.b, g.sent[2])
	g.Arrived(g.b, g.sent[1]) // late, and in doubt
	g.Arrived(g.a, bounced(g.sent[3]))
	g.Arrived(g.a, bounced(g.sent[4]))
	g.Refused(g.sent[5])
	g.Returned(g.sent[6])
	if open := g.Open(); open != 1 {
		t.Errorf("%d open", open)
	}
	g.Lost(g.b) // and number 7 with it
	account, violations := g.Judge(Rules{Spilling: true})
	want := Account{Sent: 8, Once: 1, DoubtDelivered: 2, DoubtBounced: 1, Bounced: 1, Refused: 1, Returned: 1, Spilt: 1, Late: 1}
	if account != want || violations != nil || !account.Exact() {
		t.Errorf("%v, %q", account, violations)
	}
	if sum := account.Plus(account); sum.Sent != 16 || !sum.Exact() || sum.Late != 2 || sum.InDoubt() != 6 {
		t.Errorf("%v", sum)
	}
}

func TestEachViolationIsSeen(t *testing.T) {
	for want, wrong := range map[string]func(g *game){
		"lost without a word":        func(g *game) {},
		"arrived twice":              func(g *game) { g.Arrived(g.b, g.sent[0]); g.Arrived(g.b, g.sent[0]) },
		"arrived twice: ":            func(g *game) { g.Arrived(g.b, g.sent[0]); g.Arrived(g.a, bounced(g.sent[0])) },
		"{peer":                      func(g *game) { g.Arrived(g.a, bounced(g.sent[0])); g.Arrived(g.a, bounced(g.sent[0])) },
		"reported twice":             func(g *game) { g.InDoubt(g.sent[0]); g.InDoubt(g.sent[0]) },
		"said not to have been sent": func(g *game) { g.Returned(g.sent[0]); g.Arrived(g.b, g.sent[0]) },
		"it was:":                    func(g *game) { g.Refused(g.sent[0]); g.InDoubt(g.sent[0]) },
		"instead of":                 func(g *game) { g.Arrived(uuid.New(), g.sent[0]) },
		"was bounced to":             func(g *game) { g.Arrived(g.b, bounced(g.sent[0])) },
		"is accepted twice":          func(g *game) { g.Accepted(g.a, g.b, 0, 10) },
		"checksum":                   func(g *game) { g.sent[0].Description += "x"; g.Arrived(g.b, g.sent[0]) },
		"none of ours":               func(g *game) { g.sent[0].Description = ""; g.Arrived(g.b, g.sent[0]) },
		"never sent":                 func(g *game) { g.Arrived(g.b, relay.Message{SourceUUID: g.b, Description: text(0, 10)}) },
		"not":                        func(g *game) { g.sent[0].PeerUUID = g.a; g.Arrived(g.b, g.sent[0]) },
		"it ended":                   func(g *game) { g.Protest("it ended") },
		"after one sent later": func(g *game) {
			second := g.sent[0]
			second.Description = g.Accepted(g.a, g.b, 1, 0)
			g.Arrived(g.b, second)
			g.Arrived(g.b, g.sent[0])
		},
	} {
		g := play(1)
		wrong(g)
		if _, violations := g.Judge(Rules{}); !strings.Contains(strings.Join(violations, "\n"), want) {
			t.Errorf("%q is not seen: %q", want, violations)
		}
	}
}

func TestOnlyAReceiverThatLosesItsConnectionSpills(t *testing.T) {
	for name, row := range map[string]struct {
		rules  Rules
		before func(g *game)
		after  func(g *game)
		spilt  int
	}{
		"never lost":            {Rules{Spilling: true}, func(g *game) {}, func(g *game) {}, 0},
		"lost before":           {Rules{Spilling: true}, func(g *game) { g.Lost(g.b); g.Connected(g.b) }, func(g *game) {}, 0},
		"lost after":            {Rules{Spilling: true}, func(g *game) {}, func(g *game) { g.Lost(g.b); g.Connected(g.b) }, 1},
		"not there":             {Rules{Spilling: true}, func(g *game) { g.Lost(g.b) }, func(g *game) { g.Connected(g.b) }, 1},
		"against the rules":     {Rules{}, func(g *game) {}, func(g *game) { g.Lost(g.b) }, 0},
		"somebody else's fault": {Rules{Spilling: true}, func(g *game) {}, func(g *game) { g.Lost(g.a) }, 0},
	} {
		g := play(0)
		row.before(g)
		g.Accepted(g.a, g.b, 0, 10)
		row.after(g)
		account, violations := g.Judge(row.rules)
		if account.Spilt != row.spilt || (len(violations) == 0) != (row.spilt == 1) || account.Exact() != (row.spilt == 1) {
			t.Errorf("%s: %v, %q", name, account, violations)
		}
	}
}

func TestWhatALaterOneHasPassedIsNotSpilt(t *testing.T) {
	for name, row := range map[string]struct {
		between, before, after func(g *game, connections *uint64) // of: accepting two, one arriving, the end
		spilt                  int
	}{
		"a connection that breaks afterwards": {nop, nop, lose, 0},
		"a connection that breaks before":     {nop, lose, nop, 1},
		"a connection that breaks between":    {lose, nop, nop, 1},
		"events that come late":               {nop, func(g *game, n *uint64) { *n++ }, func(g *game, n *uint64) { g.Lost(g.b) }, 1},
	} {
		g, connections := play(0), uint64(1)
		g.Watch(g.b, func() uint64 { return connections })
		g.Accepted(g.a, g.b, 0, 10)
		row.between(g, &connections)
		second := relay.Message{SourceUUID: g.a, PeerUUID: g.b, Description: g.Accepted(g.a, g.b, 1, 10)}
		row.before(g, &connections)
		g.Arrived(g.b, second)
		row.after(g, &connections)
		account, violations := g.Judge(Rules{Spilling: true})
		if account.Once != 1 || account.Spilt != row.spilt || (len(violations) == 0) != (row.spilt == 1) {
			t.Errorf("%s: %v, %q", name, account, violations)
		}
	}
}

func nop(*game, *uint64) {}

func lose(g *game, connections *uint64) {
	g.Lost(g.b)
	*connections++
	g.Connected(g.b)
}

func TestWhatIsSentAgainMayArriveAgain(t *testing.T) {
	g := play(3)
	for _, n := range []int{0, 2, 1, 2, 0} {
		g.Arrived(g.b, g.sent[n])
	}
	account, violations := g.Judge(Rules{Resending: true})
	if want := (Account{Sent: 3, Once: 3, Copies: 2, Late: 1}); account != want || violations != nil {
		t.Errorf("%v, %q", account, violations)
	}
}

func TestTheOrderOfSeveralWaysIsCounted(t *testing.T) {
	g := play(2)
	g.Arrived(g.b, g.sent[1])
	g.Arrived(g.b, g.sent[0])
	account, violations := g.Judge(Rules{Unordered: true})
	if want := (Account{Sent: 2, Once: 2, Late: 1}); account != want || violations != nil {
		t.Errorf("%v, %q", account, violations)
	}
}

func TestBouncesHaveNoOrder(t *testing.T) {
	g := play(2)
	g.Arrived(g.a, bounced(g.sent[1]))
	g.Arrived(g.a, bounced(g.sent[0]))
	account, violations := g.Judge(Rules{})
	if want := (Account{Sent: 2, Bounced: 2}); account != want || violations != nil {
		t.Errorf("%v, %q", account, violations)
	}
}

func TestWhatIsWithdrawnWasNotSent(t *testing.T) {
	g := play(1)
	g.Withdrawn(g.a, 0)
	if account, violations := g.Judge(Rules{}); account != (Account{}) || violations != nil {
		t.Errorf("%v, %q", account, violations)
	}
}

func TestTextsAreWhole(t *testing.T) {
	for size := range 300 {
		s := text(size, size)
		if number, err := parse(s); number != size || err != nil || !utf8.ValidString(s) || len(s) < size {
			t.Fatalf("%q: %d, %v", s, number, err)
		}
		if size > 0 {
			if _, err := parse(s[:len(s)-1]); err == nil {
				t.Fatalf("%q is cut, and passes", s)
			}
		}
	}
}
