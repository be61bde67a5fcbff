package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errBad = errors.New("bad")

// hold is a service that is well until it is stopped.
func hold(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// wait returns false when ctx ended before d was over.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// runner is one of the two ways to run one service.
type runner func(*Supervisor, context.Context, Service) error

// both runs a test with each way, in a bubble.
func both(t *testing.T, test func(*testing.T, runner)) {
	for name, run := range map[string]runner{
		"Run":    func(s *Supervisor, ctx context.Context, service Service) error { return s.Run(ctx, service) },
		"RunOne": (*Supervisor).RunOne,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, run) })
		})
	}
}

func TestScheduleOfAttemptsOverTenMinutes(t *testing.T) {
	const s = time.Second
	bounds := [][2]time.Duration{{0, s}, {s / 2, s}, {s, 2 * s}, {2 * s, 4 * s}, {4 * s, 8 * s}, {8 * s, 16 * s}, {16 * s, 32 * s}}
	seen := make(map[string]bool)
	for range 100 {
		both(t, func(t *testing.T, run runner) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			var starts []time.Time
			var s Supervisor
			err := run(&s, ctx, Service{Serve: func(context.Context) error {
				starts = append(starts, time.Now())
				return errBad
			}})
			if err != nil {
				t.Fatalf("Run: %v", err)
			}
			var gaps []time.Duration
			for i := 1; i < len(starts); i++ {
				gaps = append(gaps, starts[i].Sub(starts[i-1]))
			}
			for i, gap := range gaps {
				want := [2]time.Duration{30 * time.Second, 60 * time.Second}
				if i < len(bounds) {
					want = bounds[i]
				}
				if gap < want[0] || gap > want[1] {
					t.Errorf("retry %d came after %v, want %v to %v", i+1, gap, want[0], want[1])
				}
			}
			if len(gaps) < 15 || len(gaps) > 26 {
				t.Errorf("%d retries in ten minutes", len(gaps))
			}
			key := fmt.Sprint(gaps)
			if seen[key] {
				t.Errorf("two runs with the schedule %v", key)
			}
			seen[key] = true
		})
	}
}

func TestBackoffStartsAgainOnlyAfterHealth(t *testing.T) {
	tests := []struct {
		name    string
		settle  time.Duration
		serve   func(ctx context.Context) // how one run passes
		healthy bool
	}{
		{"10 s are healthy by default", 0, func(ctx context.Context) { wait(ctx, 10*time.Second) }, true},
		{"9 s are not", 0, func(ctx context.Context) { wait(ctx, 9*time.Second) }, false},
		{"Settle changes the time", time.Second, func(ctx context.Context) { wait(ctx, time.Second) }, true},
		{"Settle changes the time that is too short", time.Minute, func(ctx context.Context) { wait(ctx, 59*time.Second) }, false},
		{"Healthy needs no time", 0, Healthy, true},
		{"negative Settle: an hour without Healthy is not healthy", -1, func(ctx context.Context) { wait(ctx, time.Hour) }, false},
		{"negative Settle: Healthy is", -1, Healthy, true},
		{"Healthy with a derived context", -1, func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			Healthy(ctx)
		}, true},
		{"Healthy with a foreign context does nothing", -1, func(context.Context) { Healthy(context.Background()) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, run runner) {
				ctx, cancel := context.WithCancel(t.Context())
				var failures []Failure
				s := Supervisor{Settle: tt.settle, OnFailure: func(f Failure) {
					if failures = append(failures, f); len(failures) == 10 {
						cancel()
					}
				}}
				runs := 0
				err := run(&s, ctx, Service{Serve: func(ctx context.Context) error {
					if runs++; runs == 6 { // the five before have failed at once
						tt.serve(ctx)
					}
					return errBad
				}})
				if err != nil {
					t.Fatalf("Run: %v", err)
				}
				for i, f := range failures {
					want := i + 1
					if tt.healthy && i >= 5 {
						want = i - 4
					}
					if f.Attempt != want {
						t.Errorf("failure %d is attempt %d, want %d", i+1, f.Attempt, want)
					}
				}
				if after := failures[5].After; (after <= time.Second) != tt.healthy {
					t.Errorf("delay after the long run is %v", after)
				}
			})
		})
	}
}

type busyError struct{ after time.Duration }

func (e *busyError) Error() string             { return "busy" }
func (e *busyError) RetryAfter() time.Duration { return e.after }

