package relay

import (
	"context"
	"sync"
	"time"

	"github.com/seed73300619/relay/supervisor"
)

// heartbeat pings, and ends the session when the relay has been silent for too
// long. Whatever is read is a sign of life, and so is that the kernel gets rid of
// what a writer waits for: behind that, on a slow line, the ping goes out late.
// While the reader waits for the program nothing can be heard, so nothing is
// concluded.
//
// It is a timer, because a goroutine that mostly sleeps would be a tenth of what an
// idle client costs.
type heartbeat struct {
	mu      sync.Mutex // held during a beat, which never waits; guards what follows
	timer   *time.Timer
	stopped bool

	healthy bool          // and the supervisor knows
	pinged  bool          // and nothing was heard since
	before  int64         // received then
	waited  time.Duration // since then, but for the time that does not count
	stuck   int           // so many beats in a row have found the writer in a write
	sent    int64         // and the kernel had taken so much
}

// startHeartbeat lets the first beat come. The last one tells why it is.
func (s *session) startHeartbeat(ctx context.Context, failed func(error)) {
	h := &s.heart
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(min(s.cfg.heartbeat, settleAfter), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.stopped {
			return
		}
		pause, err := s.beat(ctx)
		if err != nil {
			failed(err)
			return
		}
		h.timer.Reset(pause)
	})
}

// stop waits for a beat that is under way, and lets no other come.
func (h *heartbeat) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	h.timer.Stop()
}

// beat pings, or looks for what came of it, and returns when to come again.
func (s *session) beat(ctx context.Context) (time.Duration, error) {
	h := &s.heart
	step := max(s.cfg.heartbeatTimeout/20, time.Millisecond)
	if !h.pinged {
		h.pinged, h.waited, h.stuck = true, 0, 0
		h.before = s.conn.Received()
		s.conn.Ping()
		return step, nil
	}
	if h.stuck++; !s.writing.Load() {
		h.stuck = 0
	}
	was := h.sent
	_, h.sent = s.conn.Offsets()
	// What the kernel takes at once, it may just keep. The first of three beats may
	// have met a write that did just that, and filled it up.
	drains := h.stuck > 2 && h.sent > was
	if h.waited += step; s.in.stalled.Load() || drains {
		h.waited = 0
	}
	switch {
	case s.conn.Received() != h.before:
	case h.waited >= s.cfg.heartbeatTimeout:
		return 0, errSilent
	default:
		return step, nil
	}
	if !h.healthy && s.conn.Pongs() > 0 && time.Since(s.began) >= settleAfter {
		h.healthy = true
		supervisor.Healthy(ctx)
	}
	h.pinged = false
	return s.cfg.heartbeat, nil
}
