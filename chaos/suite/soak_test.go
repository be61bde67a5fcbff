package suite

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/faultproxy"
	"github.com/seed73300619/relay/chaos/process"
)

// go test ./suite -run T49 -soak 10m is the long form.
var soak = flag.Duration("soak", 12*time.Second, "how long T49 goes on with each relay")

// sample is what is in use at a moment at which everybody is connected.
type sample struct {
	Resources
	heap       int // bytes, ours
	relayFiles int
	relayBytes int // resident
}

// Fifty clients lose their connection every second, while they talk: what is in
// use in the end is what was in use half-way.
func TestT49_ReconnectingForEverCostsNothing(t *testing.T) {
	duration := *soak
	for _, make := range relays(t) {
		r, err := make()
		if err != nil {
			t.Fatal(err)
		}
		t.Run(r.Kind, func(t *testing.T) {
			before := Measure()
			flat(t, soakRelay(t, r, duration))
			if after := before.Back(10 * time.Second); after.Exceed(before) {
				t.Errorf("before: %v; after: %v", before, after)
			}
		})
	}
}

func soakRelay(t *testing.T, r *process.Relay, duration time.Duration) (samples []sample) {
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer r.Kill()
	proxy, err := faultproxy.New(strings.TrimPrefix(r.URL, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var clients []*relay.Client
	var talks sync.WaitGroup
	for number := range 50 {
		c, err := relay.New(proxy.URL(), relay.WithName(fmt.Sprint("soaked ", number)), relay.WithBackoff(5*time.Millisecond, 50*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	for number, c := range clients {
		peer := clients[(number+1)%len(clients)].UUID()
		talks.Go(func() {
			for range c.Inbox() {
			}
		})
		talks.Go(func() {
			for wait(ctx, 10*time.Millisecond) {
				if err := c.Send(ctx, relay.Message{PeerUUID: peer, Description: "hello"}); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(duration); time.Now().Before(end); <-tick.C {
		proxy.Each((*faultproxy.Link).Reset)
		for _, c := range clients {
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		samples = append(samples, take(t, r))
	}
	cancel()
	var sum relay.Stats
	for _, c := range clients {
		c.Close() // what was in doubt or unsent is none of this test's
		stats := c.Stats()
		sum.Connects += stats.Connects
		sum.Sent += stats.Sent
		sum.Received += stats.Received
	}
	talks.Wait()
	t.Logf("%d registrations, %d messages sent, %d received", sum.Connects, sum.Sent, sum.Received)
	if want := uint64(len(clients) * len(samples) / 2); sum.Connects < want || sum.Received < sum.Sent/2 {
		t.Errorf("want %d registrations at least, and most messages", want)
	}
	return samples
}

// take takes a sample.
func take(t *testing.T, r *process.Relay) (s sample) {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	s.Resources, s.heap = Measure(), int(memory.HeapAlloc)
	s.relayFiles = process.OpenFiles(r.PID())
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.PID())); err == nil {
		if match := regexp.MustCompile(`VmRSS:\s*(\d+) kB`).FindSubmatch(status); match != nil {
			kib, err := strconv.Atoi(string(match[1]))
			if err != nil {
				t.Fatal(err)
			}
			s.relayBytes = kib << 10
		}
	}
	return s
}

// flat compares the last quarter of the samples with the one before it.
func flat(t *testing.T, samples []sample) {
	t.Helper()
	quarter := len(samples) / 4
	for _, row := range []struct {
		name   string
		of     func(sample) int
		margin int // beyond a tenth
	}{
		{"goroutines", func(s sample) int { return s.Goroutines }, 100},
		{"open files", func(s sample) int { return s.Files }, 50},
		{"heap in bytes", func(s sample) int { return s.heap }, 1 << 20},
		{"open files of the relay", func(s sample) int { return s.relayFiles }, 50},
		{"resident bytes of the relay", func(s sample) int { return s.relayBytes }, 8 << 20},
	} {
		third, fourth := median(samples[2*quarter:3*quarter], row.of), median(samples[3*quarter:], row.of)
		t.Logf("%s: third quarter %d, fourth quarter %d", row.name, third, fourth)
		if fourth > third+third/10+row.margin {
			t.Errorf("%s grow: %d in the third quarter, %d in the fourth", row.name, third, fourth)
		}
	}
}

func median(samples []sample, of func(sample) int) int {
	var all []int
	for _, s := range samples {
		all = append(all, of(s))
	}
	slices.Sort(all)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)/2]
}
