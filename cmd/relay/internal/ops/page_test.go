package ops

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/server"
)

// crowd returns n connections.
func crowd(n int) []connection {
	list := make([]connection, n)
	for i := range list {
		list[i] = connection{in: float64(i % 7), Connection: server.Connection{
			ID: uint64(i + 1), RemoteAddr: fmt.Sprintf("127.0.0.1:%d", 10000+i), Opened: time.Now(),
			Clients: []server.Registered{{UUID: uuid.New(), Name: fmt.Sprintf("client %d", i)}},
		}}
	}
	return list
}

// hostile are names as nobody should choose them.
var hostile = []string{
	`<script>document.title="owned"</script>`,
	`"><img src=x onerror='document.title="owned"'>`,
	`</td></table><h1>owned</h1>`,
	"evil\u202egnp.exe",
	"zero\u200bwidth\u2066isolate\x1b[31mred\x00",
	"{{.}} ${7*7} javascript:alert(1)",
	strings.Repeat("long ", 200),
}

func TestNamesAreShownAndDoNothing(t *testing.T) {
	r, h := newRelay(t, Options{})
	for _, name := range hostile {
		join(t, r, name)
	}
	eventually(t, "all are sampled", func() bool { return len(h.sampler.latest.Load().connections) == len(hostile) })
	html := get(h, "GET", "/?find="+url.QueryEscape("")).Body.String()
	for _, raw := range append(hostile[:3:3], "<h1>owned", "<img", "\u202e", "\u200b", "\u2066", "\x1b", "\x00") {
		if strings.Contains(html, raw) {
			t.Errorf("in the page as it came: %.40q", raw)
		}
	}
	for _, shown := range []string{"&lt;script&gt;document.title", `evil\u202egnp.exe`, `zero\u200bwidth\u2066isolate`} {
		if !strings.Contains(html, shown) {
			t.Errorf("not in the page: %s", shown)
		}
	}
}

func TestASearchIsEscapedToo(t *testing.T) {
	_, h := newRelay(t, Options{})
	html := get(h, "GET", "/?refresh=1&find="+url.QueryEscape(`"><script>x</script>`)).Body.String()
	if strings.Contains(html, "<script>x") || !strings.Contains(html, `http-equiv="refresh"`) {
		t.Error("not escaped, or no refresh")
	}
	if v := parseView(url.Values{"find": {strings.Repeat("é", 1000)}, "sort": {"nonsense"}}); len(v.Find) > maxFind || v.Sort != "" {
		t.Errorf("%d bytes, sort %q", len(v.Find), v.Sort)
	}
}

func TestALongListIsCut(t *testing.T) {
	s := &sample{connections: crowd(1234)}
	table, shown := connectionTable(s, view{})
	if len(table.Rows) != maxListed || shown != "The first 500, and 734 more" {
		t.Errorf("%d rows, %q", len(table.Rows), shown)
	}
	if table, shown = connectionTable(s, view{Find: "CLIENT 77"}); len(table.Rows) != 11 || shown != "11 of 1,234" {
		t.Errorf("%d rows, %q", len(table.Rows), shown)
	}
}

func TestConnectionsAreFoundAndSorted(t *testing.T) {
	all := crowd(3)
	all[0].Clients[0].Name, all[1].Clients[0].Name, all[2].Clients = "b", "A", nil
	all[0].User.Name, all[1].User.ID = "Ana", "user 42"
	all[0].in, all[1].in, all[2].in = 1, 2, 0
	all[0].out, all[1].out = 2, 1
	all[2].QueuedBytes = 5
	for _, c := range []struct {
		view view
		want []uint64
	}{
		{view{}, []uint64{1, 2, 3}},
		{view{Sort: "newest"}, []uint64{3, 2, 1}},
		{view{Sort: "name"}, []uint64{3, 2, 1}},
		{view{Sort: "in"}, []uint64{2, 1, 3}},
		{view{Sort: "out"}, []uint64{1, 2, 3}},
		{view{Sort: "queue"}, []uint64{3, 1, 2}},
		{view{Find: "ana"}, []uint64{1}},
		{view{Find: "user 42"}, []uint64{2}},
		{view{Find: ":10002"}, []uint64{3}},
		{view{Find: strings.ToUpper(all[1].Clients[0].UUID.String())}, []uint64{2}},
		{view{Find: "nobody"}, nil},
	} {
		found, _ := c.view.list(all)
		var got []uint64
		for _, f := range found {
			got = append(got, f.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.view, got, c.want)
		}
	}
}