func TestRetryAfterInTheChainRaisesTheDelay(t *testing.T) {
	both(t, func(t *testing.T, run runner) {
		var starts []time.Time
		var told time.Duration
		s := Supervisor{OnFailure: func(f Failure) { told = f.After }}
		err := run(&s, t.Context(), Service{Serve: func(context.Context) error {
			if starts = append(starts, time.Now()); len(starts) == 1 {
				return fmt.Errorf("dial: %w", &busyError{7 * time.Second})
			}
			return nil
		}})
		if err != nil {
			t.Fatalf("Run: %v", err)
		}
		if gap := starts[1].Sub(starts[0]); gap < 7*time.Second || gap > 9*time.Second || gap != told {
			t.Errorf("started again after %v (OnFailure was told %v), want 7 s to 9 s", gap, told)
		}
	})
}

type detailError struct{ code int }

func (e *detailError) Error() string { return fmt.Sprint("code ", e.code) }

func TestPermanentErrorEndsRunAndStopsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := &detailError{7}
		stopped := 0
		other := Service{Serve: func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			stopped++
			return errBad
		}}
		var failures []Failure
		s := Supervisor{Strategy: RestForOne, OnFailure: func(f Failure) { failures = append(failures, f) }}
		err := s.Run(t.Context(), other, Service{Name: "doomed", Serve: func(context.Context) error {
			return fmt.Errorf("wrapped: %w", Permanent(cause))
		}}, other)
		var detail *detailError
		if !errors.As(err, &detail) || detail != cause || !IsPermanent(err) || err.Error() != "wrapped: code 7" {
			t.Errorf("Run: %v", err)
		}
		if stopped != 2 {
			t.Errorf("%d of 2 other services had returned before Run did", stopped)
		}
		if len(failures) != 1 || !failures[0].Permanent || failures[0].Service != "doomed" || failures[0].After != 0 {
			t.Errorf("OnFailure was told %+v", failures)
		}
	})
}

func TestPermanentMarksOnlyErrors(t *testing.T) {
	if Permanent(nil) != nil || IsPermanent(nil) || IsPermanent(errBad) || !IsPermanent(errors.Join(errBad, Permanent(errBad))) {
		t.Error("Permanent and IsPermanent disagree")
	}
}

func TestEndOfContextEndsRunWithoutError(t *testing.T) {
	tests := []struct {
		name  string
		serve func(ctx context.Context) error
		took  time.Duration // of Run, whose ctx ends after 5 s
	}{
		{"while the service runs", hold, 5 * time.Second},
		{"while the service takes its time to stop", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(3 * time.Second)
			return nil
		}, 8 * time.Second},
		{"while the service waits to be restarted", func(context.Context) error { return &busyError{time.Minute} }, 5 * time.Second},
		{"and the service returns another error", func(ctx context.Context) error {
			<-ctx.Done()
			return errBad
		}, 5 * time.Second},
		{"and the service takes that for permanent", func(ctx context.Context) error {
			<-ctx.Done()
			return Permanent(errBad)
		}, 5 * time.Second},
	}
	for _, strategy := range []Strategy{OneForOne, OneForAll, RestForOne} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%v: %s", strategy, tt.name), func(t *testing.T) {
				both(t, func(t *testing.T, run runner) {
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					begin := time.Now()
					s := Supervisor{Strategy: strategy}
					if err := run(&s, ctx, Service{Serve: tt.serve}); err != nil {
						t.Errorf("Run: %v", err)
					}
					if took := time.Since(begin); took != tt.took {
						t.Errorf("Run returned after %v, want %v", took, tt.took)
					}
				})
			})
		}
	}
	both(t, func(t *testing.T, run runner) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s := Supervisor{OnStart: func(string) { t.Error("a service was started") }}
		if err := run(&s, ctx, Service{Serve: hold}); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestCanceledFromElsewhereIsAFailureAsAnyOther(t *testing.T) {
	both(t, func(t *testing.T, run runner) {
		runs := 0
		var s Supervisor
		err := run(&s, t.Context(), Service{Serve: func(context.Context) error {
			if runs++; runs < 3 {
				return context.Canceled // of a request of its own, say
			}
			return nil
		}})
		if err != nil || runs != 3 {
			t.Errorf("Run: %v after %d runs, want none after 3", err, runs)
		}
	})
}

func TestRunEndsWhenAllServicesAreDone(t *testing.T) {
	for _, strategy := range []Strategy{OneForOne, OneForAll, RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			var runs [3]int
			service := func(i, failures int) Service {
				return Service{Name: "same name", Serve: func(context.Context) error {
					if runs[i]++; runs[i] <= failures {
						time.Sleep(time.Second) // the others are done by then
						return errBad
					}
					return nil
				}}
			}
			s := Supervisor{Strategy: strategy}
			if err := s.Run(t.Context(), service(0, 0), service(1, 2), service(2, 0)); err != nil {
				t.Errorf("%v: Run: %v", strategy, err)
			}
			if runs[0] != 1 || runs[1] != 3 || runs[2] < 1 {
				t.Errorf("%v: runs %v, want 1, 3 and one at least", strategy, runs)
			}
		})
	}
}

