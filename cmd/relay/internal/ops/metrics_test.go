package ops

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed73300619/relay/cmd/relay/internal/gate"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/transport"
)

// scrape returns every sample of /metrics by its name and labels.
func scrape(t *testing.T, h http.Handler) map[string]float64 {
	t.Helper()
	answer := get(h, "GET", "/metrics")
	if answer.Code != http.StatusOK {
		t.Fatalf("/metrics: %d %s", answer.Code, answer.Body)
	}
	samples := make(map[string]float64)
	for line := range strings.Lines(answer.Body.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(line[end:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		samples[line[:end]] = v
	}
	return samples
}

// What is scraped is what has happened, to the unit.
func TestT51_MetricsAreWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t, server.WithAuthenticator(byHeader{}), server.WithMaxRegistrations(2),
			server.WithQueueBytes(4096), server.WithWriteTimeout(time.Minute), server.WithKeepalive(time.Hour, time.Hour))
		h := New(r.Server(), Options{})
		defer h.Close()
		defer r.Close()
		tally := tally{}
		ana, friend := exchange(t, r, tally)
		refusals(t, r, tally, ana.id)

		again, err := enter(t, r, "ana", friend.id)
		if code := friend.closed(); err != nil || code != 4004 {
			t.Errorf("taken over: %v, %d", err, code)
		}
		tally.add(`relay_connections_total{result="accepted"}`, 1)
		tally.add(`relay_registrations_total{result="accepted"}`, 1)
		tally.add("relay_messages_received_total", 1)
		tally.add("relay_takeovers_total", 1)
		tally.add(`relay_closes_total{code="4004"}`, 1)

		idle, err := dial(t, r, "ana")
		if err != nil {
			t.Fatal(err)
		}
		tally.add("relay_connections", 1)
		tally.add("relay_connections_unregistered", 1)
		tally.add(`relay_connections_total{result="accepted"}`, 1)
		tally.compare(t, h)
		if code := idle.closed(); code != 1008 {
			t.Errorf("not registered, and closed with %d", code)
		}
		tally.add("relay_connections", -1)
		tally.add("relay_connections_unregistered", -1)
		tally.add("relay_register_timeouts_total", 1)
		tally.add(`relay_closes_total{code="1008"}`, 1)

		unread(ana, again, tally)
		synctest.Wait()
		stats := r.Server().Stats()
		if tally["relay_queue_bytes"] = float64(stats.QueuedBytes); stats.QueuedBytes == 0 {
			t.Error("nothing waits")
		}
		tally.compare(t, h)
		time.Sleep(2 * time.Minute) // again has not read, and is closed
		synctest.Wait()
		got := scrape(t, h)
		if got["relay_write_timeouts_total"] != 1 || got["relay_messages_returned_total"] == 0 || got["relay_queue_bytes"] != 0 {
			t.Errorf("write timeouts %v, returned %v, queued %v", got["relay_write_timeouts_total"], got["relay_messages_returned_total"], got["relay_queue_bytes"])
		}
	})
}

// exchange has two clients talk, and one of them with others that it cannot
// reach.
func exchange(t *testing.T, r *relaytest.Relay, tally tally) (ana, friend *peer) {
	ana, friend = registered(t, r, "ana"), registered(t, r, "ana")
	bo := registered(t, r, "bo")
	tally.add(`relay_connections_total{result="accepted"}`, 3)
	tally.add(`relay_registrations_total{result="accepted"}`, 3)
	tally.add("relay_messages_received_total", 3)

	bytes := ana.send(50, ana.id, friend.id, "hello")
	friend.receive(50)
	tally.add("relay_messages_forwarded_total", 50)
	tally.add("relay_bytes_forwarded_total", bytes)

	ana.send(7, ana.id, uuid.New(), "anybody?")
	ana.send(5, ana.id, bo.id, "stranger")
	ana.send(3, friend.id, friend.id, "I am my friend")
	if n := ana.receive(15); n != 15 {
		t.Errorf("%d of 15 came back", n)
	}
	tally.add(`relay_messages_refused_total{reason="unknown_peer"}`, 7)
	tally.add(`relay_messages_refused_total{reason="other_user"}`, 5)
	tally.add(`relay_messages_refused_total{reason="spoofed"}`, 3)
	tally.add("relay_messages_received_total", 50+15)

	// One UUID more is accepted on a connection, a third is not.
	if ana.register(uuid.New()) != nil || ana.register(uuid.New()) == nil {
		t.Error("not two registrations of two on a connection")
	}
	tally.add(`relay_registrations_total{result="accepted"}`, 1)
	tally.add(`relay_registrations_total{result="too_many_of_connection"}`, 1)
	tally.add("relay_messages_received_total", 2)
	tally.add("relay_connections", 3)
	tally.add("relay_clients", 4)
	return ana, friend
}

