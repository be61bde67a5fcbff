package referee

import "fmt"

// Account is the sum: Sent is the sum of the next eight, exactly.
type Account struct {
	Sent int // messages that clients have accepted

	Once           int // delivered, and nothing else
	DoubtDelivered int // reported in doubt, and delivered all the same
	DoubtBounced   int // reported in doubt, and bounced all the same
	DoubtLost      int // reported in doubt, and not seen again
	Bounced        int
	Refused        int
	Returned       int
	Spilt          int // handed on to a receiver whose connection then broke

	Copies int // arrivals beyond the first of a message
	Late   int // arrived after one sent later, and were in doubt, sent again, or Unordered
}

// add books a fate, and says what is wrong with it.
func (a *Account) add(f *fate, rules Rules, spills bool) (wrong string) {
	a.Sent++
	arrived := f.delivered + f.bounced
	if copies := arrived - 1; copies > 0 {
		a.Copies += copies
	}
	switch {
	case f.refused > 1, f.returned > 1, f.inDoubt > 1:
		wrong = "reported twice"
	case f.refused+f.returned > 0 && arrived+f.inDoubt > 0, f.refused > 0 && f.returned > 0:
		wrong = "said not to have been sent, and it was"
	case arrived > 1 && !rules.Resending:
		wrong = "arrived twice"
	}
	switch {
	case f.returned > 0:
		a.Returned++
	case f.refused > 0:
		a.Refused++
	case f.inDoubt > 0 && f.delivered > 0:
		a.DoubtDelivered++
	case f.inDoubt > 0 && f.bounced > 0:
		a.DoubtBounced++
	case f.inDoubt > 0:
		a.DoubtLost++
	case f.delivered > 0:
		a.Once++
	case f.bounced > 0:
		a.Bounced++
	case spills:
		a.Spilt++
	default:
		wrong = "lost without a word"
	}
	return wrong
}

// Exact says whether the sum is exact.
func (a Account) Exact() bool {
	return a.Sent == a.Once+a.DoubtDelivered+a.DoubtBounced+a.DoubtLost+a.Bounced+a.Refused+a.Returned+a.Spilt
}

// Plus is the sum of two accounts.
func (a Account) Plus(b Account) Account {
	return Account{
		Sent: a.Sent + b.Sent, Once: a.Once + b.Once,
		DoubtDelivered: a.DoubtDelivered + b.DoubtDelivered, DoubtBounced: a.DoubtBounced + b.DoubtBounced, DoubtLost: a.DoubtLost + b.DoubtLost,
		Bounced: a.Bounced + b.Bounced, Refused: a.Refused + b.Refused, Returned: a.Returned + b.Returned, Spilt: a.Spilt + b.Spilt,
		Copies: a.Copies + b.Copies, Late: a.Late + b.Late,
	}
}

// InDoubt is how many messages clients reported in doubt.
func (a Account) InDoubt() int { return a.DoubtDelivered + a.DoubtBounced + a.DoubtLost }

func (a Account) String() string {
	return fmt.Sprintf("sent %d = once %d + in doubt %d (delivered %d, bounced %d, lost %d) + bounced %d + refused %d + returned %d + spilt %d; copies %d, late %d",
		a.Sent, a.Once, a.InDoubt(), a.DoubtDelivered, a.DoubtBounced, a.DoubtLost, a.Bounced, a.Refused, a.Returned, a.Spilt, a.Copies, a.Late)
}
