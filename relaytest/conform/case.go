package conform

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A Case is one row of the table. Cases are independent of each other, and one
// may be run by several goroutines at a time.
type Case struct {
	Section string // what it is about; the table is ordered by it
	Name    string // a sentence, unique in the table

	// ProxyStore and ThisRelay say what each does where the two differ, and Why
	// says why that is meant. All three are empty where both do the same.
	ProxyStore, ThisRelay, Why string

	Slow  bool // it takes from 10 seconds to a minute
	Heavy bool // it sends tens of megabytes

	limited bool // it needs Target.MaxMessageBytes

	steps        []step // that are the same on both
	theirs, ours []step // what follows, where the two differ
}

// Differs reports whether ProxyStore's relay and this one are meant to differ.
func (c Case) Differs() bool { return c.Why != "" }

// A Target is a relay on which cases are run.
type Target struct {
	// URL is its address, ws://host:port or wss://host. A path or a query is sent
	// along. Proxies of the environment are not used.
	URL string
	// Header is sent with each opening handshake; nil for none. A relay that
	// wants to know its users needs Authorization here.
	Header http.Header
	// TLS is for wss; nil for the defaults.
	TLS *tls.Config
	// MaxMessageBytes is the limit that the relay was configured with (close code
	// 4003). Without it, 0, the cases about it are skipped.
	MaxMessageBytes int
	// Patience is how long a case may take until it has failed, beside the time
	// that it is made of. Zero means 10 seconds.
	Patience time.Duration
}

// An Outcome is what a relay has made of a case.
type Outcome uint8

// The outcomes. Those of a case where the two relays differ are
// LikeProxyStore and LikeThisRelay instead of Agreed.
const (
	Failed         Outcome = iota // as neither of the two
	Agreed                        // as both do
	LikeProxyStore                // as ProxyStore 1.1.0 does
	LikeThisRelay                 // as package server does
	Skipped                       // the target lacks what the case needs
)

// String returns "failed", "ok", "as ProxyStore", "as this relay" or "skipped".
func (o Outcome) String() string {
	return [...]string{"failed", "ok", "as ProxyStore", "as this relay", "skipped"}[o]
}

// A Result is what came of a case.
type Result struct {
	Outcome Outcome
	// Account tells, step by step, what happened and where it departed from what
	// should; it is written for people, and empty unless the case has failed. It
	// shows no header.
	Account string
}

// The time that slow cases are made of, and that heavy ones may need.
const (
	defaultPatience = 10 * time.Second
	slowTime        = 75 * time.Second
	heavyTime       = 30 * time.Second
)

// Run plays the case on a relay. It returns when all its connections are
// closed. Where two ends are possible, both are tried, at the same time and
// under UUIDs of their own. The end of ctx fails the case.
func (c Case) Run(ctx context.Context, target Target) Result {
	if c.limited && target.MaxMessageBytes == 0 {
		return Result{Outcome: Skipped}
	}
	patience := target.Patience
	if patience <= 0 {
		patience = defaultPatience
	}
	if c.Slow {
		patience += slowTime
	}
	if c.Heavy {
		patience += heavyTime
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !c.Differs() {
		account, ok := play(ctx, &target, c.steps)
		if ok {
			return Result{Outcome: Agreed}
		}
		return Result{Account: account}
	}
	return c.runBoth(ctx, &target)
}

// runBoth plays both ends. They exclude each other, so the first that succeeds
// decides, and the other need not wait for what will not come.
func (c Case) runBoth(ctx context.Context, target *Target) Result {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := []struct {
		outcome Outcome
		text    string
		steps   []step
	}{{LikeProxyStore, c.ProxyStore, c.theirs}, {LikeThisRelay, c.ThisRelay, c.ours}}
	results := make(chan Result, len(ends)) // one of each
	for _, end := range ends {
		go func() { // ends with ctx at the latest; all are waited for below
			account, ok := play(ctx, target, append(c.steps[:len(c.steps):len(c.steps)], end.steps...))
			if ok {
				results <- Result{Outcome: end.outcome}
				return
			}
			results <- Result{Account: fmt.Sprintf("not %v (%s):\n%s", end.outcome, end.text, account)}
		}()
	}
	var failures []string
	decided := Result{}
	for range ends {
		switch r := <-results; {
		case r.Outcome == Failed:
			failures = append(failures, r.Account)
		case decided.Outcome == Failed:
			decided = r
			cancel()
		}
	}
	if decided.Outcome == Failed {
		decided.Account = strings.Join(failures, "")
	}
	return decided
}
