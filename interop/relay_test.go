package interop

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed73300619/relay/server"
)

// A testRelay is a relay under test, on 127.0.0.1 and always on the same port.
type testRelay interface {
	URL() string
	Start(t testing.TB) // returns when it accepts connections
	Stop(t testing.TB)  // as its operator stops it
	Kill(t testing.TB)  // without a goodbye: every connection just breaks
}

// A relayKind makes relays that have not been started yet. With a certificate
// they speak TLS.
type relayKind struct {
	name string
	new  func(t testing.TB, cert *certificate) testRelay
}

var (
	realKind = relayKind{"the real relay", newRealRelay}
	ourKind  = relayKind{"our relay", newOurRelay}
)

// onEachRelay runs the test on a fresh relay of each kind.
func onEachRelay(t *testing.T, test func(t *testing.T, r testRelay)) {
	t.Helper()
	for _, kind := range []relayKind{realKind, ourKind} {
		t.Run(kind.name, func(t *testing.T) {
			test(t, startRelay(t, kind))
		})
	}
}

func startRelay(t testing.TB, kind relayKind) testRelay {
	t.Helper()
	r := kind.new(t, nil)
	r.Start(t)
	return r
}

// A realRelay is the installed proxystore-relay in a process of its own.
type realRelay struct {
	port    int
	scheme  string
	config  string
	process *process
}

func newRealRelay(t testing.TB, cert *certificate) testRelay {
	t.Helper()
	r := &realRelay{port: freePort(t), scheme: "ws", config: filepath.Join(t.TempDir(), "relay.toml")}
	// The port is in the file, the host on the command line, so that both ways
	// of configuring are walked.
	config := fmt.Sprintf("port = %d\n", r.port)
	if cert != nil {
		r.scheme = "wss"
		config += fmt.Sprintf("certfile = %q\nkeyfile = %q\n", cert.CertFile, cert.KeyFile)
	}
	if err := os.WriteFile(r.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *realRelay) URL() string { return fmt.Sprintf("%s://127.0.0.1:%d", r.scheme, r.port) }

func (r *realRelay) Start(t testing.TB) {
	t.Helper()
	r.process = start(t, "proxystore-relay", exec.Command(python(t), "python/peer.py", "relay",
		"--config", r.config, "--host", "127.0.0.1", "--log-level", "WARNING"))
	waitForListener(t, r.port, r.process)
}

func (r *realRelay) Stop(t testing.TB) { r.process.stop(t) }
func (r *realRelay) Kill(testing.TB)   { r.process.kill() }

// Freeze leaves the connections open and says nothing on them any more.
func (r *realRelay) Freeze() { r.process.signal(syscall.SIGSTOP) }
func (r *realRelay) Thaw()   { r.process.signal(syscall.SIGCONT) }

// waitForListener waits until the process accepts connections on the port.
func waitForListener(t testing.TB, port int, p *process) {
	t.Helper()
	eventually(t, 30*time.Second, p.name+" listens", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%s has ended instead of listening", p.name)
		default:
		}
		conn, err := net.Dial("tcp4", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// An ourRelay is package server behind an http.Server in this process.
type ourRelay struct {
	port   int
	cert   *certificate
	server *server.Server
	http   *http.Server
	conns  *connTracker
}

func newOurRelay(t testing.TB, cert *certificate) testRelay {
	t.Helper()
	return &ourRelay{port: freePort(t), cert: cert}
}

func (r *ourRelay) URL() string {
	scheme := "ws"
	if r.cert != nil {
		scheme = "wss"
	}
	return fmt.Sprintf("%s://127.0.0.1:%d", scheme, r.port)
}

func (r *ourRelay) Start(t testing.TB) {
	t.Helper()
	relay, err := server.New()
	if err != nil {
		t.Fatal(err)
	}
	var listener net.Listener
	// A child of another test that has been forked, but has not become its own
	// program yet, holds a copy of the closed listener for a moment.
	eventually(t, patience, "the port is free again", func() bool {
		listener, err = net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(r.port))
		return err == nil
	})
	conns := &connTracker{Listener: listener}
	httpServer := &http.Server{Handler: relay, ReadHeaderTimeout: 10 * time.Second}
	r.server, r.http, r.conns = relay, httpServer, conns
	served := make(chan struct{})
	go func() { // ends when the listener is closed, which the cleanup does and waits for
		defer close(served)
		if r.cert == nil {
			httpServer.Serve(conns)
		} else {
			httpServer.ServeTLS(conns, r.cert.CertFile, r.cert.KeyFile)
		}
	}()
	t.Cleanup(func() {
		conns.Kill()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := relay.Shutdown(ctx); err != nil {
			t.Errorf("shutting our relay down: %v", err)
		}
		httpServer.Close()
		<-served
	})
}

// Stop closes the listener before it says goodbye: a real client that comes
// back at once and is told 503 ends its whole process.
func (r *ourRelay) Stop(t testing.TB) {
	t.Helper()
	r.http.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Errorf("shutting our relay down: %v", err)
	}
}

func (r *ourRelay) Kill(testing.TB) { r.conns.Kill() }

// A connTracker is a listener that can do to its connections what the kernel
// does to those of a killed process.
type connTracker struct {
	net.Listener
	killed atomic.Bool
	mu     sync.Mutex
	conns  []*mortalConn
}

func (l *connTracker) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	mortal := &mortalConn{TCPConn: conn.(*net.TCPConn), killed: &l.killed}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, mortal)
	return mortal, nil
}

// Kill closes the listener, then resets every connection.
func (l *connTracker) Kill() {
	l.killed.Store(true)
	l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		conn.SetLinger(0)
		conn.Close()
	}
	l.conns = nil
}

// A mortalConn does nothing more from the moment of the kill. The connections
// are reset one after the other, but a dead process does not answer on one for
// a message that it lost with another.
type mortalConn struct {
	*net.TCPConn
	killed *atomic.Bool
}

func (c *mortalConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if c.killed.Load() {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *mortalConn) Write(p []byte) (int, error) {
	if c.killed.Load() {
		return 0, net.ErrClosed
	}
	return c.TCPConn.Write(p)
}
