package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

var (
	// ErrServerClosed is returned by [Server.ServeConn] after [Server.Shutdown].
	ErrServerClosed = errors.New("server: closed")
	// ErrTooManyConnections is returned by [Server.ServeConn] when as many
	// connections as [WithMaxConnections] or [WithMaxUnregistered] allow are open.
	ErrTooManyConnections = errors.New("server: too many connections")
)

// retryAfter is for whom there was no place, in seconds.
const retryAfter = "5"

// A Server is a relay server. It is made by [New], and its methods may be
// called by any goroutine at any time.
type Server struct {
	settings      atomic.Pointer[config]
	answerOK      []byte // to a registration
	answerCrowded []byte
	places        places
	registry      registry
	stats         counters
	oddities      oddities

	mu       sync.Mutex // never held over a wait
	accepted uint64     // the last connection's id
	conns    map[*conn]struct{}
	closed   map[int]uint64
	stopping bool // end what is opened
	cutting  bool // Shutdown has run out of time
}

// New returns a server with the given options. It checks them and starts
// nothing: a server that was never used needs no Shutdown.
func New(opts ...Option) (*Server, error) {
	config, err := defaults.with(opts)
	if err != nil {
		return nil, err
	}
	answerOK, err := codec.Response{Success: true}.Append(nil)
	if err != nil {
		return nil, err
	}
	answerCrowded, err := codec.Response{
		Error:   true,
		Message: "ForbiddenError: Too many clients are registered on this connection.",
	}.Append(nil)
	if err != nil {
		return nil, err
	}
	s := &Server{
		answerOK:      answerOK,
		answerCrowded: answerCrowded,
		conns:         make(map[*conn]struct{}),
		closed:        make(map[int]uint64),
	}
	s.set(config)
	s.places.init()
	return s, nil
}

// Reconfigure replaces the options of New, all of them. The limits on how many
// connections there are apply at once, also to those that are open, though none
// is closed; everything else to the connections that are opened from now on. If
// an option is refused, nothing changes.
func (s *Server) Reconfigure(opts ...Option) error {
	config, err := defaults.with(opts)
	if err != nil {
		return err
	}
	s.set(config)
	return nil
}

func (s *Server) set(config *config) {
	config.logger = slog.New(guardedLog{config.logger.Handler(), &s.stats.logPanics})
	s.settings.Store(config)
}

func (s *Server) config() *config { return s.settings.Load() }

// ServeHTTP upgrades any request for a WebSocket, whatever its path and
// query, and returns: the connection is the Server's from then on. Without a
// place for it the answer is 503, or 429 when its address has too many, with
// Retry-After unless the server is shutting down.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, cfg := time.Now(), s.config()
	remote, address := origin(r, cfg.proxies)
	place, refused := s.places.take(address, cfg)
	if refused != admitted {
		s.reject(w, refused, remote)
		return
	}
	served := false
	defer func() {
		if !served { // not upgraded, or CheckOrigin panicked
			s.places.give(place)
		}
	}()
	upgrader := transport.Upgrader{MaxFrameBytes: maxFrameBytes, WriteTimeout: cfg.writeTimeout, CheckOrigin: cfg.checkOrigin}
	ws, err := upgrader.Upgrade(w, r)
	if err != nil { // the client has been told
		s.stats.notUpgraded.Add(1)
		cfg.logger.Debug("not upgraded", "remote", remote, "error", err)
		return
	}
	served = true
	c := &conn{s: s, cfg: cfg, ws: ws, remote: remote, asked: asked, place: place}
	if cfg.authenticator != nil { // else they are not worth their memory
		c.credentials = &Credentials{Header: r.Header, TLS: r.TLS, RemoteAddr: remote}
	}
	s.open(c)
	go s.serve(c) // Shutdown waits for it
}

