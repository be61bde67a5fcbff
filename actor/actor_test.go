package actor

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/supervisor"
)

var errBad = errors.New("bad")

// start runs a in the bubble; what Run returns comes out of the channel.
func start[M any](ctx context.Context, a *Actor[M]) <-chan error {
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	return done
}

func TestActorKeepsItsMailOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled, lost []int
		var why []error
		var times []time.Time
		starts := 0
		a := Actor[int]{
			Start: func(context.Context) error { starts++; return nil },
			Receive: func(_ context.Context, m int) error {
				switch m {
				case 3:
					return errBad
				case 6:
					panic("six")
				}
				handled = append(handled, m)
				times = append(times, time.Now())
				return nil
			},
			OnFailure: func(m int, err error) { lost, why = append(lost, m), append(why, err) },
		}
		for m := range 10 {
			_ = a.Tell(t.Context(), m)
		}
		a.Mailbox.Close()
		if err := a.Run(t.Context()); err != nil {
			t.Errorf("Run: %v", err)
		}
		if want := []int{0, 1, 2, 4, 5, 7, 8, 9}; !slices.Equal(handled, want) {
			t.Errorf("handled %v, want %v", handled, want)
		}
		var p *supervisor.PanicError
		if !slices.Equal(lost, []int{3, 6}) || why[0] != errBad || !errors.As(why[1], &p) {
			t.Errorf("lost %v: %v", lost, why)
		}
		if starts != 3 {
			t.Errorf("%d starts, want 3", starts)
		}
		if wait := times[5].Sub(times[4]); wait < time.Second/2 || wait > time.Second {
			t.Errorf("second restart came after %v, want the second delay of the backoff", wait)
		}
	})
}

// A handler that panics costs the message at hand: the state is built anew, all
// other messages are handled in order, and another actor notices nothing.
func TestT50_APanicOfAHandlerRestartsItsActorOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 300
		var handled, lost []int
		starts := 0
		unlucky := Actor[int]{
			Name:  "unlucky",
			Start: func(context.Context) error { starts++; return nil },
			Receive: func(_ context.Context, m int) error {
				if m%100 == 50 {
					panic(m)
				}
				handled = append(handled, m)
				return nil
			},
			OnFailure: func(m int, err error) {
				caught, ok := errors.AsType[*supervisor.PanicError](err)
				if !ok || caught.Value != m || len(caught.Stack) == 0 {
					t.Errorf("message %d: %v", m, err)
				}
				lost = append(lost, m)
			},
		}
		var late time.Duration // of the other
		other := Actor[time.Time]{Receive: func(_ context.Context, sent time.Time) error {
			late = max(late, time.Since(sent))
			return nil
		}}
		done, otherDone := start(t.Context(), &unlucky), start(t.Context(), &other)
		for m := range n {
			_ = unlucky.Tell(t.Context(), m)
			_ = other.Tell(t.Context(), time.Now())
			time.Sleep(10 * time.Millisecond)
		}
		unlucky.Mailbox.Close()
		other.Mailbox.Close()
		if err := errors.Join(<-done, <-otherDone); err != nil {
			t.Error(err)
		}
		if !slices.Equal(lost, []int{50, 150, 250}) || starts != 4 || len(handled) != n-3 || !slices.IsSorted(handled) {
			t.Errorf("lost %v after %d starts, %d handled", lost, starts, len(handled))
		}
		if late > 0 {
			t.Errorf("a message to the other waited for %v", late)
		}
	})
}

func TestClosedMailboxIsHandledToTheEnd(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			handled := 0
			a := Actor[int]{Receive: func(context.Context, int) error { handled++; return nil }}
			done := start(t.Context(), &a)
			synctest.Wait() // it sleeps
			a.Mailbox.TryPut(1)
			a.Mailbox.TryPut(2)
			a.Mailbox.Close()
			if err := <-done; err != nil || handled != 2 {
				t.Errorf("Run: %v; %d handled, want 2", err, handled)
			}
		})
	}
}

func TestFailingStartIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts, handled, hooks := 0, 0, 0
		var lost []int
		a := Actor[int]{
			Start: func(context.Context) error {
				if starts++; starts != 4 && starts != 6 {
					return errBad
				}
				return nil
			},
			Receive: func(_ context.Context, m int) error {
				if m == 1 {
					return errBad
				}
				handled++
				return nil
			},
			OnFailure:  func(m int, _ error) { lost = append(lost, m) },
			Supervisor: supervisor.Supervisor{OnFailure: func(supervisor.Failure) { hooks++ }},
		}
		_ = a.Tell(t.Context(), 1)
		_ = a.Tell(t.Context(), 2)
		a.Mailbox.Close()
		if err := a.Run(t.Context()); err != nil || handled != 1 || hooks != 5 {
			t.Errorf("Run: %v, %d handled, %d failures", err, handled, hooks)
		}
		if !slices.Equal(lost, []int{1}) { // a failure of Start loses none
			t.Errorf("lost %v", lost)
		}
	})
}

func TestPermanentErrorEndsTheActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := Actor[int]{
			Mailbox: Mailbox[int]{MaxItems: 4},
			Receive: func(_ context.Context, m int) error {
				time.Sleep(time.Second)
				if m == 1 {
					return supervisor.Permanent(errBad)
				}
				return nil
			},
		}
		for m := range 4 {
			_ = a.Tell(t.Context(), m)
		}
		done := start(t.Context(), &a)
		told := make(chan error, 4)
		for m := range 4 {
			go func() { told <- a.Tell(t.Context(), 10+m) }()
		}
		if err := <-done; !errors.Is(err, errBad) {
			t.Errorf("Run: %v", err)
		}
		accepted := 0
		for range 4 {
			switch err := <-told; err {
			case nil:
				accepted++
			case ErrClosed:
			default:
				t.Errorf("waiting Tell: %v", err)
			}
		}
		if accepted == 4 {
			t.Error("no Tell was waiting")
		}
		if err := a.Tell(t.Context(), 1); err != ErrClosed {
			t.Errorf("Tell: %v", err)
		}
		left := a.Mailbox.Drain(nil)
		if len(left) != 2+accepted || left[0] != 2 || left[1] != 3 {
			t.Errorf("left %v after %d were let in", left, accepted)
		}
		if err := a.Run(t.Context()); !supervisor.IsPermanent(err) {
			t.Errorf("second Run: %v", err)
		}
	})
}

func TestEndOfContextLeavesTheMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := Actor[int]{Receive: func(_ context.Context, m int) error {
			if m == 10 {
				cancel()
			}
			return nil
		}}
		a.Mailbox.Size = func(int) int { return 2 }
		for m := range 200 {
			_ = a.Tell(t.Context(), m)
		}
		if err := a.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		s := a.Mailbox.Stats()
		if s.Items != 189 || s.Bytes != 2*189 || s.Taken != 11 {
			t.Errorf("stats %+v", s)
		}
		for i, m := range a.Mailbox.Drain(nil) {
			if m != 11+i {
				t.Fatalf("message %d is %d", i, m)
			}
		}
	})
}

// What a bounded actor holds in its hands beside its mailbox is small.
func TestActorTakesSmallBatches(t *testing.T) {
	tests := []struct {
		name string
		box  Mailbox[int]
		most int
	}{
		{"unbounded", Mailbox[int]{}, 64},
		{"80 items", Mailbox[int]{MaxItems: 80}, 10},
		{"one item", Mailbox[int]{MaxItems: 1}, 1},
		{"80 bytes, four each", Mailbox[int]{MaxBytes: 80, Size: func(int) int { return 4 }}, 3},
	}
	for i := range tests {
		tt := &tests[i]
		t.Run(tt.name, func(t *testing.T) {
			for tt.box.Stats().Items < 200 && tt.box.TryPut(1) {
			}
			if got := len(tt.box.take(nil, maxBatch)); got != tt.most {
				t.Errorf("took %d, want %d", got, tt.most)
			}
		})
	}
}

func TestStuckActorIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := Actor[int]{
			Name:       "mule",
			Receive:    func(context.Context, int) error { time.Sleep(time.Hour); return nil },
			Supervisor: supervisor.Supervisor{StopTimeout: time.Second},
		}
		_ = a.Tell(ctx, 1)
		var stuck *supervisor.StuckError
		if err := a.Run(ctx); !errors.As(err, &stuck) || stuck.Services[0] != "mule" {
			t.Errorf("Run: %v", err)
		}
		time.Sleep(2 * time.Hour)
	})
}

type question struct {
	n     int
	reply chan<- int
}

func ask(n int) func(chan<- int) question {
	return func(reply chan<- int) question { return question{n, reply} }
}

func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := Actor[question]{Receive: func(_ context.Context, q question) error {
			time.Sleep(time.Duration(q.n) * time.Second)
			if q.n < 0 {
				q.reply <- 0
				return supervisor.Permanent(errBad)
			}
			q.reply <- q.n * q.n
			return nil
		}}
		first := make(chan int, 1)
		go func() { // before Run: it waits
			r, _ := Ask(t.Context(), &a, ask(3))
			first <- r
		}()
		synctest.Wait()
		done := start(t.Context(), &a)
		if r := <-first; r != 9 {
			t.Errorf("reply %d, want 9", r)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Ask(ctx, &a, ask(5)); err != context.DeadlineExceeded {
			t.Errorf("Ask that took too long: %v", err)
		}
		if r, err := Ask(t.Context(), &a, ask(2)); r != 4 || err != nil { // the late reply hurt nobody
			t.Errorf("Ask after a late reply: %v, %v", r, err)
		}

		unanswered := make(chan error, 1)
		go func() {
			time.Sleep(time.Second)
			_, err := Ask(t.Context(), &a, ask(1))
			unanswered <- err
		}()
		go func() { _ = a.Tell(t.Context(), question{2, make(chan int, 1)}) }()
		time.Sleep(500 * time.Millisecond)
		if r, err := Ask(t.Context(), &a, ask(-1)); r != 0 || err != nil { // replied, and ended with it
			t.Errorf("Ask of the last question: %v, %v", r, err)
		}
		if err := <-unanswered; err != ErrClosed {
			t.Errorf("Ask that the end left unanswered: %v", err)
		}
		if err := <-done; !errors.Is(err, errBad) {
			t.Errorf("Run: %v", err)
		}
		if _, err := Ask(t.Context(), &a, ask(1)); err != ErrClosed {
			t.Errorf("Ask after the end: %v", err)
		}
	})
}

func TestFailedQuestionCanBeAnsweredByTheHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := Actor[question]{
			Receive:   func(context.Context, question) error { return errBad },
			OnFailure: func(q question, err error) { q.reply <- -1 },
		}
		done := start(ctx, &a)
		if r, err := Ask(ctx, &a, ask(1)); r != -1 || err != nil {
			t.Errorf("Ask: %v, %v", r, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestTellAllocatesNothing(t *testing.T) {
	handled := make(chan struct{})
	a := Actor[int]{Receive: func(context.Context, int) error { handled <- struct{}{}; return nil }}
	done := start(t.Context(), &a)
	n := testing.AllocsPerRun(1000, func() {
		_ = a.Tell(context.Background(), 1)
		<-handled
	})
	if n != 0 {
		t.Errorf("%v allocations to tell and handle one message", n)
	}
	a.Mailbox.Close()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}