// refusals has clients come that are not let in.
func refusals(t *testing.T, r *relaytest.Relay, tally tally, taken uuid.UUID) {
	for i, refused := range []struct {
		user   string
		id     uuid.UUID
		result string
		code   int
	}{
		{"", uuid.New(), "unauthorized", 4001},
		{"nobody", uuid.New(), "forbidden", 4002},
		{"unknown", uuid.New(), "auth_failed", 1011},
		{"bo", taken, "other_user", 4002},
	} {
		n := i + 1 // so that no two counts are the same
		for range n {
			p, err := enter(t, r, refused.user, refused.id)
			if bye, ok := errors.AsType[*transport.CloseError](err); !ok || bye.Code != refused.code {
				t.Errorf("as %q: %v", refused.user, err)
			}
			p.Close(1000, "")
		}
		tally.add(`relay_connections_total{result="accepted"}`, n)
		tally.add("relay_messages_received_total", n)
		tally.add(fmt.Sprintf("relay_registrations_total{result=%q}", refused.result), n)
		tally.add(fmt.Sprintf("relay_closes_total{code=\"%d\"}", refused.code), n)
	}
	tally.add(`relay_auth_seconds_count{result="refused"}`, 1+2)
	tally.add(`relay_auth_seconds_count{result="failed"}`, 3)
}

// unread has from send to a client that does not read, until its messages come
// back.
func unread(from, to *peer, tally tally) {
	const n = 9
	bytes := from.send(n, from.id, to.id, strings.Repeat("x", 60_000))
	from.send(1, from.id, uuid.Nil, "is behind them")
	bounced := 0
	for more := true; more; bounced++ {
		frame, _, err := from.ReadFrame()
		if err != nil {
			from.t.Fatal(err)
		}
		more = !strings.Contains(string(frame), "is behind them")
	}
	bounced--
	tally.add("relay_messages_received_total", n+1)
	tally.add("relay_messages_forwarded_total", n-bounced)
	tally.add("relay_bytes_forwarded_total", (n-bounced)*bytes/n)
	tally.add(`relay_messages_refused_total{reason="queue_full"}`, bounced)
	tally.add(`relay_messages_refused_total{reason="unknown_peer"}`, 1)
}

// A tally is what a test has counted, by the names of the metrics.
type tally map[string]float64

func (c tally) add(metric string, n int) { c[metric] += float64(n) }

