package server

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

var (
	// ErrServerClosed is returned by [Server.ServeConn] after [Server.Shutdown].
	ErrServerClosed = errors.New("server: closed")
	// ErrTooManyConnections is returned by [Server.ServeConn] when as many
	// connections as [WithMaxConnections] allows are open.
	ErrTooManyConnections = errors.New("server: too many connections")
)

// retryAfter is for whom there was no place, in seconds.
const retryAfter = "5"

// A Server is a relay server. It is made by [New], and its methods may be
// called by any goroutine at any time.
type Server struct {
	config
	upgrader      transport.Upgrader
	answerOK      []byte // to a registration
	answerCrowded []byte
	registry      registry
	stats         counters
	oddities      oddities

	idle chan struct{} // closed, once, when the server is stopping and no connection is left

	mu       sync.Mutex // never held over a wait
	active   int        // connections, from before their handshake to their very end
	accepted uint64     // and the last connection's id
	conns    map[*conn]struct{}
	closed   map[int]uint64
	stopping bool // no new connections
	cutting  bool // Shutdown has run out of time
}

// New returns a server with the given options. It checks them and starts
// nothing: a server that was never used needs no Shutdown.
func New(opts ...Option) (*Server, error) {
	config, err := newConfig(opts)
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
	return &Server{
		config: config,
		upgrader: transport.Upgrader{
			MaxFrameBytes: maxFrameBytes,
			WriteTimeout:  config.writeTimeout,
			CheckOrigin:   config.checkOrigin,
		},
		answerOK:      answerOK,
		answerCrowded: answerCrowded,
		idle:          make(chan struct{}),
		conns:         make(map[*conn]struct{}),
		closed:        make(map[int]uint64),
	}, nil
}

// ServeHTTP upgrades any request for a WebSocket, whatever its path and
// query, and returns: the connection is the Server's from then on. Without a
// place for it the answer is 503, with Retry-After unless the server is
// shutting down.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch s.admit() {
	case ErrServerClosed:
		w.Header().Set("Connection", "close")
		http.Error(w, "Server is shutting down.", http.StatusServiceUnavailable)
		return
	case ErrTooManyConnections:
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", retryAfter)
		http.Error(w, reasonCrowded, http.StatusServiceUnavailable)
		return
	}
	served := false
	defer func() {
		if !served { // not upgraded, or CheckOrigin panicked
			s.release()
		}
	}()
	ws, err := s.upgrader.Upgrade(w, r)
	if err != nil { // the client has been told
		s.logger.Debug("not upgraded", "remote", r.RemoteAddr, "error", err)
		return
	}
	served = true
	go s.serve(s.open(ws, r.RemoteAddr)) // Shutdown waits for it
}

// ServeConn serves a connection that was not made by ServeHTTP, such as the
// server end of a [transport.Pipe]. It returns nil when the connection has
// ended and nothing of it is left. When ctx ends the connection is closed
// with 1001. If there is no place for it, ServeConn closes it and returns
// [ErrServerClosed] or [ErrTooManyConnections].
func (s *Server) ServeConn(ctx context.Context, ws transport.Conn) error {
	if err := s.admit(); err != nil {
		if err == ErrServerClosed {
			ws.Close(codeGoingAway, "")
		} else {
			ws.Close(codeTryLater, reasonCrowded)
		}
		return err
	}
	c := s.open(ws, "")
	stop := context.AfterFunc(ctx, func() { c.end(codeGoingAway, "") })
	defer stop()
	s.serve(c)
	return nil
}

// Shutdown refuses new connections, ends all others with 1001 behind what
// their queues hold, and returns when nothing of them is left. When ctx ends
// first they are cut off, and its error is returned, still after the last one
// is gone. Shutdown may be called again, and waits again. An http.Server in
// front of it is shut down apart.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.stopping {
		s.stopping = true
		s.checkIdle()
	}
	s.mu.Unlock()
	for _, c := range s.snapshot() {
		c.end(codeGoingAway, "")
	}
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.cutting = true
	s.mu.Unlock()
	for _, c := range s.snapshot() {
		c.cut()
	}
	<-s.idle
	return ctx.Err()
}

// admit takes a place for a connection, to be given back with release.
func (s *Server) admit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch {
	case s.stopping:
		err = ErrServerClosed
	case s.active >= s.maxConnections:
		err = ErrTooManyConnections
	default:
		s.active++
		return nil
	}
	s.stats.rejected.Add(1)
	return err
}

func (s *Server) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	s.checkIdle()
}

// checkIdle is called under mu when stopping begins and when a place is given
// back. As none is taken any more, both cannot find the server idle.
func (s *Server) checkIdle() {
	if s.stopping && s.active == 0 {
		close(s.idle)
	}
}

// open makes a connection of a socket.
func (s *Server) open(ws transport.Conn, remote string) *conn {
	c := &conn{s: s, ws: ws, remote: remote, queue: newQueue(s.queueBytes)}
	c.echoes.init(c)
	c.ctx, c.stop = context.WithCancel(context.Background())
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
	return c
}

// serve runs c to its end, in this goroutine and one more.
func (s *Server) serve(c *conn) {
	var writer sync.WaitGroup
	writer.Go(c.write)
	c.read()
	writer.Wait()
	s.mu.Lock()
	delete(s.conns, c)
	s.closed[c.code]++
	s.mu.Unlock()
	s.release()
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
