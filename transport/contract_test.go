package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestFramesArriveWholeAndInOrder(t *testing.T) {
	eachPair(t, pairings, func(t *testing.T, here, there Conn) {
		var frames [][]byte
		for _, size := range []int{0, 1, 7, 8, 9, 125, 126, 127, 4095, 65535, 65536, 200_000, 1 << 20} {
			p := make([]byte, size)
			for i := range p {
				p[i] = byte('a' + (i+size)%26)
			}
			frames = append(frames, p)
		}
		sent := result(func() error {
			scratch := make([]byte, 0, 1<<20)
			for _, p := range frames {
				scratch = append(scratch[:0], p...)
				if err := here.WriteFrame(scratch); err != nil {
					return err
				}
				clear(scratch) // what was given to WriteFrame may be reused
			}
			return here.Flush()
		})
		expect(t, there, frames...)
		if err := within(t, "the writer", sent); err != nil {
			t.Fatal(err)
		}
		send(t, there, []byte("back"))
		expect(t, here, []byte("back"))
		if here.Received() == 0 || there.Received() <= 1<<20 {
			t.Errorf("received %d here, %d there", here.Received(), there.Received())
		}
	})
}

func TestNothingIsSentBeforeFlush(t *testing.T) {
	eachPair(t, pairings, func(t *testing.T, here, there Conn) {
		before := there.Received()
		_, flushedBefore := here.Offsets()
		var ends []int64
		for i := range 3 {
			if err := here.WriteFrame([]byte(fmt.Sprint("message ", i))); err != nil {
				t.Fatal(err)
			}
			end, _ := here.Offsets()
			ends = append(ends, end)
		}
		if ends[0] >= ends[1] || ends[1] >= ends[2] {
			t.Errorf("ends %v do not grow", ends)
		}
		if _, flushed := here.Offsets(); flushed != flushedBefore || flushed >= ends[0] {
			t.Errorf("flushed %d before Flush, the first message ends at %d", flushed, ends[0])
		}
		if there.Received() != before {
			t.Error("bytes left before Flush")
		}
		if err := here.Flush(); err != nil {
			t.Fatal(err)
		}
		if buffered, flushed := here.Offsets(); buffered != ends[2] || flushed != ends[2] {
			t.Errorf("after Flush: buffered %d, flushed %d, want both %d", buffered, flushed, ends[2])
		}
	})
}

