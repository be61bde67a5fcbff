package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/seed73300619/relay"
)

// metrics are what a tally says, by the names of the metrics.
func (c *tally) metrics() map[string]float64 {
	n := c.figures()
	return map[string]float64{
		accepted: float64(n.connections),
		`relay_registrations_total{result="accepted"}`: float64(n.registrations),
		"relay_messages_received_total":                float64(n.frames),
		"relay_bytes_received_total":                   float64(n.bytes),
		"relay_messages_forwarded_total":               float64(n.forwarded),
		refusedUnknown:                                 float64(n.bounced),
	}
}

const (
	refusedUnknown = `relay_messages_refused_total{reason="unknown_peer"}`
	refusedFull    = `relay_messages_refused_total{reason="queue_full"}`
)

// only picks what is asked for out of all metrics.
func only(all, names map[string]float64) map[string]float64 {
	some := make(map[string]float64, len(names))
	for name := range names {
		some[name] = all[name]
	}
	return some
}

// Four pairs talk all the time while the relay is killed again and again. What the
// last one counts is what went over the wires to it, to the unit.
func TestT51_CountersAfterKillsAreWhatHappened(t *testing.T) {
	const pairs, kills = 4, 20
	r := startProcess(t, "--message-rate", "0", "--byte-rate", "0")
	var life atomic.Pointer[tally] // of the relay that runs now
	life.Store(new(tally))
	options := []relay.Option{
		relay.WithBackoff(5*time.Millisecond, 50*time.Millisecond),
		relay.WithDialContext(func(ctx context.Context, network, address string) (net.Conn, error) {
			return life.Load().dial(ctx, network, address)
		}),
	}
	talking, quiet := context.WithCancel(t.Context())
	defer quiet()
	var clients []*relay.Client
	var talk, read sync.WaitGroup
	for range pairs {
		from, to := dial(t, r.url, options...), dial(t, r.url, options...)
		clients = append(clients, from, to)
		talk.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for talking.Err() == nil {
				<-tick.C
				if err := from.Send(talking, relay.Message{PeerUUID: to.UUID(), Description: "on"}); err != nil && talking.Err() == nil {
					t.Errorf("Send: %v", err)
					return
				}
			}
		})
		for _, c := range []*relay.Client{from, to} {
			read.Go(func() {
				for range c.Inbox() {
				}
			})
		}
	}
	for kill := range kills {
		before := life.Load().figures()
		eventually(t, "messages are under way", func() bool { return life.Load().figures().forwarded > before.forwarded })
		r.kill()
		life.Store(new(tally))
		r.start(t)
		eventually(t, fmt.Sprintf("all are back after kill %d", kill+1), func() bool { return life.Load().figures().registrations == 2*pairs })
	}
	quiet()
	talk.Wait()
	for _, c := range clients {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := c.Flush(ctx); err != nil && !errors.Is(err, relay.ErrInDoubt) { // of an earlier life
			t.Errorf("Flush: %v", err)
		}
		cancel()
	}
	var got, want map[string]float64
	defer func() {
		if t.Failed() {
			t.Logf("counted %v; over the wires went %v", only(got, want), want)
		}
	}()
	eventually(t, "the counters are what happened", func() bool {
		got, want = r.metrics(t), life.Load().metrics()
		return reflect.DeepEqual(only(got, want), want)
	})
	for name, want := range map[string]float64{"relay_connections": 2 * pairs, "relay_clients": 2 * pairs, "relay_queue_bytes": 0, "relay_takeovers_total": 0} {
		if got[name] != want {
			t.Errorf("%s: %v, want %v", name, got[name], want)
		}
	}
	if strange := life.Load().figures().strange; strange != 0 {
		t.Errorf("%d frames that should not have come", strange)
	}
	for _, c := range clients {
		if c.State() == relay.Closed {
			t.Errorf("a client has ended: %v", c.Err())
		}
		_ = c.Close()
	}
	read.Wait()
	t.Logf("%d kills; the last relay counted, as the wires did: %+v", kills, life.Load().figures())
}

