package actor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

func checkSum(t *testing.T, s MailboxStats) {
	t.Helper()
	if s.Put != s.Taken+s.Dropped+uint64(s.Items) {
		t.Errorf("counters do not add up: %+v", s)
	}
}

func TestMailboxOverflow(t *testing.T) {
	length := func(m string) int { return len(m) }
	tests := []struct {
		name    string
		box     *Mailbox[string]
		put     []string
		inside  []string
		dropped []string
	}{
		{"unbounded keeps all", &Mailbox[string]{Overflow: DropNewest}, []string{"a", "b", "c"}, []string{"a", "b", "c"}, nil},
		{"drop oldest, by items", &Mailbox[string]{Overflow: DropOldest, MaxItems: 2}, []string{"a", "b", "c", "d"}, []string{"c", "d"}, []string{"a", "b"}},
		{"drop newest, by items", &Mailbox[string]{Overflow: DropNewest, MaxItems: 2}, []string{"a", "b", "c", "d"}, []string{"a", "b"}, []string{"c", "d"}},
		{"drop oldest, by bytes, as many as needed", &Mailbox[string]{Overflow: DropOldest, MaxBytes: 5, Size: length}, []string{"aa", "bb", "c", "dddd"}, []string{"c", "dddd"}, []string{"aa", "bb"}},
		{"drop newest, by bytes, and smaller ones pass", &Mailbox[string]{Overflow: DropNewest, MaxBytes: 5, Size: length}, []string{"aa", "bb", "cc", "d"}, []string{"aa", "bb", "d"}, []string{"cc"}},
		{"drop oldest: one over the bound empties the box", &Mailbox[string]{Overflow: DropOldest, MaxBytes: 5, Size: length}, []string{"a", "b", "cccccccc"}, []string{"cccccccc"}, []string{"a", "b"}},
		{"drop newest: one over the bound needs an empty box", &Mailbox[string]{Overflow: DropNewest, MaxBytes: 5, Size: length}, []string{"aaaaaaaa", "b"}, []string{"aaaaaaaa"}, []string{"b"}},
		{"a negative size counts for none", &Mailbox[string]{Overflow: DropNewest, MaxBytes: 1, Size: func(string) int { return -1 }}, []string{"a", "b"}, []string{"a", "b"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var dropped []string
			tt.box.OnDrop = func(m string) {
				tt.box.Stats() // OnDrop may use the mailbox
				dropped = append(dropped, m)
			}
			for _, m := range tt.put {
				if err := tt.box.Put(t.Context(), m); err != nil {
					t.Fatalf("Put: %v", err)
				}
			}
			checkSum(t, tt.box.Stats())
			if s := tt.box.Stats(); s.Put != uint64(len(tt.put)) || s.Dropped != uint64(len(tt.dropped)) {
				t.Errorf("stats %+v", s)
			}
			if inside := tt.box.Drain(nil); !slices.Equal(inside, tt.inside) {
				t.Errorf("inside %q, want %q", inside, tt.inside)
			}
			if !slices.Equal(dropped, tt.dropped) {
				t.Errorf("dropped %q, want %q", dropped, tt.dropped)
			}
			if s := tt.box.Stats(); s.Items != 0 || s.Bytes != 0 {
				t.Errorf("stats after Drain: %+v", s)
			}
			checkSum(t, tt.box.Stats())
		})
	}
}

func TestTryPutNeitherWaitsNorDrops(t *testing.T) {
	for _, overflow := range []Overflow{Wait, DropOldest, DropNewest} {
		box := Mailbox[int]{MaxItems: 1, Overflow: overflow, OnDrop: func(int) { t.Error("dropped") }}
		if !box.TryPut(1) || box.TryPut(2) {
			t.Errorf("%v: TryPut does not go by room", overflow)
		}
		if m, ok := box.TryGet(); m != 1 || !ok {
			t.Errorf("%v: TryGet: %v, %v", overflow, m, ok)
		}
		box.Close()
		if box.TryPut(3) {
			t.Errorf("%v: TryPut after Close", overflow)
		}
	}
}

func TestPutWaitsForRoomInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := Mailbox[int]{MaxItems: 1}
		results := make(chan error, 10)
		ctx, cancel := context.WithCancelCause(t.Context())
		for i := range 5 {
			go func() {
				if i == 2 {
					results <- box.Put(ctx, i)
					return
				}
				results <- box.Put(t.Context(), i)
			}()
			synctest.Wait()
		}
		if s := box.Stats(); s.Waiting != 4 || s.Put != 1 {
			t.Fatalf("stats %+v", s)
		}
		cause := errors.New("enough")
		cancel(cause)
		synctest.Wait()
		<-results
		if err := <-results; err != cause {
			t.Errorf("Put whose ctx ended: %v", err)
		}
		if box.TryPut(9) {
			t.Error("TryPut overtook those that wait")
		}
		for _, want := range []int{0, 1, 3} {
			if m, err := box.Get(t.Context()); m != want || err != nil {
				t.Errorf("Get: %v, %v, want %d", m, err, want)
			}
		}
		box.Close()
		if m, err := box.Get(t.Context()); m != 4 || err != nil {
			t.Errorf("Get after Close: %v, %v, want 4", m, err)
		}
		if _, err := box.Get(t.Context()); err != ErrClosed {
			t.Errorf("Get of a closed, empty box: %v", err)
		}
		checkSum(t, box.Stats())
	})
}

