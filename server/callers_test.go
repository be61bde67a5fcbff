package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// A thousand goroutines call everything that a Server has, while clients come,
// fight for UUIDs, talk and go, until fifty at once shut it down.
func TestAThousandCallersAtOnce(t *testing.T) {
	before := runtime.NumGoroutine()
	var log syncBuffer
	logger := WithLogger(slog.New(slog.NewTextHandler(&log, nil)))
	s := newServer(t, logger)
	const rarely = 200 * time.Millisecond // or they keep the processors from the clients
	ids := make([]uuid.UUID, 50)
	for i := range ids {
		ids[i] = uuid.New()
	}
	var calls, served, refused atomic.Uint64
	begin, closing := make(chan struct{}), make(chan struct{}) // closed below
	var callers, closers sync.WaitGroup
	// again calls f, with pauses, until the server is shut down, and at least once.
	again := func(n int, pause time.Duration, f func(i int)) {
		for i := range n {
			callers.Go(func() {
				tick := time.NewTicker(pause)
				defer tick.Stop()
				<-begin
				for {
					f(i)
					calls.Add(1)
					select {
					case <-closing:
						return
					case <-tick.C:
					}
				}
			})
		}
	}
	again(400, time.Millisecond, func(i int) {
		client, end := transport.Pipe()
		var serving sync.WaitGroup
		serving.Go(func() {
			switch err := s.ServeConn(context.Background(), end); err {
			case nil:
				served.Add(1)
			case ErrServerClosed:
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
		defer serving.Wait()
		defer client.Abort()
		id, peer := ids[i%len(ids)], ids[(i+1)%len(ids)]
		if frame, _ := (codec.Registration{Name: "caller", UUID: id}).Append(nil); errors.Join(client.WriteFrame(frame), client.Flush()) != nil {
			return
		}
		for range 3 { // whatever comes: the answer, messages, bounces, the end
			if _, _, err := client.ReadFrame(); err != nil {
				break
			}
			_ = errors.Join(client.WriteFrame([]byte(message(id, peer, "hello"))), client.WriteFrame([]byte(message(id, id, "me"))), client.Flush())
		}
		if i%2 == 0 {
			_ = client.Close(1000, "")
		}
	})
	again(200, rarely, func(int) {
		if st := s.Stats(); st.Unregistered > st.Connections || st.Clients < 0 || st.QueuedBytes < 0 {
			t.Errorf("%+v", st)
		}
	})
	again(150, rarely, func(int) {
		list := s.Connections()
		for i := range list[min(1, len(list)):] {
			if list[i].ID >= list[i+1].ID {
				t.Error("out of order")
			}
		}
	})
	again(100, rarely, func(i int) {
		if err := s.Reconfigure(logger, WithMaxRegistrations(1+i)); err != nil {
			t.Error(err)
		}
	})
	again(100, rarely, func(int) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != 426 && w.Code != 503 {
			t.Errorf("answered %d", w.Code)
		}
	})
	for i := range 50 {
		closers.Go(func() {
			<-closing
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if i == 0 { // one of them is in a hurry
				cancel()
			}
			if err := s.Shutdown(ctx); err != nil && i != 0 {
				t.Error(err)
			}
			calls.Add(1)
		})
	}
	close(begin)
	eventually(t, "they have come and gone", func() bool { return served.Load() >= 2000 })
	close(closing)
	closers.Wait()
	callers.Wait()

	st := s.Stats()
	ended := uint64(0)
	for _, n := range st.Closed {
		ended += n
	}
	if st.Accepted != served.Load() || ended != served.Load() || st.Connections != 0 || st.Unregistered != 0 || st.Clients != 0 || st.QueuedBytes != 0 {
		t.Errorf("%d served, and %+v", served.Load(), st)
	}
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
	t.Logf("%d calls by 1,000 goroutines: %d connections served, %d refused at the end, %d takeovers, %d messages forwarded",
		calls.Load(), served.Load(), refused.Load(), st.Takeovers, st.Forwarded)
}
