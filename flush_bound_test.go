package relay_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// A relay that confirms nothing is not asked again and again: what waits for it
// is bounded whatever the program does.
func TestFlushesThatGiveUpCostNoMemory(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		reply, err := codec.Response{Success: true}.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		var frames atomic.Int64
		r.Script(func(conn transport.Conn) {
			for _, _, err := conn.ReadFrame(); err == nil; _, _, err = conn.ReadFrame() {
				if frames.Add(1) == 1 {
					_ = conn.WriteFrame(reply)
					_ = conn.Flush()
				}
			}
		})
		c := r.Client("c")
		defer func() { _ = c.Close() }()
		connect(t, c)
		for range 20_000 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if err := c.Flush(ctx); err == nil {
				t.Error("it is confirmed")
			}
			cancel()
		}
		if n := frames.Load(); n < 10_000 || n > 1<<14+1 {
			t.Errorf("asked %d times", n)
		}
	})
}