// reject answers a request for which there is no place.
func (s *Server) reject(w http.ResponseWriter, why rejection, remote string) {
	s.stats.rejected[why].Add(1)
	status, text := http.StatusServiceUnavailable, reasonCrowded
	switch why {
	case rejectedStopping:
		text = "Server is shutting down."
	case rejectedAddress:
		status, text = http.StatusTooManyRequests, reasonAddress
	}
	w.Header().Set("Connection", "close")
	if why != rejectedStopping {
		w.Header().Set("Retry-After", retryAfter)
		if hidden, ok := s.oddities.rejected[why].allow(); ok {
			s.config().logger.Warn("refusing a connection", "remote", remote, "status", status, "reason", why.String(), "hidden", hidden)
		}
	}
	http.Error(w, text, status)
}

// ServeConn serves a connection that was not made by ServeHTTP, such as the
// server end of a [transport.Pipe]. It returns nil when the connection has
// ended and nothing of it is left. When ctx ends the connection is closed
// with 1001. If there is no place for it, ServeConn closes it and returns
// [ErrServerClosed] or [ErrTooManyConnections].
func (s *Server) ServeConn(ctx context.Context, ws transport.Conn) error {
	asked, cfg := time.Now(), s.config()
	place, refused := s.places.take(netip.Addr{}, cfg)
	if refused != admitted {
		s.stats.rejected[refused].Add(1)
		if refused == rejectedStopping {
			ws.Close(codeGoingAway, "")
			return ErrServerClosed
		}
		ws.Close(codeTryLater, reasonCrowded)
		return ErrTooManyConnections
	}
	c := &conn{s: s, cfg: cfg, ws: ws, asked: asked, place: place, credentials: &Credentials{}}
	s.open(c)
	stop := context.AfterFunc(ctx, func() { c.end(codeGoingAway, "") })
	defer stop()
	s.serve(c)
	return nil
}

// Shutdown refuses new connections, ends all others with 1001 behind what
// their queues hold, spread as [WithShutdownSpread] says, and returns when
// nothing of them is left. When ctx ends first they are cut off, and its error
// is returned, still after the last one is gone. Shutdown may be called again,
// and waits again. An http.Server in front of it is shut down apart.
func (s *Server) Shutdown(ctx context.Context) error {
	s.places.stop()
	conns := s.snapshot()
	gap := min(s.config().shutdownSpread/time.Duration(max(len(conns), 1)), maxShutdownGap)
	start := time.Now()
	for i, c := range conns {
		// By the clock: gaps of less than a millisecond, each of them a little late
		// on a busy machine, would add up to several times the window.
		if wait := time.Until(start.Add(time.Duration(i) * gap)); wait > 0 {
			pause(ctx, wait)
		}
		c.end(codeGoingAway, "")
	}
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	for _, c := range s.snapshot() { // opened meanwhile: they had their place
		c.end(codeGoingAway, "")
	}
	select {
	case <-s.places.idle:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.cutting = true
	s.mu.Unlock()
	for _, c := range s.snapshot() {
		c.cut()
	}
	<-s.places.idle
	return ctx.Err()
}

// maxShutdownGap is the longest time between the ends of two connections.
const maxShutdownGap = 10 * time.Millisecond

// open makes a connection what it has to be to be served.
func (s *Server) open(c *conn) {
	c.opening = time.Since(c.asked)
	c.queue = newQueue(c.cfg.queueBytes)
	c.rates = newRates(c.cfg)
	c.echoes.init(c)
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.pending.Add(1)
	c.ws.OnWake(c.wake)
	s.mu.Lock()
	s.accepted++
	c.id = s.accepted
	s.conns[c] = struct{}{}
	stopping, cutting := s.stopping, s.cutting
	s.mu.Unlock()
	switch { // Shutdown has not seen it
	case cutting:
		c.cut()
	case stopping:
		c.end(codeGoingAway, "")
	}
	c.startTimers()
}

// serve runs c to its end: it reads, and others write when there is something.
func (s *Server) serve(c *conn) {
	c.read()
	c.pending.Wait()
	s.mu.Lock()
	delete(s.conns, c)
	s.closed[known(c.code)]++
	s.mu.Unlock()
	s.places.give(c.place)
}

func (s *Server) snapshot() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}
