package server

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhoSendsTooMuchIsSlowedDownAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		option   Option
		text     string
		messages int
		takes    time.Duration
	}{
		"messages, all at once":   {WithMessageRate(100), "x", 100, 0},
		"messages":                {WithMessageRate(100), "x", 300, 2 * time.Second},
		"bytes":                   {WithByteRate(64 << 10), strings.Repeat("x", 64<<10-len(message(alice, bob, ""))), 4, 2 * time.Second},
		"bytes are not limited":   {WithByteRate(0), strings.Repeat("x", 64<<10), 4, 0},
		"messages are not either": {WithMessageRate(0), "x", 300, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, WithMessageRate(100)) // of the two others
				c, d := join(t, s).register(carol), join(t, s).register(dave)
				if err := s.Reconfigure(tt.option); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // which is not saved up
				a, b := join(t, s).register(alice), join(t, s).register(bob)
				time.Sleep(time.Second)
				start := time.Now()
				go func() {
					for range tt.messages {
						a.send(alice, bob, tt.text)
					}
				}()
				for i := range tt.messages {
					b.receive()
					if i == 0 {
						before := time.Now()
						c.send(carol, dave, "meanwhile")
						d.receive()
						if took := time.Since(before); took != 0 {
							t.Errorf("others waited for %v", took)
						}
					}
				}
				if took := time.Since(start).Round(20 * time.Millisecond); took != tt.takes {
					t.Errorf("%d messages took %v, want %v", tt.messages, took, tt.takes)
				}
				if n := s.Stats().Throttled; (n > 0) != (tt.takes > 0) {
					t.Errorf("throttled %d times", n)
				}
			})
		})
	}
}

func TestWhoSendsTooMuchIsNotTakenForDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithByteRate(64<<10))
		a, b := join(t, s).register(alice), join(t, s).register(bob)
		go func() {
			for range 5 {
				a.send(alice, bob, strings.Repeat("x", 1<<20-len(message(alice, bob, ""))))
			}
		}()
		go func() { // answers pings
			for {
				if _, _, err := a.ReadFrame(); err != nil {
					return
				}
			}
		}()
		answering, wake := make(chan struct{}), wakes(b)
		go func() {
			for {
				select {
				case <-wake:
					b.Flush()
				case <-answering:
					return
				}
			}
		}()
		start := time.Now()
		for range 5 {
			b.receive()
		}
		close(answering)
		if took := time.Since(start); took < time.Minute {
			t.Errorf("took %v", took)
		}
		a.Abort()
		synctest.Wait()
	})
}