func TestEndOfALargePutLetsSmallerOnesIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := Mailbox[int]{MaxBytes: 10, Size: func(m int) int { return m }}
		_ = box.Put(t.Context(), 6)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		large := make(chan error, 1)
		go func() { large <- box.Put(ctx, 8) }()
		synctest.Wait()
		if box.TryPut(3) {
			t.Error("a small message overtook the large one that waits")
		}
		begin := time.Now()
		if err := box.Put(t.Context(), 3); err != nil { // returns when the large one gives up
			t.Error(err)
		}
		if time.Since(begin) != time.Second {
			t.Errorf("the small one was let in after %v", time.Since(begin))
		}
		if err := <-large; err != context.DeadlineExceeded {
			t.Errorf("large Put: %v", err)
		}
		if s := box.Stats(); s.Bytes != 9 || s.Items != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestCloseEndsAllWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full, empty := Mailbox[int]{MaxItems: 1}, Mailbox[int]{}
		full.TryPut(1)
		errs := make(chan error, 20)
		for range 10 {
			go func() { errs <- full.Put(t.Context(), 2) }()
			go func() {
				_, err := empty.Get(t.Context())
				errs <- err
			}()
		}
		synctest.Wait()
		for range 2 {
			full.Close()
			empty.Close()
		}
		for range 20 {
			if err := <-errs; err != ErrClosed {
				t.Errorf("%v, want ErrClosed", err)
			}
		}
		if _, open := <-empty.Ready(); open {
			t.Error("Ready is not closed")
		}
		var never Mailbox[int] // whose Ready was not asked for before
		never.Close()
		if _, open := <-never.Ready(); open {
			t.Error("Ready asked for after Close is not closed")
		}
		checkSum(t, full.Stats())
	})
}

func TestGetPrefersAMessageToTheEndOfContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var box Mailbox[int]
	if err := box.Put(ctx, 1); err != nil {
		t.Errorf("Put with room: %v", err)
	}
	if m, err := box.Get(ctx); m != 1 || err != nil {
		t.Errorf("Get: %v, %v", m, err)
	}
	if _, err := box.Get(ctx); err != context.Canceled {
		t.Errorf("Get of an empty box: %v", err)
	}
}

// The consumer of the documentation of Ready, and 1,000 producers, and Close in
// the middle: what was accepted comes out, once and in each one's order.
func TestProducersRaceWithClose(t *testing.T) {
	const producers, each = 1000, 50
	for _, box := range []*Mailbox[[2]int]{{}, {MaxItems: 16}, {MaxBytes: 64, Size: func([2]int) int { return 3 }}} {
		var accepted atomic.Int64
		var wg sync.WaitGroup
		for p := range producers {
			wg.Go(func() {
				for i := range each {
					if box.Put(context.Background(), [2]int{p, i}) != nil {
						return
					}
					if accepted.Add(1) == producers*each/2 {
						box.Close()
					}
				}
			})
		}
		var last [producers]int
		taken := int64(0)
		var batch [][2]int
		for open := true; open; {
			_, open = <-box.Ready()
			batch = box.Drain(batch[:0])
			for _, m := range batch {
				if taken++; m[1] != last[m[0]] {
					t.Fatalf("producer %d: message %d instead of %d", m[0], m[1], last[m[0]])
				}
				last[m[0]]++
			}
		}
		wg.Wait()
		if taken != accepted.Load() {
			t.Errorf("%d taken of %d accepted", taken, accepted.Load())
		}
		checkSum(t, box.Stats())
	}
}

func TestReadyIsSignalledWhileSomethingIsLeft(t *testing.T) {
	var box Mailbox[int]
	ready := func() bool {
		select {
		case <-box.Ready():
			return true
		default:
			return false
		}
	}
	box.TryPut(1) // before the first call of Ready
	if !ready() {
		t.Error("Ready is silent at first, and something is inside")
	}
	box.TryGet()
	box.TryPut(1)
	box.TryPut(2)
	for range 2 {
		if !ready() {
			t.Error("Ready is silent, and something is inside")
		}
		box.TryGet()
	}
	if ready() {
		t.Error("Ready is signalled, and nothing has come since")
	}
	box.TryPut(3)
	if !ready() {
		t.Error("Ready is silent after a Put")
	}
}

