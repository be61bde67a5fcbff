package report

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/bench/turns"
)

var update = flag.Bool("update", false, "write testdata anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("not as in %s (go test -update, if it should be):\n%s", file, got)
	}
}

var someRun = Run{
	Command: "go run . -run 'P[13]' -out ../docs/performance", Turns: 3, Date: "2026-11-26 14:11 UTC", Load: "0.08 0.02 0.01", Commit: "1438e17",
	Machine: Machine{CPU: "Some CPU", Cores: 2, Memory: "23.5 GiB", Kernel: "linux 6.18", Go: "go1.26 amd64", Versions: "gorilla/websocket v1.5.3, nats-io/nats.go v1.55.0"},
}

// some are results of all kinds: several cases, figures and units, goals for
// ratios and for our figure, sides without a goal, and one that was left out.
func some() []Result {
	oneWay := func(name string, goal float64, ours, nats, gorilla []float64) Result {
		return Result{ID: "P1", Title: "one way", Run: someRun, Result: turns.Result{
			Case: turns.Case{Name: name, Unit: "messages/s", Figures: []string{""}, Sides: []turns.Side{
				{Name: "relay"},
				{Name: "nats.go", Goals: []turns.Goal{{ID: "P1", AtLeast: goal}}},
				{Name: "gorilla"},
				{Name: "Python", Skip: "no .venv", Goals: []turns.Goal{{ID: "P1p", AtLeast: 40}}},
			}},
			Values: [][][]float64{{ours}, {nats}, {gorilla}, {nil}},
			Took:   90 * time.Second,
		}}
	}
	codec := func(name string, least, ours, theirs float64) Result {
		return Result{ID: "P7", Title: "codec", Run: someRun, Result: turns.Result{
			Case:   turns.Case{Name: name, Unit: "messages/s", Figures: []string{""}, Sides: []turns.Side{{Name: "ours"}, {Name: "sonic", Goals: []turns.Goal{{ID: "P7", AtLeast: least}}}}},
			Values: [][][]float64{{{ours}}, {{theirs}}},
		}}
	}
	later := someRun
	later.Command, later.Date = "go run . -run P3 -out ../docs/performance", "2026-11-27 09:00 UTC"
	return []Result{
		oneWay("64 B", 1, []float64{1.23e6, 1e6, 1.5e6}, []float64{1e6, 1.1e6, 1e6}, []float64{123456, 130000, 120000}),
		oneWay("1 KB", 1, []float64{500e3, 450e3, 400e3}, []float64{1e6, 1e6, 1e6}, []float64{99960, 99960, 99960}),
		oneWay("16 KB", 1.5, []float64{30e3, 40e3, 50e3}, []float64{20e3, 20e3, 20e3}, []float64{20.1e3, 20e3, 20e3}),
		{ID: "P3", Title: "round trip", Run: later, Result: turns.Result{
			Case: turns.Case{Name: "64 B", Unit: "s", Figures: []string{"p50", "p99"}, Sides: []turns.Side{
				{Name: "relay"},
				{Name: "gorilla", Goals: []turns.Goal{{ID: "P3", AtMost: 1.25}}},
			}},
			Values: [][][]float64{{{38.1e-6, 40e-6, 36e-6}, {1e-3, 2e-3, 3e-3}}, {{38.1e-6, 38e-6, 38e-6}, {85e-6, 85e-6, 85e-6}}},
			Took:   time.Second,
		}},
		{ID: "P5", Title: "an idle connection", Run: later, Result: turns.Result{
			Case: turns.Case{Name: "server", Units: []string{"B", "objects"}, Figures: []string{"memory", "allocated"}, Sides: []turns.Side{
				{Name: "relay", Goals: []turns.Goal{{ID: "P5", AtMost: 10 << 10}, {ID: "P5", Figure: 1, AtMost: 0.01}}},
				{Name: "nats-server"},
			}},
			Values: [][][]float64{{{9900, 9950, 9990}, {0, 0, 0}}, {{25000, 25000, 25000}, {0, 2, 2}}},
		}},
		// More than a line has room for.
		codec("encode 64 B", 2, 3e6, 1e6), codec("encode 1 KB", 2, 1.5e6, 1e6), codec("encode 16 KB", 2, 20e6, 1e6), codec("encode SDP", 2, 5e6, 1e6), codec("decode", 1, 2e6, 1e6),
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, some()); err != nil {
		t.Fatal(err)
	}
	golden(t, "table.txt", b.Bytes())
}

func TestPage(t *testing.T) {
	golden(t, "page.md", page(some()))

	quick := some()[:1]
	quick[0].Run.Quick = true
	if !strings.Contains(string(page(quick)), "means nothing") {
		t.Error("a quick run is not marked")
	}
}