func TestRunChecksItsServicesFirst(t *testing.T) {
	var s Supervisor
	if err := s.Run(t.Context()); err != nil {
		t.Errorf("Run without services: %v", err)
	}
	s.OnStart = func(string) { t.Error("a service was started") }
	if err := s.Run(t.Context(), Service{Name: "ok", Serve: hold}, Service{Name: "empty"}); err == nil || !strings.Contains(err.Error(), `"empty"`) {
		t.Errorf("Run with a service without Serve: %v", err)
	}
}

func TestWakeEndsTheWaitAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		wake := make(chan struct{})
		starts := 0
		s := Supervisor{Wake: wake}
		done := make(chan error)
		go func() {
			done <- s.Run(ctx, Service{Serve: func(ctx context.Context) error {
				if starts++; starts == 4 {
					return hold(ctx)
				}
				return &busyError{time.Minute}
			}})
		}()
		begin := time.Now()
		for want := 1; want <= 4; want++ {
			synctest.Wait()
			if starts != want || !time.Now().Equal(begin) {
				t.Fatalf("%d starts after %v, want %d after none", starts, time.Since(begin), want)
			}
			wake <- struct{}{}
		}
		wake <- struct{}{} // nothing waits: received all the same
		synctest.Wait()
		if starts != 4 {
			t.Errorf("Wake while the service ran started it again")
		}
		close(wake)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestWakeIsNotRememberedForTheNextWait(t *testing.T) {
	both(t, func(t *testing.T, run runner) {
		wake := make(chan struct{}, 1)
		var starts []time.Time
		s := Supervisor{Wake: wake}
		wake <- struct{}{}
		err := run(&s, t.Context(), Service{Serve: func(context.Context) error {
			if starts = append(starts, time.Now()); len(starts) == 2 {
				return nil
			}
			time.Sleep(time.Second)
			return &busyError{time.Minute}
		}})
		if err != nil || starts[1].Sub(starts[0]) < time.Minute {
			t.Errorf("Run: %v; started again after %v, want a minute", err, starts[1].Sub(starts[0]))
		}
	})
}

func TestClosedWakeDoesNotEndWaits(t *testing.T) {
	both(t, func(t *testing.T, run runner) {
		wake := make(chan struct{})
		close(wake)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		starts := 0
		s := Supervisor{Wake: wake, OnStart: func(string) { starts++ }}
		if err := run(&s, ctx, Service{Serve: func(context.Context) error { return &busyError{time.Minute} }}); err != nil || starts != 1 {
			t.Errorf("Run: %v, %d starts", err, starts)
		}
	})
}

func TestCaughtPanicIsAFailure(t *testing.T) {
	values := []any{errBad, "text", nil}
	both(t, func(t *testing.T, run runner) {
		var failures []Failure
		s := Supervisor{CatchPanics: true, OnFailure: func(f Failure) { failures = append(failures, f) }}
		runs := 0
		err := run(&s, t.Context(), Service{Name: "p", Serve: func(context.Context) error {
			if runs++; runs <= len(values) {
				panic(values[runs-1])
			}
			return nil
		}})
		if err != nil || len(failures) != len(values) {
			t.Fatalf("Run: %v after %d failures", err, len(failures))
		}
		for i, f := range failures {
			var p *PanicError
			if !errors.As(f.Err, &p) {
				t.Fatalf("failure %d is %T", i, f.Err)
			}
			if !strings.Contains(string(p.Stack), "TestCaughtPanicIsAFailure") || strings.Contains(p.Error(), "goroutine") {
				t.Errorf("failure %d: %v\n%s", i, p, p.Stack)
			}
		}
		if !errors.Is(failures[0].Err, errBad) {
			t.Errorf("a PanicError does not unwrap to the error that was thrown")
		}
		if got := failures[1].Err.Error(); !strings.HasSuffix(got, ": text") {
			t.Errorf("message %q", got)
		}
	})
}

