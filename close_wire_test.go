package relay_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed73300619/relay"
)

// registers answers the upgrade and the registration.
func registers(conn net.Conn) {
	upgraded(conn)
	readFrame(conn)
	_, _ = io.WriteString(conn, text(okReply))
}

// At each stage over real sockets, from a hundred goroutines: what was accepted
// is in doubt or comes back, and neither a goroutine nor a socket is left.
func TestT23_CloseOverSockets(t *testing.T) {
	const bound = 300 * time.Millisecond
	silent := func(conn net.Conn, _ <-chan struct{}) { swallow(conn) }
	tests := []struct {
		name, scheme string
		serve        func(conn net.Conn, over <-chan struct{}) // nil: nobody listens
		state        relay.State                               // in which messages are sent, and Close is called
		message      string
		n            int // messages offered before Close, unless fewer are taken
		doubtful     bool
	}{
		{"during DNS", "ws", nil, relay.Connecting, "", 10, false},
		{"during TLS", "wss", silent, relay.Connecting, "", 10, false},
		{"during the upgrade", "ws", silent, relay.Connecting, "", 10, false},
		{"during the registration", "ws", func(conn net.Conn, _ <-chan struct{}) { upgraded(conn); swallow(conn) },
			relay.Connecting, "", 10, false},
		{"during the backoff", "ws", nil, relay.Backoff, "", 10, false},
		{"during a flush", "ws", func(conn net.Conn, _ <-chan struct{}) { registers(conn); swallow(conn) },
			relay.Connected, "", 10, true},
		{"during a stuck write", "ws", func(conn net.Conn, over <-chan struct{}) {
			_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			registers(conn)
			<-over
		}, relay.Connected, strings.Repeat("x", 8<<10), 4096, true}, // 32 MiB, more than any window holds
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			leavesNothing(t)
			over := make(chan struct{})
			url, opts := "ws://127.0.0.1:1", []relay.Option{relay.WithTimeout(bound), relay.WithBackoff(time.Hour, time.Hour)}
			switch {
			case test.serve != nil:
				url, _ = wireRelay(t, func(conn net.Conn) bool { test.serve(conn, over); return true })
			case test.state == relay.Connecting:
				dns := newNames(t)
				dns.silence()
				url, opts = "ws://relay.test:1", append(opts, dns.dialer())
			}
			c, err := relay.New(strings.Replace(url, "ws", test.scheme, 1), opts...)
			if err != nil {
				t.Fatal(err)
			}
			c.Inbox()
			awaitState(t, c.Events(), test.state)
			w := watching(c)

			var a account
			taken := make(chan struct{})
			var sending sync.WaitGroup
			sending.Go(func() {
				defer close(taken)
				for i := range test.n {
					text := fmt.Sprintf("s:%04d%s", i, test.message)
					select {
					case c.Outbox() <- to(nobody, text):
						a.accepted = append(a.accepted, text)
						taken <- struct{}{}
					case <-c.Done():
						return
					}
				}
			})
			for moves := true; moves; {
				select {
				case _, moves = <-taken:
				case <-time.After(300 * time.Millisecond): // nothing more is taken: it is stuck
					moves = false
				}
			}
			go func() {
				for range taken {
				}
			}()
			start := time.Now()
			rest := closing(t, c, 100, 5*time.Second) // on a machine that has much to do
			d := time.Since(start)
			close(over)
			sending.Wait()
			<-w.done
			outcomes{doubtful: w.doubts(), unsent: rest}.audit(t, false, a)
			if doubtful := len(w.doubts()) > 0; doubtful != test.doubtful || len(a.accepted) == 4096 {
				t.Errorf("%d in doubt of %d", len(w.doubts()), len(a.accepted))
			}
			if c.State() != relay.Closed || c.Err() != nil || c.Close() != nil {
				t.Error(c.State(), c.Err())
			}
			t.Logf("Close took %v: %d accepted = %d in doubt + %d unsent", d.Round(time.Millisecond), len(a.accepted), len(w.doubts()), len(rest))
		})
	}
}