// Consumers that go to sleep after each message: a lost wake-up hangs this test.
func TestNoWakeUpIsLost(t *testing.T) {
	const messages, consumers = 20_000, 4
	for _, bound := range []int{0, 1, 3} {
		box := Mailbox[int]{MaxItems: bound}
		var sum atomic.Int64
		var wg sync.WaitGroup
		for range consumers {
			wg.Go(func() {
				for {
					m, err := box.Get(context.Background())
					if err != nil {
						return
					}
					sum.Add(int64(m))
				}
			})
		}
		var putters sync.WaitGroup
		for range 2 {
			putters.Go(func() {
				for range messages / 2 {
					_ = box.Put(context.Background(), 1)
				}
			})
		}
		putters.Wait()
		box.Close()
		wg.Wait()
		if sum.Load() != messages {
			t.Errorf("bound %d: %d of %d messages", bound, sum.Load(), messages)
		}
	}
}

func TestRingKeepsOrderWhileItGrowsAndWraps(t *testing.T) {
	for _, sized := range []bool{false, true} {
		var box Mailbox[int]
		if sized {
			box.Size = func(m int) int { return m }
		}
		in, out, bytes := 1, 1, 0
		for round := range 200 {
			for range round % 37 {
				box.TryPut(in)
				bytes += in
				in++
			}
			var got []int
			switch round % 3 {
			case 0:
				got = box.take(nil, round%11)
			case 1:
				for range round % 23 {
					if m, ok := box.TryGet(); ok {
						got = append(got, m)
					}
				}
			case 2:
				if got = box.take(nil, 20); len(got) > 5 {
					box.putBack(got[5:])
					got = got[:5]
				}
			}
			for _, m := range got {
				if m != out {
					t.Fatalf("got %d, want %d", m, out)
				}
				bytes -= m
				out++
			}
			if s := box.Stats(); sized && s.Bytes != bytes || s.Items != in-out {
				t.Fatalf("stats %+v, want %d items of %d bytes", s, in-out, bytes)
			}
			checkSum(t, box.Stats())
			held := 0
			for _, m := range box.ring.slots {
				if m != 0 {
					held++
				}
			}
			if held != in-out {
				t.Fatalf("%d messages are held on to, %d are inside", held, in-out)
			}
		}
	}
}

func TestIdleMailboxIsSmall(t *testing.T) {
	var box Mailbox[int]
	if size := unsafe.Sizeof(box); size >= 200 {
		t.Errorf("a mailbox has %d bytes", size)
	}
	for i := range 10_000 {
		box.TryPut(i)
	}
	box.Drain(nil)
	box.Drain(nil) // finds it empty
	if n := len(box.ring.slots); n > keepSlots[int]() {
		t.Errorf("an empty mailbox keeps %d slots", n)
	}
	box.TryPut(1)
	box.Compact()
	if m, ok := box.TryGet(); !ok || m != 1 {
		t.Error("Compact took a message")
	}
	box.Compact()
	if box.ring.slots != nil {
		t.Error("Compact leaves something")
	}
	if !box.TryPut(2) {
		t.Error("nothing fits any more")
	}
}

func TestPuttingAndTakingAllocateNothing(t *testing.T) {
	ctx := context.Background()
	buf := make([]int, 0, 100)
	oldest := Mailbox[int]{MaxItems: 4, Overflow: DropOldest, OnDrop: func(int) {}}
	var box Mailbox[int]
	box.Ready()
	tests := map[string]func(){
		"Put and Get":   func() { _ = box.Put(ctx, 1); _, _ = box.Get(ctx) },
		"Put and Drain": func() { _ = box.Put(ctx, 1); _ = box.Put(ctx, 1); buf = box.Drain(buf[:0]) },
		"DropOldest":    func() { _ = oldest.Put(ctx, 1) },
	}
	for name, f := range tests {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestOverflowHasNames(t *testing.T) {
	if got := fmt.Sprint(Wait, DropOldest, DropNewest, Overflow(9)); got != "Wait DropOldest DropNewest Overflow(?)" {
		t.Error(got)
	}
}

func TestDrainBytesStopsBehindTheMessageThatReachesTheSize(t *testing.T) {
	box := Mailbox[string]{MaxBytes: 100, Size: func(s string) int { return len(s) }}
	for _, m := range []string{"aaaa", "bbbb", "cccc"} {
		if !box.TryPut(m) {
			t.Fatal(m)
		}
	}
	if got := box.DrainBytes(nil, 5); len(got) != 2 || got[0] != "aaaa" || got[1] != "bbbb" {
		t.Errorf("%q", got)
	}
	if s := box.Stats(); s.Items != 1 || s.Bytes != 4 || s.Taken != 2 {
		t.Errorf("%+v", s)
	}
	if got := box.DrainBytes(nil, 1); len(got) != 1 || len(box.DrainBytes(nil, 1)) != 0 {
		t.Errorf("%q", got)
	}
}