func TestCaughtPanicOfAServiceBeingStoppedIsReported(t *testing.T) {
	both(t, func(t *testing.T, run runner) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var failures []Failure
		s := Supervisor{CatchPanics: true, OnFailure: func(f Failure) { failures = append(failures, f) }}
		err := run(&s, ctx, Service{Name: "p", Serve: func(ctx context.Context) error {
			<-ctx.Done()
			panic("late")
		}})
		if err != nil || len(failures) != 1 {
			t.Errorf("Run: %v, failures %v", err, failures)
		}
	})
}

func TestPanicThatIsNotCaughtEndsTheProgram(t *testing.T) {
	const variable = "SUPERVISOR_TEST_PANIC"
	if way := os.Getenv(variable); way != "" {
		s := Supervisor{OnFailure: func(f Failure) { fmt.Fprintln(os.Stderr, "reported", f.Err) }}
		loud := Service{Serve: func(context.Context) error { panic("loud and clear") }}
		run := func() error { return s.Run(context.Background(), loud) }
		if way == "RunOne" {
			run = func() error { return s.RunOne(context.Background(), loud) }
		}
		err := run()
		fmt.Fprintln(os.Stderr, "survived", err)
		os.Exit(0)
	}
	name := t.Name()
	for _, way := range []string{"Run", "RunOne"} {
		cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$")
		cmd.Env = append(os.Environ(), variable+"="+way)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Errorf("the program ended with %v, want exit status 2", err)
		}
		for _, want := range []string{"panic: loud and clear", name + ".func"} { // the culprit is in the trace
			if !strings.Contains(string(out), want) {
				t.Errorf("no %q in:\n%s", want, out)
			}
		}
		if strings.Contains(string(out), "survived") || strings.Contains(string(out), "reported") {
			t.Errorf("the supervisor went on:\n%s", out)
		}
	}
}

func TestGoexitEndsRun(t *testing.T) {
	for _, catch := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := Supervisor{CatchPanics: catch}
			err := s.Run(t.Context(), Service{Serve: hold}, Service{Serve: func(context.Context) error {
				runtime.Goexit()
				return nil
			}})
			if !errors.Is(err, ErrGoexit) || !IsPermanent(err) {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

func TestRunOneStaysInTheGoroutineOfTheCaller(t *testing.T) {
	var s Supervisor
	ended, returned := make(chan struct{}), false
	go func() {
		defer close(ended)
		_ = s.RunOne(t.Context(), Service{Serve: func(context.Context) error { runtime.Goexit(); return nil }})
		returned = true
	}()
	<-ended
	if returned {
		t.Error("RunOne returned from a Goexit of its service")
	}
}

func TestRunOneEnds(t *testing.T) {
	var s Supervisor
	if err := s.RunOne(t.Context(), Service{Name: "empty"}); err == nil || !strings.Contains(err.Error(), `"empty"`) {
		t.Errorf("without Serve: %v", err)
	}
	permanent := fmt.Errorf("wrapped: %w", Permanent(errBad))
	if err := s.RunOne(t.Context(), Service{Serve: func(context.Context) error { return permanent }}); err != permanent {
		t.Errorf("after a permanent error: %v", err)
	}
	if err := s.RunOne(t.Context(), Service{Serve: func(context.Context) error { return nil }}); err != nil {
		t.Errorf("when the service is done: %v", err)
	}
}

func TestWakeEndsTheWaitOfRunOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake, begin := make(chan struct{}, 1), time.Now()
		s := Supervisor{Wake: wake, OnFailure: func(Failure) { wake <- struct{}{} }}
		runs := 0
		err := s.RunOne(t.Context(), Service{Serve: func(context.Context) error {
			if runs++; runs == 3 {
				return nil
			}
			return &busyError{time.Minute}
		}})
		if err != nil || runs != 3 || !time.Now().Equal(begin) {
			t.Errorf("RunOne: %v, %d runs in %v", err, runs, time.Since(begin))
		}
	})
}