func TestPingIsAnsweredByTheWriter(t *testing.T) {
	eachPair(t, pairings, func(t *testing.T, here, there Conn) {
		stop, thereWakes, hereWakes := make(chan struct{}), wakes(there), wakes(here)
		writer := result(func() error { // all a writer with nothing to say has to do
			for {
				select {
				case <-thereWakes:
					if err := there.Flush(); err != nil {
						return err
					}
				case <-stop:
					return nil
				}
			}
		})
		hereRead, thereRead := result(func() error { return readError(here) }), result(func() error { return readError(there) })
		for i := uint64(1); i <= 3; i++ {
			here.Ping()
			within(t, "the wake after Ping", hereWakes)
			if err := here.Flush(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(5 * time.Second); here.Pongs() < i; {
				if time.Now().After(deadline) {
					t.Fatalf("%d pongs, want %d", here.Pongs(), i)
				}
				<-time.After(time.Millisecond)
			}
		}
		close(stop)
		if err := within(t, "the other writer", writer); err != nil {
			t.Fatal(err)
		}
		_ = here.Abort()
		_ = there.Abort()
		within(t, "reader", hereRead)
		within(t, "other reader", thereRead)
	})
}

func TestManyPingsMakeOnePong(t *testing.T) {
	eachPair(t, pairings, func(t *testing.T, here, there Conn) {
		for range 10 {
			here.Ping()
			send(t, here)
		}
		send(t, here, []byte("behind the pings"))
		expect(t, there, []byte("behind the pings"))
		send(t, there, []byte("behind the pong"))
		expect(t, here, []byte("behind the pong"))
		// The pong goes behind the messages that were queued before it.
		send(t, there, []byte("more"))
		expect(t, here, []byte("more"))
		if got := here.Pongs(); got != 1 {
			t.Errorf("%d pongs for ten pings read at once, want 1", got)
		}
		if h, th := here.Frames(), there.Frames(); h != 3 || th != 11 {
			t.Errorf("%d frames here, %d there, want 2 messages and a pong, a message and 10 pings", h, th)
		}
	})
}

// Our own close frames: what must not be sent is left out, a reason that is too
// long ends at a rune.
func TestT36_OurOwnCloseIsAlwaysLegal(t *testing.T) {
	long := strings.Repeat("é", 70) // 140 bytes
	tests := []struct {
		code   int
		reason string
		want   CloseError
	}{
		{1000, "", CloseError{1000, ""}},
		{1001, "", CloseError{1001, ""}},
		{1009, "frame exceeds limit of 1048576 bytes", CloseError{1009, "frame exceeds limit of 1048576 bytes"}},
		{1014, "", CloseError{1014, ""}},
		{3001, "x", CloseError{3001, "x"}},
		{4000, "Unknown message type.", CloseError{4000, "Unknown message type."}},
		{4004, "taken", CloseError{4004, "taken"}},
		{4567, strings.Repeat("r", 123), CloseError{4567, strings.Repeat("r", 123)}},
		{4567, strings.Repeat("r", 124), CloseError{4567, strings.Repeat("r", 123)}},
		{4567, long, CloseError{4567, strings.Repeat("é", 61)}},
		{4567, "bad \xff byte", CloseError{4567, "bad \uFFFD byte"}},
		{0, "no code, no reason", CloseError{1005, ""}},
		{1005, "", CloseError{1005, ""}},
		{1006, "never on the wire", CloseError{1005, ""}},
		{1015, "", CloseError{1005, ""}},
		{999, "", CloseError{1005, ""}},
		{5000, "", CloseError{1005, ""}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("code %d with %d bytes of reason", tt.code, len(tt.reason)), func(t *testing.T) {
			eachPair(t, pairings, func(t *testing.T, here, there Conn) {
				if err := here.WriteFrame([]byte("the last message")); err != nil {
					t.Fatal(err)
				}
				closed := result(func() error { return here.Close(tt.code, tt.reason) })
				expect(t, there, []byte("the last message"))
				_, _, err := there.ReadFrame()
				var goodbye *CloseError
				if !errors.As(err, &goodbye) || *goodbye != tt.want {
					t.Errorf("the peer got %v, want %v", err, &tt.want)
				}
				if err := within(t, "Close", closed); err != nil {
					t.Errorf("Close: %v", err)
				}
				for what, got := range map[string]error{"WriteFrame": there.WriteFrame(nil), "Flush": there.Flush(), "ReadFrame": readError(there)} {
					if !errors.As(got, &goodbye) {
						t.Errorf("%s after the peer's goodbye: %v", what, got)
					}
				}
				if err := there.Close(1000, ""); err != nil {
					t.Errorf("Close after the peer's: %v", err)
				}
				if err := readError(there); !errors.As(err, &goodbye) {
					t.Errorf("after Close the peer's goodbye is forgotten: %v", err)
				}
				for what, got := range map[string]error{"WriteFrame": here.WriteFrame(nil), "Flush": here.Flush(), "ReadFrame": readError(here)} {
					if !errors.Is(got, ErrClosed) {
						t.Errorf("%s after Close: %v", what, got)
					}
				}
			})
		})
	}
}

func TestCloseUnblocksTheReaderAndIsIdempotent(t *testing.T) {
	eachPair(t, pairings, func(t *testing.T, here, there Conn) {
		reader := result(func() error { return readError(here) })
		peer := result(func() error { err := readError(there); _ = there.Close(1000, ""); return err })
		var closes []<-chan error
		for range 20 {
			closes = append(closes, result(func() error { return here.Close(1001, "going") }))
		}
		for _, c := range closes {
			if err := within(t, "Close", c); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if err := within(t, "the reader", reader); !errors.Is(err, ErrClosed) {
			t.Errorf("the reader got %v", err)
		}
		var goodbye *CloseError
		if err := within(t, "the peer", peer); !errors.As(err, &goodbye) || goodbye.Code != 1001 {
			t.Errorf("the peer got %v", err)
		}
		if err := here.Close(1000, ""); err != nil {
			t.Errorf("another Close: %v", err)
		}
		if err := here.Abort(); err != nil {
			t.Errorf("Abort after Close: %v", err)
		}
	})
}

func TestBothEndsCloseAtOnce(t *testing.T) {
	eachPair(t, pairings, func(t *testing.T, here, there Conn) {
		a, b := result(func() error { return here.Close(1000, "") }), result(func() error { return there.Close(4001, "") })
		if err := within(t, "Close here", a); err != nil {
			t.Error(err)
		}
		if err := within(t, "Close there", b); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseDiscardsWhatStillArrives(t *testing.T) {
	eachPair(t, pairings, func(t *testing.T, here, there Conn) {
		kept := []byte("in the hands of the program")
		send(t, there, kept)
		p, _, err := here.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			send(t, there, bytes.Repeat([]byte("x"), 10_000))
		}
		closed := result(func() error { return here.Close(1000, "") })
		var goodbye *CloseError
		if err := readError(there); !errors.As(err, &goodbye) || goodbye.Code != 1000 {
			t.Errorf("the peer got %v", err)
		}
		if err := within(t, "Close", closed); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(p, kept) {
			t.Errorf("Close overwrote the frame in use: %q", p)
		}
	})
}

func TestAbortEndsAtOnce(t *testing.T) {
	eachPair(t, pairings, func(t *testing.T, here, there Conn) {
		reader := result(func() error { return readError(here) })
		if err := here.WriteFrame([]byte("never sent")); err != nil {
			t.Fatal(err)
		}
		if err := here.Abort(); err != nil {
			t.Fatal(err)
		}
		if err := within(t, "the reader", reader); !errors.Is(err, ErrClosed) {
			t.Errorf("the reader got %v", err)
		}
		for what, got := range map[string]error{"WriteFrame": here.WriteFrame(nil), "Flush": here.Flush()} {
			if !errors.Is(got, ErrClosed) {
				t.Errorf("%s after Abort: %v", what, got)
			}
		}
		if buffered, flushed := here.Offsets(); flushed >= buffered {
			t.Errorf("buffered %d, flushed %d", buffered, flushed)
		}
		var want error = syscall.ECONNRESET // what was not sent yet died with the socket
		if _, ok := here.(*session).link.(*pipeEnd); ok {
			want = io.ErrUnexpectedEOF
		}
		if _, _, err := there.ReadFrame(); !errors.Is(err, want) {
			t.Errorf("the peer got %v", err)
		}
		if err := here.Close(1000, ""); err != nil {
			t.Errorf("Close after Abort: %v", err)
		}
	})
}

func TestLimitIsExact(t *testing.T) {
	eachPair(t, pairings, func(t *testing.T, here, there Conn) {
		exact := bytes.Repeat([]byte("m"), 1<<20)
		sent := result(func() error {
			for _, p := range [][]byte{exact, append(exact, 'm')} {
				if err := here.WriteFrame(p); err != nil {
					return err
				}
			}
			return here.Flush()
		})
		expect(t, there, exact)
		if _, _, err := there.ReadFrame(); err != ErrFrameTooLarge {
			t.Fatalf("one byte more: %v", err)
		}
		closed := result(func() error { return there.Close(1000, "ignored: 1009 was sent") })
		within(t, "the writer", sent)
		want := CloseError{1009, "frame exceeds limit of 1048576 bytes"}
		var goodbye *CloseError
		if err := readError(here); !errors.As(err, &goodbye) || *goodbye != want {
			t.Errorf("the sender got %v, want %v", err, &want)
		}
		_ = here.Close(1000, "")
		if err := within(t, "Close", closed); err != nil {
			t.Error(err)
		}
	})
}

func TestStalledPeerEndsFlushAtTheWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := Pipe()
		start := time.Now()
		var err error
		for err == nil {
			if err = here.WriteFrame([]byte("m")); err == nil {
				err = here.Flush()
			}
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		buffered, flushed := here.Offsets()
		if buffered-flushed != frameBytes+1 {
			t.Errorf("buffered %d, flushed %d: one message was not taken", buffered, flushed)
		}
		start = time.Now()
		if err := here.Close(1000, ""); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("Close: %v after %v", err, time.Since(start))
		}
		for range pipeFrames {
			expect(t, there, []byte("m"))
		}
		if err := readError(there); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
}

func TestCloseReleasesABlockedWriterInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, _ := Pipe()
		writer := result(func() error {
			for {
				if err := here.WriteFrame([]byte("m")); err != nil {
					return err
				}
				if err := here.Flush(); err != nil {
					return err
				}
			}
		})
		synctest.Wait() // the writer is blocked
		start := time.Now()
		if err := here.Close(1000, ""); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if err := <-writer; !errors.Is(err, ErrClosed) {
			t.Errorf("the writer got %v", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