// One client is flooded and does not read while two others talk. All is counted to
// the unit: what was forwarded, refused, returned when the one was closed, and why.
func TestT51_CountersAfterAFloodAreWhatHappened(t *testing.T) {
	const talk, refusals = 300, 25
	r := startProcess(t, "--message-rate", "0", "--byte-rate", "0", "--queue-bytes", "262144", "--write-timeout", "8s", "--ping-interval", "5m")
	var raw [4]*rawClient
	for i := range raw {
		var err error
		if raw[i], err = registerRaw(t, r.url); err != nil {
			t.Fatal(err)
		}
	}
	flooder, stuck, c, d := raw[0], raw[1], raw[2], raw[3]
	var full, unknown atomic.Int64 // echoes, by what they say
	var working errgroup.Group
	working.Go(func() error { // ends with the mark
		for {
			m, err := flooder.receive()
			switch {
			case err != nil:
				return err
			case m.PeerUUID == uuid.Nil:
				return nil
			case strings.Contains(m.Error, "does not read"):
				full.Add(1)
			default:
				unknown.Add(1)
			}
		}
	})
	flood := 0
	working.Go(func() error {
		for ; full.Load() < refusals; flood++ {
			if err := flooder.send(stuck.id, strings.Repeat("x", 30_000)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, pair := range [][2]*rawClient{{c, d}, {d, c}} {
		working.Go(func() error {
			for i := range talk {
				if err := pair[0].send(pair[1].id, fmt.Sprint(i)); err != nil {
					return err
				}
			}
			return nil
		})
		working.Go(func() error {
			for i := range talk {
				if m, err := pair[1].receive(); err != nil || m.Description != fmt.Sprint(i) {
					return fmt.Errorf("%v, %w, want number %d", m, err, i)
				}
			}
			return nil
		})
	}
	eventually(t, "the one that does not read is closed", func() bool { return r.metrics(t)["relay_write_timeouts_total"] == 1 })
	eventually(t, "it is gone", func() bool { return r.metrics(t)["relay_connections"] == 3 })
	if err := flooder.send(uuid.Nil, "the mark, behind all else"); err != nil {
		t.Fatal(err)
	}
	if err := working.Wait(); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		accepted: 4, `relay_registrations_total{result="accepted"}`: 4,
		"relay_connections": 3, "relay_clients": 3, "relay_queue_bytes": 0,
		refusedFull:                       float64(full.Load()),
		refusedUnknown:                    1,
		"relay_messages_returned_total":   float64(unknown.Load()),
		"relay_messages_dropped_total":    0,
		"relay_messages_forwarded_total":  float64(2*talk + flood - int(full.Load())),
		"relay_write_timeouts_total":      1,
		`relay_closes_total{code="1008"}`: 1,
		"relay_throttled_total":           0,
	}
	for _, client := range raw {
		want["relay_messages_received_total"] += float64(client.sent)
		want["relay_bytes_received_total"] += float64(client.bytes)
	}
	if got := only(r.metrics(t), want); !reflect.DeepEqual(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	if unknown.Load() == 0 {
		t.Error("nothing was returned, which shows little")
	}
	t.Logf("%d messages to one that does not read: %d refused, %d returned when it was closed with 1008, the others in its socket; %d between the others",
		flood, full.Load(), unknown.Load(), 2*talk)
}

// Whoever scrapes is answered soon, and well, while the relay has work to do.
func TestT51_AScrapeUnderLoad(t *testing.T) {
	const pairs, scrapes, bound = 50, 100, 50 * time.Millisecond
	r := startProcess(t, "--message-rate", "0", "--byte-rate", "0", "--accept-rate", "0", "--ping-interval", "10m")
	talking, quiet := context.WithCancel(t.Context())
	var talk errgroup.Group
	defer func() { _ = talk.Wait() }()
	defer quiet()
	for range pairs {
		from, err := registerRaw(t, r.url)
		if err != nil {
			t.Fatal(err)
		}
		to, err := registerRaw(t, r.url)
		if err != nil {
			t.Fatal(err)
		}
		talk.Go(func() error {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for talking.Err() == nil {
				<-tick.C
				if err := from.send(to.id, strings.Repeat("x", 1000)); err != nil {
					return err
				}
			}
			return to.Abort()
		})
		talk.Go(func() error {
			for {
				if _, err := to.receive(); err != nil {
					return nil // the end
				}
			}
		})
	}
	// /healthz has nothing to do: how long its answer takes is this machine's doing,
	// which other programs may keep busy for longer than the bound.
	ask := func(path, want string) time.Duration {
		start := time.Now()
		if status, body := r.get(path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Fatalf("%s: %d, no %q", path, status, want)
		}
		return time.Since(start)
	}
	for round := 1; ; round++ {
		before := r.metrics(t)["relay_messages_forwarded_total"]
		begin := time.Now()
		var health, scrape [scrapes]time.Duration
		for i := range scrapes {
			health[i] = ask("/healthz", "ok")
			scrape[i] = ask("/metrics", "\nrelay_clients 100\n")
		}
		rate := (r.metrics(t)["relay_messages_forwarded_total"] - before) / time.Since(begin).Seconds()
		median, p99, idle := percentile(scrape[:], 50), percentile(scrape[:], 99), percentile(health[:], 99)
		t.Logf("%d scrapes at %.0f messages a second: median %v, p99 %v, bound %v; p99 of /healthz %v", scrapes, rate, median, p99, bound, idle)
		if median < bound && p99 < bound+idle {
			break
		}
		if round == 10 {
			t.Fatalf("p99 of a scrape is %v, want less than %v, or not that much more than %v", p99, bound, idle)
		}
	}
}
