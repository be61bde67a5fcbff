package interop

import (
	"errors"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// How the users of a relay survive its restart. Each row holds on the real
// relay, and so has to hold on ours.

// An ending is how a relay ends under processes that use it.
type ending struct {
	name string
	end  func(t testing.TB, r testRelay, users ...*process)
}

var endings = []ending{
	{"after SIGTERM", func(t testing.TB, r testRelay, _ ...*process) { r.Stop(t) }},
	{"after SIGKILL", func(t testing.TB, r testRelay, users ...*process) {
		// The kernel takes the connections of a killed relay down before its
		// listener, unless that takes care of it, as ours does. A real client that
		// redials in between is cut off, and ends its whole process. Ones that
		// notice a little later, as these do, do not.
		for _, p := range users {
			p.signal(syscall.SIGSTOP)
		}
		r.Kill(t)
		for _, p := range users {
			p.signal(syscall.SIGCONT)
		}
	}},
}

func TestPeerManagers_survive_a_restart_of_the_relay(t *testing.T) {
	t.Parallel()
	for _, kind := range []relayKind{realKind, ourCommandKind} {
		for _, ending := range endings {
			t.Run(kind.name+" "+ending.name, func(t *testing.T) {
				t.Parallel()
				r := startRelay(t, kind)
				alice, bob := startManager(t, r, "alice"), startManager(t, r, "bob")
				chat(t, "at first", alice, bob)
				ending.end(t, r, alice.process, bob.process)
				chat(t, "while the relay is down", alice, bob)
				r.Start(t)
				eventually(t, patience, "both are back", func() bool {
					return alice.ask(t, "stats", nil).Connected && bob.ask(t, "stats", nil).Connected
				})
				chat(t, "with the relay back", alice, bob)
				carol, dave := startManager(t, r, "carol"), startManager(t, r, "dave")
				chat(t, "new ones", carol, dave)

				// No relay can help with this: a real PeerManager does not read
				// from a relay any more once a connection to it was lost. Its
				// program has to be restarted before it can get to know others.
				err := carol.send(soon(t), alice, newPayload("str", 1), 2*time.Second)
				if exception, _ := errors.AsType[*pythonError](err); exception == nil || exception.Class != "PeerConnectionTimeoutError" {
					t.Errorf("a new one, to an old one: %v; want a PeerConnectionTimeoutError", err)
				}
			})
		}
	}
}

func TestEndpoints_survive_a_restart_of_the_relay(t *testing.T) {
	t.Parallel()
	for _, kind := range []relayKind{realKind, configuredKind} {
		for _, ending := range endings {
			t.Run(kind.name+" "+ending.name, func(t *testing.T) {
				t.Parallel()
				r := kind.new(t, nil)
				endpointsSurvive(t, r, r, ending)
			})
		}
	}
	t.Run("the real relay, whose place ours takes", func(t *testing.T) {
		t.Parallel()
		ours := newConfiguredRelay(t)
		endpointsSurvive(t, ours.real(), ours, endings[0])
	})
}

// endpointsSurvive ends the first relay under a pair of endpoints and starts the
// second, which may be the same, on its port.
func endpointsSurvive(t *testing.T, before, after testRelay, ending ending) {
	before.Start(t)
	a, b := startSites(t, before)
	shareBoth(t, "at first", a, b)
	ending.end(t, before, a.endpoint, b.endpoint)
	shareBoth(t, "while the relay is down", a, b)
	after.Start(t)
	eventually(t, patience, "both are registered again", func() bool {
		return a.registrations(t) == 2 && b.registrations(t) == 2
	})
	shareBoth(t, "with the relay back", a, b)
	// To meet new peers an endpoint has to be restarted, as has any program with
	// a PeerManager in it. Its programs need not.
	for _, s := range []*site{a, b} {
		s.endpoint.stop(t)
		s.startEndpoint(t)
	}
	shareBoth(t, "the endpoints restarted", a, b)
}

func TestT54_RelayClients_32_idle_ones_survive_a_restart_of_the_relay(t *testing.T) {
	t.Parallel()
	for _, kind := range []relayKind{realKind, ourCommandKind} {
		for _, killed := range []bool{false, true} {
			name, end := kind.name+" "+endings[0].name, testRelay.Stop
			if killed {
				name, end = kind.name+" "+endings[1].name, testRelay.Kill
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := startRelay(t, kind)
				var crowds []*driver
				for range 4 {
					crowds = append(crowds, startCrowd(t, r, 8))
				}
				end(r, t)
				r.Start(t)
				survivors := slices.DeleteFunc(slices.Clone(crowds), func(d *driver) bool { return !comesBack(t, d) })
				for _, d := range survivors {
					d.ask(t, "echo", map[string]any{"text": "still here"})
				}
				t.Logf("%d of %d processes have survived", len(survivors), len(crowds))
				// See endings for what SIGKILL of the real relay may do to them. Ours
				// has its listener taken down first.
				if len(survivors) < len(crowds) && !(killed && kind.name == realKind.name) {
					t.Error("the others have ended")
				}
			})
		}
	}
}

// startCrowd starts a process with some real RelayClients, connected, that live
// and die together.
func startCrowd(t testing.TB, r testRelay, size int) *driver {
	t.Helper()
	d := startDriver(t, "crowd", "crowd", "--address", r.URL(), "--size", strconv.Itoa(size))
	d.ask(t, "connect", nil)
	return d
}

// comesBack waits until all clients of the crowd are connected. It is false when
// their process has ended.
func comesBack(t testing.TB, d *driver) bool {
	t.Helper()
	var err error
	eventually(t, patience, "all are back", func() bool {
		var stats driverAnswer
		stats, err = d.call(soon(t), "stats", nil)
		return err != nil || stats.Connected
	})
	return err == nil
}