func TestSection(t *testing.T) {
	before := "# relay\n\n<!-- chaos -->\nchaos\n<!-- end -->\n\n<!-- bench -->\nold\n<!-- end -->\nbehind\n"
	got, err := Section([]byte(before), some(), "docs/performance")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "section.md", got)
	if again, err := Section(got, some(), "docs/performance"); err != nil || !bytes.Equal(again, got) {
		t.Errorf("it does not stay: %v\n%s", err, again)
	}
	if got, err := Section([]byte("<!-- end --> <!-- bench -->\n"), some(), ""); err == nil {
		t.Errorf("a page without a section became %s", got)
	}
}

func TestDigits(t *testing.T) {
	for _, test := range []struct {
		unit       string
		v          float64
		want, name string
	}{
		{"messages/s", 1_234_567, "1.23M", "messages/s"},
		{"messages/s", 999_600, "1.00M", "messages/s"},
		{"messages/s", 99_960, "100k", "messages/s"},
		{"messages/s", 9_870, "9.87k", "messages/s"},
		{"messages/s", 2.5e9, "2.50G", "messages/s"},
		{"objects", 0, "0", "objects"},
		{"objects", 0.0123, "0.012", "objects"},
		{"s", 38.1e-6, "38.1", "µs"},
		{"s", 0.999e-6, "999", "ns"},
		{"ns/message", 1234, "1.23", "µs/message"},
		{"ms", 12_000, "12.0", "s"},
		{"B", 9_930, "9.70", "KiB"},
		{"KiB/client", 2048, "2.00", "MiB/client"},
		{"B", 3, "3.00", "B"},
		{"s", 1234567, "1,234,567", "s"},
		{"%", 99.5, "99.5", "%"},
	} {
		s := scaleOf(test.unit, test.v)
		if got := s.number(test.v); got != test.want || s.unit != test.name {
			t.Errorf("%v %s is %s %s, want %s %s", test.v, test.unit, got, s.unit, test.want, test.name)
		}
	}
	for v, want := range map[float64]string{1: "1.00", 0.994: "0.99", 9.996: "10.0", 99.96: "100", 0.05: "0.05", math.Inf(1): "–", -1234: "-1,234"} {
		if got := digits(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
	if got := digits(math.NaN()); got != "–" {
		t.Errorf("nothing by nothing is %s", got)
	}
}

// Measured in parts, results come together: newer ones in place of older ones, in
// the order of the program, which has forgotten a case.
func TestMerge(t *testing.T) {
	named := func(id, name, date string) Result {
		return Result{ID: id, Run: Run{Date: date}, Result: turns.Result{Case: turns.Case{Name: name}}}
	}
	all := []turns.Measurement{
		{ID: "P1", Cases: []turns.Case{{Name: "a"}, {Name: "b"}, {Name: "not yet"}}},
		{ID: "P10", Cases: []turns.Case{{Name: "a"}}},
	}
	earlier := []Result{named("P10", "a", "old"), named("P1", "b", "old"), named("P1", "no more", "old")}
	newer := []Result{named("P1", "a", "new"), named("P1", "b", "new")}
	want := []Result{named("P1", "a", "new"), named("P1", "b", "new"), named("P10", "a", "old")}
	if got := Merge(all, earlier, newer); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestWhatIsSavedIsLoaded(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	if got, err := Load(folder); len(got) > 0 || err != nil {
		t.Errorf("of nothing, %+v, %v", got, err)
	}
	if err := Save(folder, some()); err != nil {
		t.Fatal(err)
	}
	got, err := Load(folder)
	if err != nil || !bytes.Equal(page(got), page(some())) {
		t.Errorf("%v, %s", err, page(got))
	}
	readme := filepath.Join(filepath.Dir(folder), "README.md")
	if err := os.WriteFile(readme, []byte(begin+end), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Update(readme, folder, got); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(readme); err != nil || !strings.Contains(string(text), "](new/throughput.svg)") {
		t.Errorf("%v, %s", err, text)
	}
	if err := os.WriteFile(filepath.Join(folder, resultsFile), []byte("[{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(folder); err == nil {
		t.Errorf("of half a file, %+v", got)
	}
}

// growing are results of measurement "scale".
func growing() []Result {
	var results []Result
	for i, clients := range []string{"10 clients", "100 clients", "1,000 clients", "10,000 clients"} {
		n := math.Pow10(i + 1)
		about := func(v float64) []float64 { return []float64{v * 0.9, v, v * 1.2} }
		results = append(results, Result{ID: "scale", Title: "growth", Run: someRun, Result: turns.Result{
			Case: turns.Case{
				Name: clients, Figures: []string{"time to connect all", "memory per client", "CPU per message", "rate"},
				Units: []string{"s", "B/client", "s/message", "messages/s"}, Sides: []turns.Side{{Name: "relay"}, {Name: "nats-server"}},
			},
			Values: [][][]float64{
				{about(2e-4 * n), about(20000), about(3e-6 + 1e-10*n), about(1e6 / (1 + n/8000))},
				{about(1e-4 * n), about(42000), about(2e-6 + 2e-10*n), about(8e5 / (1 + n/9000))},
			},
		}})
	}
	return results
}

// All that was measured is in the plots, on the page, and no name on another.
func TestPlots(t *testing.T) {
	results := append(some(), growing()...)
	made := plots(results)
	if len(made) != 2 {
		t.Fatalf("%d plots", len(made))
	}
	for name, want := range map[string]struct {
		names  []string
		points int
	}{
		throughputFile: {[]string{"relay", "nats.go", "gorilla"}, 9},
		growthFile:     {[]string{"relay", "nats-server", "nats-server", "relay", "relay", "nats-server", "relay", "nats-server"}, 32},
	} {
		names, points := look(t, made[name])
		if !reflect.DeepEqual(names, want.names) || points != want.points {
			t.Errorf("%s has %d points and from top to bottom %q, want %+v", name, points, names, want)
		}
	}
	if dir := os.Getenv("PLOTS"); dir != "" { // to be looked at
		for name, data := range made {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if made := plots(some()[3:]); len(made) > 0 {
		t.Errorf("%d plots without P1 and scale", len(made))
	}
	if made := plots(some()[:1]); len(made) != 1 {
		t.Errorf("%d plots of one case", len(made))
	} else if _, points := look(t, made[throughputFile]); points != 3 {
		t.Errorf("%d points of one case", points)
	}
}

// look reads a plot: the names at the ends of its lines, and how many points it has.
func look(t *testing.T, svg []byte) (names []string, points int) {
	t.Helper()
	if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
		t.Error("a point is nowhere")
	}
	decoder, class, above := xml.NewDecoder(bytes.NewReader(svg)), "", math.Inf(-1)
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return names, points
		}
		if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			attr := make(map[string]string)
			for _, a := range token.Attr {
				attr[a.Name.Local] = a.Value
			}
			switch class = attr["class"]; {
			case class == "spread":
				points++
			case strings.HasPrefix(class, "name"):
				y, err := strconv.ParseFloat(attr["y"], 64)
				if distance := y - above; err != nil || 0 <= distance && distance < gap-0.2 {
					t.Errorf("two names are %v apart, %v", distance, err)
				}
				above = y
			}
		case xml.CharData:
			if strings.HasPrefix(class, "name") {
				names = append(names, string(token))
			}
		case xml.EndElement:
			class = ""
		}
	}
}

func TestTicks(t *testing.T) {
	for _, test := range []struct {
		unit      string
		low, high float64
		want      []float64
	}{
		{"messages/s", 9.5e3, 1.2e6, []float64{1e4, 1e5, 1e6}},
		{"messages/s", 3e5, 1.2e6, []float64{2e5, 5e5, 1e6, 2e6}},
		{"messages/s", 1e6, 1e6, []float64{5e5, 1e6, 2e6}},
		{"B/client", 18000, 50000, []float64{16384, 32768, 65536}},
		{"s", 2e-9, 30, []float64{1e-8, 1e-6, 1e-4, 1e-2, 1}},
	} {
		got, begin, end := ticks(test.unit, test.low, test.high)
		if len(got) != len(test.want) || begin > test.low || end < test.high {
			t.Fatalf("%+v: %v from %v to %v", test, got, begin, end)
		}
		for i := range got {
			if math.Abs(got[i]/test.want[i]-1) > 1e-9 {
				t.Errorf("%+v: %v", test, got)
			}
		}
	}
}

func TestProgress(t *testing.T) {
	chosen := []turns.Measurement{{Cases: []turns.Case{{Sides: []turns.Side{{}, {}, {Skip: "not here"}}}}}}
	for terminal, want := range map[bool]string{
		false: "1/4  0s  P1/64 B, turn 1 of 2: relay\n2/4  10s, ~29s left  P1/64 B, turn 1 of 2: nats.go\n",
		true: clear + "1/4  0s  P1/64 B, turn 1 of 2: relay" + clear + "1/4  1s  P1/64 B, turn 1 of 2: relay" +
			clear + "1/4  2s  P1/64 B, turn 1 of 2: relay",
	} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			p := newProgress(&b, chosen, 2, terminal)
			p.Turn("P1/64 B", 0, "relay")
			time.Sleep(9600 * time.Millisecond)
			p.Turn("P1/64 B", 0, "nats.go")
			p.Close()
			if got := b.String(); terminal && !strings.HasPrefix(got, want) || !terminal && got != want {
				t.Errorf("%q, want %q", got, want)
			} else if terminal && !strings.HasSuffix(got, "nats.go"+clear) {
				t.Errorf("%q does not go away", got)
			}
		})
	}
}

func TestARunSaysHowToRepeatIt(t *testing.T) {
	r := NewRun([]string{"-run", "P1/64 B", "-turns", "5", "it's"}, false, 5, "require (\n\tgithub.com/x/y v1.0.0 // indirect\n)\n")
	if want := `go run . -run 'P1/64 B' -turns 5 'it'\''s'`; r.Command != want {
		t.Errorf("%s, want %s", r.Command, want)
	}
	if r.Machine.Cores < 1 || !strings.HasPrefix(r.Machine.Go, "go1.") || r.Machine.CPU == "" {
		t.Errorf("%+v", r.Machine)
	}
}