func TestAConnectionIsDescribed(t *testing.T) {
	now := time.Now()
	c := crowd(1)[0]
	c.Opened = now.Add(-90 * time.Second)
	if r := c.row(now); r.Mark != "" || r.Cells[4] != "1m 30s" || r.Cells[2] != "–" || r.Cells[10] != "ok" {
		t.Errorf("%+v", r)
	}
	c.Behind = true
	c.Clients = append(c.Clients, server.Registered{UUID: uuid.New()})
	if r := c.row(now); r.Mark != "alert" || r.Cells[10] != "does not read" || !strings.HasSuffix(r.Cells[1], " +1") {
		t.Errorf("%+v", r)
	}
	c.Behind, c.Clients = false, nil
	if r := c.row(now); r.Cells[0] != "–" || r.Cells[10] != "not registered" {
		t.Errorf("%+v", r)
	}
}

// What a second of traffic was is what the page says, and the past stays as it
// was.
func TestRatesAreOfTheLastSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t, server.WithKeepalive(time.Hour, time.Hour))
		defer r.Close()
		a, b := registered(t, r, ""), registered(t, r, "")
		h := New(r.Server(), Options{})
		defer h.Close()
		size := a.send(40, a.id, b.id, "hello") / 40
		b.receive(40)
		a.send(2, a.id, uuid.New(), "nobody")
		a.receive(2)
		time.Sleep(interval + interval/2)
		s := h.sampler.latest.Load()
		if want := (point{40, float64(40 * size), 2, 2, 0, 0}); s.history[1] != want {
			t.Errorf("%v, want %v", s.history[1], want)
		}
		if c := s.connections; c[0].in != 42 || c[0].out != 2 || c[1].in != 0 || c[1].out != 40 || c[1].outBytes != float64(40*size) {
			t.Errorf("%+v", c)
		}
		a.Close(1000, "")
		time.Sleep(400 * interval)
		later := h.sampler.latest.Load()
		if n := len(later.history); n != span || len(later.connections) != 1 || later.connections[0].ID != 2 {
			t.Errorf("%d points, %+v", n, later.connections)
		}
		if want := (point{0, 0, 0, 1, 0, 0}); later.history[span-1] != want {
			t.Errorf("%v, want %v", later.history[span-1], want)
		}
		if s.history[1][0] != 40 || len(s.history) != 2 {
			t.Error("an old sample has changed")
		}
	})
}

func TestFiguresAreReadable(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{number(0), "0"}, {number(0.04), "< 0.1"}, {number(0.25), "0.2"}, {number(7), "7"}, {number(9.9), "9.9"}, {number(8.01), "8"}, {number(9.96), "10"},
		{number(1234.4), "1,234"}, {number(999999), "999,999"}, {number(1234567), "1.23 M"}, {number(45.6e9), "45.6 G"},
		{byteCount(0), "0 B"}, {byteCount(999.4), "999 B"}, {byteCount(999.6), "1.00 kB"}, {byteCount(12345), "12.3 kB"},
		{byteCount(999600), "1.00 MB"}, {byteCount(5e18), "5000 PB"},
		{axis(byteCount(10000)), "10 kB"}, {axis(byteCount(2e6)), "2 MB"}, {axis(number(1000)), "1,000"},
		{count(1234567), "1,234,567"}, {count(123), "123"},
		{duration(-time.Second), "0s"}, {duration(59 * time.Second), "59s"}, {duration(61 * time.Second), "1m 01s"},
		{duration(3*time.Hour + 5*time.Minute), "3h 05m"}, {duration(50 * time.Hour), "2d 02h"},
		{visible("plain ä 漢"), "plain ä 漢"}, {visible("\u202ex\n"), `\u202ex\u000a`},
		{visible(strings.Repeat("é", 60)), strings.Repeat("é", maxName) + "…"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestPlotsAreDrawnToScale(t *testing.T) {
	for _, c := range []struct {
		values []float64
		top    float64
		line   string
	}{
		{[]float64{0}, 10, "M300 60"},
		{[]float64{0, 10, 5}, 10, "M298 60L299 0L300 30"},
		{[]float64{5, 5, 5, 5, 0}, 10, "M296 30L299 30L300 60"},
	} {
		line, area := draw(c.values, c.top)
		if line != c.line || !strings.HasPrefix(area, line) || !strings.HasSuffix(area, "Z") {
			t.Errorf("%v: %s, %s", c.values, line, area)
		}
	}
	for _, c := range []struct{ v, want float64 }{{1, 1}, {1.5, 2}, {10, 10}, {10.1, 20}, {21, 50}, {51, 100}, {999, 1000}, {1e6, 1e6}} {
		if got := ceiling(c.v); got != c.want {
			t.Errorf("ceiling(%v) = %v, want %v", c.v, got, c.want)
		}
	}
}
