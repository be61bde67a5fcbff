package main

import (
	"slices"
	"testing"
	"time"

	"github.com/seed73300619/relay/chaos/process"
)

// The program itself, with as many clients as a test has time for; the bounds are
// the same.
func TestT33_AFleetComesBackSpreadOut(t *testing.T) {
	t.Setenv("GOMAXPROCS", "1")
	binary, err := process.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{kill, term} {
		t.Run(how, func(t *testing.T) {
			f, err := run(t.Context(), binary, plan{clients: 300, how: how, rate: 500})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("\n%s", f.markdown())
			if err := f.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAPeakIsOfAnyWindow(t *testing.T) {
	var times []time.Time
	for _, ms := range []int{0, 900, 950, 1000, 1050, 1900, 3000} {
		times = append(times, time.UnixMilli(int64(ms)))
	}
	slices.Reverse(times)
	for window, want := range map[time.Duration]int{
		time.Second:            4, // from 900 on, or from 50 on: 1900 is a second later
		100 * time.Millisecond: 2,
		101 * time.Millisecond: 3,
		time.Hour:              7,
	} {
		if got := peak(times, window); got != want {
			t.Errorf("%d within %v, want %d", got, window, want)
		}
	}
}

func TestWhatIsOutOfBoundIsSaid(t *testing.T) {
	now := time.Now()
	good := func() *figures {
		f := &figures{plan: plan{clients: 40}, end: now, start: now}
		for i := range 40 {
			at := now.Add(time.Duration(i) * 20 * time.Millisecond)
			f.attempts, f.registrations = append(f.attempts, at), append(f.registrations, at)
		}
		return f
	}
	if err := good().check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(f *figures){
		"in step":        func(f *figures) { f.attempts = slices.Repeat([]time.Time{now}, 40) },
		"a peak":         func(f *figures) { f.registrations = slices.Repeat([]time.Time{now}, 81) },
		"late":           func(f *figures) { f.registrations[0] = now.Add(backWith + 1) },
		"one has ended":  func(f *figures) { f.ended = 1 },
		"one is away":    func(f *figures) { f.registrations = f.registrations[1:] },
		"a file is left": func(f *figures) { f.files[after].relay = 1 },
		"at last":        func(f *figures) { f.files[last].fleet = 1 },
	} {
		f := good()
		if spoil(f); f.check() == nil {
			t.Errorf("%s: nothing is said", name)
		}
	}
}