// compare fails the test for every figure of the relay that is not in the
// tally, 0 if it is not mentioned. Times are not compared.
func (c tally) compare(t *testing.T, h *Handler) {
	t.Helper()
	synctest.Wait()
	c["relay_build_info{go_version=\""+runtime.Version()+"\",version=\"\"}"] = 1
	got := scrape(t, h)
	for name, n := range got {
		untold := strings.HasPrefix(name, "relay_bytes_received") || strings.Contains(name, "_seconds") && !strings.HasPrefix(name, "relay_auth_seconds_count{result=\"f")
		if strings.HasPrefix(name, "relay_") && !untold && n != c[name] {
			t.Errorf("%s is %v, counted were %v", name, n, c[name])
		}
	}
	for name := range c {
		if _, ok := got[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
}

// Each limit has its count.
func TestEveryLimitIsCounted(t *testing.T) {
	plain := func(t *testing.T, r *relaytest.Relay) {
		c := &http.Client{Transport: &http.Transport{DialContext: r.DialContext, DisableKeepAlives: true}}
		answer, err := c.Get("http" + strings.TrimPrefix(r.URL, "ws"))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	again := func(t *testing.T, r *relaytest.Relay) {
		if _, err := dial(t, r, ""); err == nil {
			t.Error("a second connection was let in")
		}
	}
	for _, c := range []struct {
		metric string
		option server.Option
		do     func(t *testing.T, r *relaytest.Relay)
	}{
		{`relay_connections_total{result="too_many"}`, server.WithMaxConnections(1), again},
		{`relay_connections_total{result="too_many_of_address"}`, server.WithMaxConnectionsPerAddress(1), again},
		{`relay_connections_total{result="too_many_unregistered"}`, server.WithMaxUnregistered(1), again},
		{`relay_connections_total{result="not_upgraded"}`, server.WithMaxConnections(2), plain},
		{`relay_registrations_total{result="too_many_of_user"}`, server.WithMaxConnectionsPerUser(1), func(t *testing.T, r *relaytest.Relay) {
			registered(t, r, "ana")
			if _, err := enter(t, r, "ana", uuid.New()); err == nil {
				t.Error("a second registration was accepted")
			}
		}},
		{`relay_throttled_total`, server.WithMessageRate(1), func(t *testing.T, r *relaytest.Relay) {
			p := registered(t, r, "ana")
			p.send(20, p.id, uuid.New(), "fast")
			eventually(t, "the sender is slowed down", func() bool { return r.Server().Stats().Throttled > 0 })
		}},
	} {
		t.Run(c.metric, func(t *testing.T) {
			r, h := newRelay(t, Options{}, server.WithAuthenticator(byHeader{}), c.option)
			if _, err := dial(t, r, "ana"); err != nil {
				t.Fatal(err)
			}
			if n := scrape(t, h)[c.metric]; n != 0 {
				t.Errorf("%v at the start", n)
			}
			c.do(t, r)
			if n := scrape(t, h)[c.metric]; n != 1 {
				t.Errorf("%v, want 1", n)
			}
		})
	}
}

func TestWhatIsAroundTheRelayIsMeasured(t *testing.T) {
	end := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	_, h := newRelay(t, Options{
		Version:            "1.2.3",
		Gate:               func() gate.Stats { return gate.Stats{Handshakes: 1, Accepted: 20, Delayed: 3, Cut: 4} },
		CertificateExpiry:  func() time.Time { return end },
		CertificateReloads: func() (done, refused uint64) { return 5, 6 },
	})
	got := scrape(t, h)
	for name, want := range map[string]float64{
		`relay_build_info{go_version="` + runtime.Version() + `",version="1.2.3"}`: 1,
		"relay_ready":           1,
		"relay_gate_handshakes": 1, "relay_gate_accepted_total": 20, "relay_gate_delayed_total": 3, "relay_gate_cut_total": 4,
		"relay_certificate_expiry_timestamp_seconds":        float64(end.Unix()),
		`relay_certificate_reloads_total{result="done"}`:    5,
		`relay_certificate_reloads_total{result="refused"}`: 6,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if got["go_goroutines"] == 0 || got["process_open_fds"] == 0 {
		t.Error("nothing of the process itself")
	}
	h.Drain()
	if scrape(t, h)["relay_ready"] != 0 {
		t.Error("ready while draining")
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	r := relaytest.New(t)
	h := New(r.Server(), Options{})
	defer h.Close()
	problems, err := testutil.GatherAndLint(registry(r.Server(), h, Options{
		Version:            "test",
		Gate:               func() gate.Stats { return gate.Stats{} },
		CertificateExpiry:  time.Now,
		CertificateReloads: func() (uint64, uint64) { return 0, 0 },
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Nothing that a client chooses becomes a label: the number of series would
// have no bound.
func TestNoLabelIsOfAClient(t *testing.T) {
	r, h := newRelay(t, Options{})
	c := join(t, r, "a-name-to-find")
	body := get(h, "GET", "/metrics").Body.String()
	if uuids := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-`).FindAllString(body, -1); len(uuids) > 0 {
		t.Errorf("UUIDs: %v", uuids)
	}
	for _, private := range []string{c.Name(), "127.0.0.1"} {
		if strings.Contains(body, private) {
			t.Errorf("%q is in the metrics", private)
		}
	}
}

func BenchmarkScrape(b *testing.B) {
	r := relaytest.Start()
	defer r.Close()
	h := New(r.Server(), Options{})
	defer h.Close()
	for b.Loop() {
		if answer := get(h, "GET", "/metrics"); answer.Code != http.StatusOK {
			b.Fatal(answer.Code)
		}
	}
}
