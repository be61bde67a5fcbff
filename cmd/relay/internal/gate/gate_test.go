package gate

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a network in memory, so that tests can run in a bubble.
type memory struct {
	conns  chan net.Conn
	closed chan struct{} // closed by Close
}

func newMemory() *memory { return &memory{make(chan net.Conn, 100), make(chan struct{})} }

func (m *memory) dial() net.Conn {
	client, server := net.Pipe()
	m.conns <- server
	return client
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { close(m.closed); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// accepts lets connections in until l is closed.
func accepts(l *Listener) <-chan net.Conn {
	in := make(chan net.Conn, 100) // closed here
	go func() {
		defer close(in)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			in <- c
		}
	}()
	return in
}

func TestT44_ConnectionsAreSpreadOutToTheRate(t *testing.T) {
	tests := []struct {
		name   string
		limits Limits
		want   []time.Duration // since the start
	}{
		{"no rate", Limits{}, []time.Duration{0, 0, 0, 0, 0}},
		{"a burst, then the rate", Limits{AcceptRate: 10, Burst: 3}, []time.Duration{0, 0, 0, 100, 200}},
		{"no burst given: a second's worth", Limits{AcceptRate: 2}, []time.Duration{0, 0, 500, 1000, 1500}},
		{"less than one a second", Limits{AcceptRate: 0.5}, []time.Duration{0, 2000, 4000, 6000, 8000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := newMemory()
				l := New(inner, tt.limits)
				defer l.Close()
				delayed := uint64(0)
				for range tt.want {
					inner.dial()
				}
				start := time.Now()
				in := accepts(l)
				for i, want := range tt.want {
					<-in
					if got := time.Since(start); got != want*time.Millisecond {
						t.Errorf("connection %d came in after %v, want %v", i, got, want*time.Millisecond)
					}
					if want > 0 {
						delayed++
					}
				}
				if s := l.Stats(); s.Accepted != uint64(len(tt.want)) || s.Delayed != delayed || s.Cut != 0 {
					t.Errorf("%+v, want %d accepted, %d delayed", s, len(tt.want), delayed)
				}
			})
		})
	}
}

func TestTheBurstComesBackWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newMemory()
		l := New(inner, Limits{AcceptRate: 1, Burst: 2})
		defer l.Close()
		in := accepts(l)
		for range 2 { // an hour saves up two, not 3600
			inner.dial()
			inner.dial()
			inner.dial()
			start := time.Now()
			<-in
			<-in
			if got := time.Since(start); got != 0 {
				t.Errorf("the burst took %v", got)
			}
			if <-in; time.Since(start) != time.Second {
				t.Errorf("the third came after %v, want 1s", time.Since(start))
			}
			time.Sleep(time.Hour)
		}
	})
}

func TestAFullGateMakesRoomOnlyWhenItMay(t *testing.T) {
	tests := []struct {
		name string
		free func(l *Listener, first, second net.Conn)
		want time.Duration // until the third comes in
		cut  uint64
	}{
		{"one is closed", func(_ *Listener, first, _ net.Conn) { first.Close() }, 0, 0},
		{"one is upgraded", func(l *Listener, _, second net.Conn) { l.ConnState(second, http.StateHijacked) }, 0, 0},
		{"the limit is raised", func(l *Listener, _, _ net.Conn) { l.SetLimits(Limits{MaxHandshakes: 3}) }, 0, 0},
		{"one is at work on its request", func(l *Listener, first, _ net.Conn) { l.ConnState(first, http.StateActive) }, Grace, 1},
		{"nothing happens", func(*Listener, net.Conn, net.Conn) {}, Grace, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := newMemory()
				l := New(inner, Limits{MaxHandshakes: 2})
				defer l.Close()
				in := accepts(l)
				client := inner.dial()
				first := <-in
				inner.dial()
				second := <-in
				start := time.Now()
				inner.dial()
				synctest.Wait()
				select {
				case <-in:
					t.Fatal("three let in where two may be on their way")
				default:
				}
				tt.free(l, first, second)
				<-in
				if got := time.Since(start); got != tt.want {
					t.Errorf("the third came in after %v, want %v", got, tt.want)
				}
				if s := l.Stats(); s.Cut != tt.cut || s.Delayed != 1 {
					t.Errorf("%+v, want %d cut", s, tt.cut)
				}
				if tt.cut > 0 {
					if _, err := client.Read(make([]byte, 1)); err == nil {
						t.Error("the one that was on its way longest lives")
					}
				}
			})
		})
	}
}

func TestAPlaceIsGivenBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newMemory()
		l := New(inner, Limits{MaxHandshakes: 2})
		defer l.Close()
		in := accepts(l)
		inner.dial()
		c := <-in
		inner.dial()
		<-in
		l.ConnState(c, http.StateHijacked)
		c.Close()
		c.Close()
		if s := l.Stats(); s.Handshakes != 1 {
			t.Errorf("%d on their way, want 1", s.Handshakes)
		}
	})
}

func TestCloseEndsAnAcceptThatWaits(t *testing.T) {
	for name, limits := range map[string]Limits{
		"for the rate": {AcceptRate: 0.001, Burst: 1},
		"for room":     {MaxHandshakes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := newMemory()
				l := New(inner, limits)
				inner.dial()
				if _, err := l.Accept(); err != nil {
					t.Fatal(err)
				}
				client := inner.dial()
				failed := make(chan error, 2)
				for range 2 { // one holds the connection, the other waits for its turn
					go func() {
						_, err := l.Accept()
						failed <- err
					}()
				}
				synctest.Wait()
				start := time.Now()
				l.Close()
				for range 2 {
					if err := <-failed; !errors.Is(err, net.ErrClosed) {
						t.Errorf("%v, want net.ErrClosed", err)
					}
				}
				if waited := time.Since(start); waited != 0 {
					t.Errorf("Close took effect after %v", waited)
				}
				if _, err := client.Read(make([]byte, 1)); err == nil {
					t.Error("the connection that waited was left open")
				}
			})
		})
	}
}
