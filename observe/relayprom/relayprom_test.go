package relayprom_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/observe"
	"github.com/seed73300619/relay/observe/relayprom"
	"github.com/seed73300619/relay/relaytest"
)

// scrape returns every sample that is not zero by its name and labels.
func scrape(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	samples := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetName() != "relay" {
					labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
				}
			}
			key := fmt.Sprintf("%s{%s}", strings.TrimPrefix(family.GetName(), "relay_client_"), strings.Join(labels, ","))
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				samples[key] = v
			}
		}
	}
	return samples
}

func compare(t *testing.T, got, want map[string]float64) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if got[key] != want[key] {
			t.Errorf("%s is %v, want %v", key, got[key], want[key])
		}
	}
	for key, value := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("%s is missing, want %v", key, value)
		}
	}
}

func observed(t *testing.T) (*observe.Clients, *prometheus.Registry) {
	t.Helper()
	clients := new(observe.Clients)
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(relayprom.New(clients)); err != nil {
		t.Fatal(err)
	}
	return clients, registry
}

func add(t *testing.T, clients *observe.Clients, name string, c *relay.Client) {
	t.Helper()
	if err := clients.Add(name, c); err != nil {
		t.Fatal(err)
	}
}

// What is scraped is what has happened, to the unit.
func TestObserve_ScrapesAreWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients, registry := observed(t)
		compare(t, scrape(t, registry), nil)

		r := relaytest.NewInMemory(t)
		a := r.Client("a")
		b := r.Client("b", relay.WithInbox(relay.InboxPolicy{MaxBytes: 1000, WhenFull: relay.DropNewest}))
		add(t, clients, "sender", a)
		add(t, clients, "reader", b)
		want := map[string]float64{`instances{client="sender"}`: 1, `instances{client="reader"}`: 1}
		compare(t, scrape(t, registry), want)

		// The relay is away for two attempts, then refuses one.
		restore := r.Refuse()
		_ = a.TryConnect(t.Context())
		_ = a.TryConnect(t.Context())
		restore()
		restore = r.Respond(http.StatusServiceUnavailable, nil)
		_ = a.TryConnect(t.Context())
		restore()
		restore = r.Reject(4003, "no")
		_ = a.TryConnect(t.Context())
		restore()
		for _, c := range []*relay.Client{a, b} {
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want[`connected{client="sender"}`], want[`connected{client="reader"}`] = 1, 1
		want[`connects_total{client="sender",result="network"}`] = 2
		want[`connects_total{client="sender",result="status"}`] = 1
		want[`connects_total{client="sender",result="registration"}`] = 1
		want[`connects_total{client="sender",result="connected"}`] = 1
		want[`connects_total{client="reader",result="connected"}`] = 1
		compare(t, scrape(t, registry), want)

		// 100 messages of which b's inbox holds some, one that comes back, two refused.
		for range 100 {
			a.Outbox() <- relay.Message{PeerUUID: b.UUID(), Description: "hello"}
		}
		a.Outbox() <- relay.Message{PeerUUID: uuid.New(), Description: "to nobody"}
		a.Outbox() <- relay.Message{PeerUUID: b.UUID(), Description: "\xff"}
		a.Outbox() <- relay.Message{PeerUUID: b.UUID(), Description: strings.Repeat("x", 2<<20)}
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		dropped := b.Stats().DroppedNewest
		if dropped == 0 || dropped >= 100 {
			t.Fatalf("%d were dropped", dropped)
		}
		want[`messages_sent_total{client="sender"}`] = 101
		want[`bytes_sent_total{client="sender"}`] = float64(a.Stats().SentBytes)
		want[`messages_received_total{client="reader"}`] = 100
		want[`bytes_received_total{client="reader"}`] = float64(b.Stats().ReceivedBytes)
		want[`dropped_total{client="reader",policy="drop_newest",queue="inbox"}`] = float64(dropped)
		// Of its own events nobody has read any: of those that a peer causes half are
		// kept of the 64 that may wait.
		want[`events_lost_total{client="reader"}`] = float64(2 + dropped - 32)
		want[`inbox_messages{client="reader"}`] = float64(100 - dropped)
		want[`inbox_bytes{client="reader"}`] = float64(b.Stats().InboxBytes)
		want[`messages_received_total{client="sender"}`] = 1
		want[`bytes_received_total{client="sender"}`] = float64(a.Stats().ReceivedBytes)
		want[`messages_undelivered_total{client="sender"}`] = 1
		want[`inbox_messages{client="sender"}`] = 1
		want[`dropped_total{client="sender",policy="refuse",queue="outbox"}`] = 2
		compare(t, scrape(t, registry), want)

		// 3 messages are written into a relay that is dead, then the connection breaks.
		thaw := r.Freeze()
		for range 3 {
			if err := a.Send(t.Context(), relay.Message{PeerUUID: b.UUID()}); err != nil {
				t.Fatal(err)
			}
		}
		want[`messages_sent_total{client="sender"}`] = 104
		want[`bytes_sent_total{client="sender"}`] = float64(a.Stats().SentBytes)
		want[`unconfirmed_messages{client="sender"}`] = 3
		compare(t, scrape(t, registry), want)
		restore = r.Refuse()
		r.Cut()
		thaw()
		synctest.Wait()
		a.Outbox() <- relay.Message{PeerUUID: b.UUID()} // waits
		synctest.Wait()
		for _, name := range []string{"sender", "reader"} {
			delete(want, fmt.Sprintf(`connected{client=%q}`, name))
			want[fmt.Sprintf(`disconnects_total{client=%q,code="1006"}`, name)] = 1
		}
		delete(want, `unconfirmed_messages{client="sender"}`)
		want[`messages_in_doubt_total{client="sender"}`] = 3
		want[`outbox_messages{client="sender"}`] = 1
		want[`backoff_seconds{client="sender"}`] = a.Stats().Backoff.Seconds()
		want[`backoff_seconds{client="reader"}`] = b.Stats().Backoff.Seconds()
		compare(t, scrape(t, registry), want)
		if d := a.Stats().Backoff; d <= 0 || d > time.Second {
			t.Errorf("backoff %v", d)
		}
		restore()

		clients.Remove(a)
		clients.Remove(b)
		compare(t, scrape(t, registry), nil)
	})
}

