package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The bounds. The first attempt after a loss comes
// at random within the window of the default backoff.
const (
	window   = time.Second
	backWith = 30 * time.Second
	grain    = 100 * time.Millisecond // in which attempts are looked at, finer than the window
)

// When files are counted.
const (
	empty  = iota // before there were clients
	before        // with all clients connected
	after         // with all clients connected again
	last          // after all clients have gone
	moments
)

// figures are what came of a plan.
type figures struct {
	plan
	end, start    time.Time   // when the end began, and when the relay listened again
	attempts      []time.Time // for which the clients' backoff had planned
	registrations []time.Time // that succeeded after the start
	ended         int         // clients that gave up
	files         [moments]files
}

// bound is the most that may happen in d: twice what comes if all n come evenly
// within the window.
func (f *figures) bound(d time.Duration) int {
	return int(2 * int64(f.clients) * int64(d) / int64(window))
}

// back is how long it took until the last one was back, from the start.
func (f *figures) back() time.Duration {
	if len(f.registrations) == 0 {
		return 0
	}
	return max(0, slices.MaxFunc(f.registrations, time.Time.Compare).Sub(f.start))
}

// peak is the most that happened within any d.
func peak(times []time.Time, d time.Duration) (most int) {
	times = slices.SortedFunc(slices.Values(times), time.Time.Compare)
	first := 0
	for i, t := range times {
		for t.Sub(times[first]) >= d {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// check says what is out of its bound.
func (f *figures) check() error {
	var wrong []error
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if n, bound := peak(f.registrations, time.Second), f.bound(time.Second); n > bound {
		bad("%d registrations in a second, more than %d", n, bound)
	}
	if n, bound := peak(f.attempts, grain), f.bound(grain); n > bound {
		bad("%d attempts were planned for the same %v, more than %d", n, grain, bound)
	}
	if took := f.back(); took > backWith {
		bad("the last one was back after %v, later than %v", took, backWith)
	}
	if f.ended != 0 {
		bad("%d clients have ended", f.ended)
	}
	if n := len(f.registrations); n < f.clients {
		bad("%d of %d are back", n, f.clients)
	}
	if f.files[after].exceed(f.files[before]) {
		bad("files: %+v before, %+v after", f.files[before], f.files[after])
	}
	if f.files[last].exceed(f.files[empty]) {
		bad("files: %+v at first, %+v at last", f.files[empty], f.files[last])
	}
	return errors.Join(wrong...)
}

// markdown is the table.
func (f *figures) markdown() string {
	var b strings.Builder
	row := func(what, bound, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", what, fmt.Sprintf(format, args...), bound)
	}
	let := "no bound"
	if f.rate > 0 {
		let = fmt.Sprintf("%d a second", f.rate)
	}
	fmt.Fprintf(&b, "| %d clients, %s, accept rate: %s | measured | bound |\n|---|---|---|\n", f.clients, f.how, let)
	row("relay away", "", "%.2f s", f.start.Sub(f.end).Seconds())
	row("peak of registrations in a second", fmt.Sprintf("≤ %d", f.bound(time.Second)), "%d", peak(f.registrations, time.Second))
	row("peak of registrations in 100 ms", "", "%d", peak(f.registrations, grain))
	row("peak of planned attempts in 100 ms", fmt.Sprintf("≤ %d", f.bound(grain)), "%d", peak(f.attempts, grain))
	row("attempts", "", "%d", len(f.attempts))
	row("all back after", fmt.Sprintf("≤ %.0f s", backWith.Seconds()), "%.2f s", f.back().Seconds())
	row("ended clients", "0", "%d", f.ended)
	row("files of the fleet, before / after", "no more", "%d / %d", f.files[before].fleet, f.files[after].fleet)
	row("files of the relay, before / after", "no more", "%d / %d", f.files[before].relay, f.files[after].relay)
	row("files of the fleet, without clients, first / last", "no more", "%d / %d", f.files[empty].fleet, f.files[last].fleet)
	row("files of the relay, without clients, first / last", "no more", "%d / %d", f.files[empty].relay, f.files[last].relay)
	return b.String()
}
