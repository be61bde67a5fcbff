package relay_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

// A program that closes its Outbox has said all: the client sends it, has it
// confirmed, and ends without an error.
func TestT25_ClosingTheOutboxSendsAndEnds(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		p := &tape{}
		r.Script(p.serve)
		c := r.Client("c")
		for _, text := range numbers(0, 1000) {
			c.Outbox() <- to(nobody, text)
		}
		close(c.Outbox())
		if err := c.Send(t.Context(), to(nobody, "late")); !errors.Is(err, relay.ErrClosed) {
			t.Error("a Send after it:", err)
		}
		<-c.Done()
		equal(t, "handled", p.texts(), numbers(0, 1000))
		if stats := c.Stats(); stats.Sent != 1000 || stats.InDoubt != 0 || stats.Dropped != 0 || stats.Connects != 1 {
			t.Errorf("%+v", stats)
		}
		checkEnded(t, c)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestT25_ClosingTheOutboxWhileTheRelayIsDown(t *testing.T) {
	for _, pending := range []int{0, 10} {
		t.Run(fmt.Sprint(pending, " messages"), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				p := &tape{}
				r.Script(p.serve)
				r.Stop()
				c := r.Client("c", relay.WithBackoff(time.Hour, time.Hour))
				_ = c.Inbox()
				time.Sleep(24 * time.Hour)
				start := time.Now()
				for _, text := range numbers(0, pending) {
					c.Outbox() <- to(nobody, text)
				}
				close(c.Outbox())
				if pending == 0 {
					<-c.Done()
					if d := time.Since(start); d > 0 {
						t.Errorf("nothing to send, and the end took %v", d)
					}
					return
				}
				time.Sleep(12 * time.Hour)
				r.Start()
				<-c.Done()
				equal(t, "handled", p.texts(), numbers(0, pending))
				checkEnded(t, c)
			})
		})
	}
}

// ends are the ways in which a client ends.
var ends = map[string]func(r *relaytest.Relay, c *relay.Client){
	"Close": func(_ *relaytest.Relay, c *relay.Client) { _ = c.Close() },
	"Run, whose context ends": func(_ *relaytest.Relay, c *relay.Client) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = c.Run(ctx)
	},
	"the Outbox is closed":    func(_ *relaytest.Relay, c *relay.Client) { close(c.Outbox()) },
	"a permanent failure":     func(r *relaytest.Relay, _ *relay.Client) { r.Reject(4002, "no"); r.Cut() },
	"the UUID is taken":       func(r *relaytest.Relay, _ *relay.Client) { r.Reject(4004, "taken"); r.Cut() },
	"Close before it is used": func(_ *relaytest.Relay, c *relay.Client) { _ = c.Close() },
}

// After the end, and during it, Send returns at once, whatever its context; the
// raw channel waits for ever, and a select beside Done does not.
func TestT25_ASendAfterTheEndNeverBlocks(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *relaytest.Relay) {
				c := r.Client("c")
				if !strings.Contains(name, "before") {
					connect(t, c)
				}
				waiting := make(chan error, 10)
				for range cap(waiting) { // already at it when the end comes
					go func() {
						for {
							if err := c.Send(context.Background(), to(nobody, "x")); err != nil {
								waiting <- err
								return
							}
							time.Sleep(time.Millisecond)
						}
					}()
				}
				end(r, c)
				<-c.Done()
				d := took(func() {
					for range cap(waiting) {
						if err := <-waiting; !errors.Is(err, relay.ErrClosed) {
							t.Errorf("a Send under way: %v", err)
						}
					}
					for range 100 {
						if err := c.Send(context.Background(), to(nobody, "late")); !errors.Is(err, relay.ErrClosed) || c.Err() != nil && !errors.Is(err, c.Err()) {
							t.Fatalf("a Send after the end: %v", err)
						}
					}
				})
				if d > time.Millisecond {
					t.Errorf("Send returned after %v", d)
				}
				if name != "the Outbox is closed" {
					checkRawChannel(t, c)
				}
			})
		})
	}
}

// checkRawChannel checks what the documentation says of the channel itself.
func checkRawChannel(t *testing.T, c *relay.Client) {
	t.Helper()
	for range 100 {
		select {
		case c.Outbox() <- to(nobody, "late"):
			t.Fatal("a message was taken after the end")
		case <-c.Done():
		}
	}
	select {
	case c.Outbox() <- to(nobody, "late"):
		t.Fatal("a message was taken after the end")
	case <-time.After(24 * time.Hour):
	}
}

// What the raw channel does is in the documentation, of the package and of the
// method, with what to do about it.
func TestT25_TheRawChannelIsDocumented(t *testing.T) {
	for file, phrases := range map[string][]string{
		"doc.go":   {"A send on the Outbox after the client has ended would wait for ever", "case <-c.Done():"},
		"relay.go": {"Nobody receives any more once the client has ended, so select on [Client.Done]"},
	} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, phrase := range phrases {
			if !strings.Contains(string(source), phrase) {
				t.Errorf("%s does not say %q", file, phrase)
			}
		}
	}
}
