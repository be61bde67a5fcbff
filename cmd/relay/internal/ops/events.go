package ops

import (
	"encoding/json"
	"net/http"
	"time"
)

const (
	// maxViewers is how many may watch at a time; each costs a snapshot a second.
	maxViewers = 32
	// viewerPatience is how long a viewer may take for one snapshot.
	viewerPatience = 5 * time.Second
)

// events sends what the page shows, as server-sent events: one at once, then
// one a second, which tell a viewer also that the connection lives. Its query
// is the page's. A viewer that is slow misses some; one that does not read is
// dropped.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) {
	if h.viewers.Add(1) > maxViewers {
		h.viewers.Add(-1)
		w.Header().Set("Retry-After", "10")
		answer(w, http.StatusServiceUnavailable, "Too many are watching.")
		return
	}
	defer h.viewers.Add(-1)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would hold them back
	if r.Method == http.MethodHead {
		return
	}
	h.log.Debug("somebody watches the status page", "remote", r.RemoteAddr)
	err := h.stream(w, r)
	h.log.Debug("somebody has watched the status page", "remote", r.RemoteAddr, "error", err)
}

// stream sends samples until the viewer leaves, which may be an error, or the
// Handler is closed.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) error {
	v, control := parseView(r.URL.Query()), http.NewResponseController(w)
	message := []byte("retry: 1000\n")
	for {
		s := h.sampler.latest.Load()
		snapshot, err := h.snapshot(s, v)
		if err != nil {
			return err
		}
		message = append(append(append(message, "data: "...), snapshot...), "\n\n"...)
		// This also takes the place of the http.Server's WriteTimeout.
		if err := control.SetWriteDeadline(time.Now().Add(viewerPatience)); err != nil {
			return err
		}
		if _, err := w.Write(message); err != nil {
			return err
		}
		if err := control.Flush(); err != nil {
			return err
		}
		message = message[:0]
		select {
		case <-s.next:
		case <-r.Context().Done():
			return nil
		case <-h.done:
			return nil
		}
	}
}

// snapshot returns the page of a sample as JSON. It is made once for all who
// want the same.
func (h *Handler) snapshot(s *sample, v view) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if made, ok := s.snapshots[v]; ok {
		return made, nil
	}
	made, err := json.Marshal(h.render(s, v))
	if err != nil {
		return nil, err
	}
	if s.snapshots == nil {
		s.snapshots = make(map[view][]byte)
	}
	s.snapshots[v] = made
	return made, nil
}