// seriesOfOne is how many series there are of one name and one relay, always.
const seriesOfOne = 53

func TestObserve_NamesAreThoseOfPrometheus(t *testing.T) {
	clients, registry := observed(t)
	c, err := relay.New("ws://relay.test")
	if err != nil {
		t.Fatal(err)
	}
	add(t, clients, "some", c)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if series, err := testutil.GatherAndCount(registry); err != nil || series != seriesOfOne {
		t.Errorf("%d series of one client, %v", series, err)
	}
	if err := registry.Register(relayprom.New(clients)); err == nil {
		t.Error("two collectors of the same registry")
	}
}

// The table in the package's documentation is that of the code.
func TestObserve_TheTableIsTold(t *testing.T) {
	file, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(file), "# Metrics\n\n")
	section, _, _ = strings.Cut(section, "\n\n")
	var got, want []string
	for line := range strings.Lines(section) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	for _, m := range observe.Metrics() {
		want = append(want, strings.Join(append([]string{m.Name, m.Kind.String()}, m.Labels...), " "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("doc.go has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if text := string(file); !regexp.MustCompile(`queue policy +outbox refuse, inbox drop_oldest, inbox drop_newest, inbox disconnect, inbox closed`).MatchString(text) {
		t.Error("doc.go does not tell the policies")
	}
	for _, m := range observe.Metrics() {
		for _, p := range m.Points {
			if m.Labels != nil && m.Labels[0] == "result" && !strings.Contains(string(file), " "+p.Values[0]) {
				t.Errorf("doc.go does not tell of %v", p.Values)
			}
		}
	}
}

// No secret and no UUID is in what is scraped.
func TestObserve_NoSecretIsScraped(t *testing.T) {
	const canary = "canary-1b7e"
	synctest.Test(t, func(t *testing.T) {
		clients, registry := observed(t)
		r := relaytest.NewInMemory(t)
		c, err := relay.New("ws://user:"+canary+"@relay.test/path?token="+canary, relay.WithDialContext(r.DialContext), relay.WithName(canary),
			relay.WithHeader(http.Header{"X-Secret": {canary}}))
		if err != nil {
			t.Fatal(err)
		}
		add(t, clients, "some", c)
		restore := r.Reject(4003, "because of "+canary)
		_ = c.TryConnect(t.Context())
		restore()
		_ = c.Send(t.Context(), relay.Message{PeerUUID: c.UUID(), Description: canary})
		_ = c.Flush(t.Context())
		r.Cut()
		synctest.Wait()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(families)
		if !strings.Contains(text, "ws://relay.test/path") || strings.Contains(text, canary) || strings.Contains(text, c.UUID().String()) || strings.Contains(text, "user") {
			t.Errorf("a secret, or nothing, was scraped:\n%s", text)
		}
		_ = c.Close()
	})
}

// Scrapes come at any time, from anywhere; counters never fall, and nothing is
// left behind.
func TestObserve_ScrapesUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pairs, each = 4, 500
		clients, registry := observed(t)
		r := relaytest.NewInMemory(t)
		defer r.Close()
		var stop atomic.Bool
		var scrapes atomic.Int64
		var scraping, talking sync.WaitGroup
		for range 2 {
			scraping.Go(func() {
				last := make(map[string]float64)
				for !stop.Load() {
					now := scrape(t, registry)
					for key, value := range now {
						if strings.Contains(key, "_total") && value < last[key] {
							t.Errorf("%s fell from %v to %v", key, last[key], value)
						}
					}
					last = now
					scrapes.Add(1)
				}
			})
		}
		for pair := range pairs {
			a, b := r.Client("a"), r.Client("b")
			add(t, clients, "senders", a)
			add(t, clients, fmt.Sprint("reader ", pair), b)
			if err := b.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			talking.Go(func() {
				for range each {
					a.Outbox() <- relay.Message{PeerUUID: b.UUID(), Description: "x"}
				}
			})
			talking.Go(func() {
				for range each {
					if _, err := b.Recv(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		talking.Wait()
		stop.Store(true)
		scraping.Wait()
		now := scrape(t, registry)
		if now[`messages_sent_total{client="senders"}`] != pairs*each {
			t.Errorf("%v messages sent", now[`messages_sent_total{client="senders"}`])
		}
		for pair := range pairs {
			if n := now[fmt.Sprintf(`messages_received_total{client="reader %d"}`, pair)]; n != each {
				t.Errorf("reader %d: %v messages", pair, n)
			}
		}
		t.Logf("%d scrapes", scrapes.Load())
	})
}