func TestStuckServicesAreNamed(t *testing.T) {
	slow := func(name string, d time.Duration) Service {
		return Service{Name: name, Serve: func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(d)
			return nil
		}}
	}
	doomed := Service{Name: "doomed", Serve: func(ctx context.Context) error {
		wait(ctx, time.Second)
		return Permanent(errBad)
	}}
	failing := Service{Name: "failing", Serve: func(ctx context.Context) error {
		wait(ctx, time.Second)
		return errBad
	}}
	tests := []struct {
		name     string
		strategy Strategy
		services []Service
		stuck    []string
		cause    error
		took     time.Duration // the ctx of Run ends after 1 minute, StopTimeout is 5 s
	}{
		{"none when all return in time", OneForOne, []Service{slow("a", 4*time.Second)}, nil, nil, 64 * time.Second},
		{"when ctx has ended", OneForOne, []Service{slow("a", time.Hour), slow("b", 0), slow("c", time.Hour)}, []string{"c", "a"}, nil, 65 * time.Second},
		{"one by one in an order", OneForAll, []Service{slow("a", time.Hour), slow("b", 0), slow("c", time.Hour)}, []string{"c", "a"}, nil, 70 * time.Second},
		{"with the permanent error", OneForOne, []Service{slow("a", time.Hour), doomed}, []string{"a"}, errBad, 6 * time.Second},
		{"with the failure that restarts others", OneForAll, []Service{slow("a", time.Hour), failing, slow("c", 0)}, []string{"a"}, errBad, 6 * time.Second},
		{"and the others are stopped then", RestForOne, []Service{slow("a", time.Second), failing, slow("c", time.Hour)}, []string{"c"}, errBad, 7 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				begin := time.Now()
				s := Supervisor{Strategy: tt.strategy, StopTimeout: 5 * time.Second}
				err := s.Run(ctx, tt.services...)
				if took := time.Since(begin); took != tt.took {
					t.Errorf("Run returned after %v, want %v", took, tt.took)
				}
				var stuck *StuckError
				if errors.As(err, &stuck) != (tt.stuck != nil) || stuck != nil && !slices.Equal(stuck.Services, tt.stuck) {
					t.Errorf("Run: %v, want %q stuck", err, tt.stuck)
				}
				if tt.cause != nil && !errors.Is(err, tt.cause) {
					t.Errorf("Run: %v, want it joined with %v", err, tt.cause)
				}
				time.Sleep(2 * time.Hour) // the stuck goroutines end, and hang on nothing
			})
		})
	}
}

// Three services a, b, c; b fails once after a second. Each logs when it starts,
// when it is told to stop, and when it has stopped, half a second later.
func TestStrategiesStopAndStartInOrder(t *testing.T) {
	tests := []struct {
		strategy Strategy
		restart  string // from the failure on
		end      string // after the end of ctx
	}{
		{OneForOne, "b starts", "stop all"},
		{OneForAll, "c stopping, c stopped, a stopping, a stopped, a starts, b starts, c starts",
			"c stopping, c stopped, b stopping, b stopped, a stopping, a stopped"},
		{RestForOne, "c stopping, c stopped, b starts, c starts",
			"c stopping, c stopped, b stopping, b stopped, a stopping, a stopped"},
	}
	for _, tt := range tests {
		t.Run(tt.strategy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				log := make(chan string, 100)
				failed := make(chan time.Time, 1)
				service := func(name string) Service {
					return Service{Name: name, Serve: func(ctx context.Context) error {
						if name == "b" && len(failed) == 0 {
							time.Sleep(time.Second)
							failed <- time.Now()
							return &busyError{5 * time.Second} // longer than the others take to stop
						}
						<-ctx.Done()
						log <- name + " stopping"
						time.Sleep(500 * time.Millisecond)
						log <- name + " stopped"
						return errBad
					}}
				}
				var after time.Duration
				var due, restarted time.Time
				s := Supervisor{
					Strategy: tt.strategy,
					OnStart: func(name string) {
						log <- name + " starts"
						if !due.IsZero() && restarted.IsZero() {
							restarted = time.Now()
						}
					},
					OnFailure: func(f Failure) { after, due = f.After, time.Now().Add(f.After) },
				}
				done := make(chan error)
				go func() { done <- s.Run(ctx, service("a"), service("b"), service("c")) }()
				read := func() string {
					var lines []string
					for len(log) > 0 {
						lines = append(lines, <-log)
					}
					return strings.Join(lines, ", ")
				}
				synctest.Wait()
				if got := read(); got != "a starts, b starts, c starts" {
					t.Errorf("at first: %s", got)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := read(); got != tt.restart {
					t.Errorf("after the failure: %s\nwant %s", got, tt.restart)
				}
				if after < 5*time.Second || restarted.Before(due) {
					t.Errorf("delay %v; restarted %v too early", after, due.Sub(restarted))
				}
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Run: %v", err)
				}
				if got := read(); tt.strategy != OneForOne && got != tt.end {
					t.Errorf("at the end: %s\nwant %s", got, tt.end)
				}
			})
		})
	}
}

