// Package ops is what a relay server shows to those who run it, on an address
// of its own: health and readiness, metrics for Prometheus, and a page to look
// at, live in a browser and complete without JavaScript.
//
// Everything is read-only and nothing of it is authenticated: the page shows
// who is connected, so the address belongs on loopback, or behind something
// that asks who is there. A name that resolves to loopback does not get a
// foreign web page in: the page, its events and the profiles answer only to an
// IP address, to localhost and to [Options].Hosts, and never to a request that
// another site has made. Metrics and health, without names and addresses in
// them, answer whoever asks.
package ops

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed73300619/relay/cmd/relay/internal/gate"
	"github.com/seed73300619/relay/server"
)

// Options of a [Handler]. The zero value is of use.
type Options struct {
	Version string       // of the program, for the page and relay_build_info
	Hosts   []string     // names, without port, by which the page may be asked for
	PProf   bool         // serve /debug/pprof/
	Log     *slog.Logger // what goes wrong, and at Debug who watches; nil: nothing

	// More to measure; nil: there is none.
	Gate               func() gate.Stats
	CertificateExpiry  func() time.Time              // of the certificate in use
	CertificateReloads func() (done, refused uint64) // since the start
}

// A Handler serves /, /healthz, /readyz, /metrics and, if so configured,
// /debug/pprof/. It is made by [New], and its methods may be called by any
// goroutine. Its http.Server may have any timeouts: the events of the page,
// which never end by themselves, set their own.
type Handler struct {
	mux     http.Handler
	log     *slog.Logger
	version string
	hosts   map[string]bool
	state   atomic.Int32
	sampler *sampler
	viewers atomic.Int32

	end     sync.Once
	done    chan struct{} // closed by Close
	working sync.WaitGroup
}

// The states of a Handler, in their order.
const (
	starting int32 = iota
	serving
	draining
)

var states = [...]string{"starting", "serving", "draining"}

// New returns a Handler for a relay, and starts the goroutine that takes its
// figures every second. Close ends it.
func New(relay *server.Server, o Options) *Handler {
	h := &Handler{log: o.Log, version: o.Version, hosts: make(map[string]bool), done: make(chan struct{})}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	for _, host := range o.Hosts {
		h.hosts[canonical(host)] = true
	}
	h.sampler = newSampler(relay)
	h.working.Go(func() { h.sampler.run(h.done) })

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", h.healthz)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", metrics(relay, h, o))
	mux.Handle("GET /{$}", h.guard(h.page))
	mux.Handle("GET /events", h.guard(h.events))
	mux.Handle("GET /style.css", h.guard(asset("style.css", "text/css; charset=utf-8")))
	mux.Handle("GET /live.js", h.guard(asset("live.js", "text/javascript; charset=utf-8")))
	mux.Handle("GET /icon.svg", h.guard(asset("icon.svg", "image/svg+xml")))
	if o.PProf {
		mux.Handle("GET /debug/pprof/", h.guard(pprof.Index))
		mux.Handle("GET /debug/pprof/cmdline", h.guard(pprof.Cmdline))
		mux.Handle("GET /debug/pprof/profile", h.guard(pprof.Profile))
		mux.Handle("GET /debug/pprof/symbol", h.guard(pprof.Symbol))
		mux.Handle("GET /debug/pprof/trace", h.guard(pprof.Trace))
	}
	h.mux = mux
	return h
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.mux.ServeHTTP(w, r)
}

// Ready makes /readyz answer 200, unless Drain was called.
func (h *Handler) Ready() { h.state.CompareAndSwap(starting, serving) }

// Drain makes /readyz answer 503, for good. Everything else goes on.
func (h *Handler) Drain() { h.state.Store(draining) }

// Close ends the event streams, so that Shutdown of an http.Server does not
// wait for them, and the Handler's goroutine, for which it waits. The rest goes
// on being served, with the last figures. It may be called again.
func (h *Handler) Close() {
	h.end.Do(func() { close(h.done) })
	h.working.Wait()
}

// healthz tells that the process serves.
func (h *Handler) healthz(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") }

// readyz tells whether clients should be sent here.
func (h *Handler) readyz(w http.ResponseWriter, _ *http.Request) {
	switch h.state.Load() {
	case starting:
		answer(w, http.StatusServiceUnavailable, "not ready: starting")
	case draining:
		answer(w, http.StatusServiceUnavailable, "not ready: draining")
	default:
		answer(w, http.StatusOK, "ready")
	}
}

func answer(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(line + "\n"))
}