// A failure that comes while the services before or after it stop, wait or fail
// as well must neither start a service too early nor forget one.
func TestFailuresDuringACascade(t *testing.T) {
	for _, strategy := range []Strategy{OneForOne, OneForAll, RestForOne} {
		t.Run(strategy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				var up [4]bool // between OnStart and the return
				var runs [4]int
				var services []Service
				for i := range up {
					services = append(services, Service{Name: fmt.Sprint(i), Serve: func(ctx context.Context) error {
						defer func() { up[i] = false }()
						if !wait(ctx, time.Duration(i+1)*700*time.Millisecond) {
							time.Sleep(time.Duration(i) * 300 * time.Millisecond)
						}
						return errBad
					}})
				}
				s := Supervisor{Strategy: strategy, Backoff: Backoff{Min: time.Second, Max: 2 * time.Second}}
				s.OnStart = func(name string) {
					i := int(name[0] - '0')
					for j := i; j < len(up); j++ {
						if up[j] && (j == i || strategy != OneForOne) {
							t.Errorf("%d started while %d was up", i, j)
						}
						if strategy == OneForOne {
							break
						}
					}
					up[i] = true
					runs[i]++
				}
				if err := s.Run(ctx, services...); err != nil {
					t.Errorf("Run: %v", err)
				}
				for i, n := range runs {
					if n < 500 {
						t.Errorf("%d was started %d times in an hour", i, n)
					}
				}
			})
		})
	}
}

func TestHooksAreCalledOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		inside, calls := false, map[string][]string{} // no lock: the race detector watches
		hook := func(name, what string) {
			if inside {
				t.Error("two hooks at a time")
			}
			inside = true
			time.Sleep(10 * time.Millisecond)
			inside = false
			calls[name] = append(calls[name], what)
		}
		s := Supervisor{
			OnStart:   func(name string) { hook(name, "start") },
			OnFailure: func(f Failure) { hook(f.Service, "failure") },
		}
		var services []Service
		for _, name := range []string{"a", "b", "c"} {
			services = append(services, Service{Name: name, Serve: func(context.Context) error { return errBad }})
		}
		if err := s.Run(ctx, services...); err != nil {
			t.Fatalf("Run: %v", err)
		}
		for name, got := range calls {
			for i, what := range got {
				if want := []string{"start", "failure"}[i%2]; what != want {
					t.Fatalf("hooks of %s: %v", name, got)
				}
			}
		}
		if len(calls) != 3 {
			t.Errorf("hooks were called for %d of 3 services", len(calls))
		}
	})
}

func TestSupervisorsNest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outerFailures := 0
		outer := Supervisor{OnFailure: func(Failure) { outerFailures++ }}
		var inner Supervisor
		err := outer.Run(t.Context(), Service{Serve: func(ctx context.Context) error {
			return inner.Run(ctx, Service{Serve: func(context.Context) error { return Permanent(errBad) }})
		}})
		if !errors.Is(err, errBad) || outerFailures != 1 {
			t.Errorf("Run: %v after %d failures", err, outerFailures)
		}
	})
}

func TestSupervisorIsConfigurationOnly(t *testing.T) {
	both(t, func(t *testing.T, run runner) {
		s := Supervisor{Backoff: Backoff{Min: time.Second}}
		before := s
		runs := 0
		_ = run(&s, t.Context(), Service{Serve: func(context.Context) error {
			if runs++; runs < 5 {
				return errBad
			}
			return nil
		}})
		if !reflect.DeepEqual(s, before) {
			t.Errorf("Run changed its Supervisor: %+v", s)
		}
	})
}
