package ops

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"github.com/seed73300619/relay/server"
)

// cell is JavaScript for what stands in a column of the row that begins with a
// name; undefined without such a row.
func cell(table, name string, column int) string {
	return fmt.Sprintf(`(Array.from(document.querySelectorAll("#" + %q + " tbody tr")).find(r => r.cells[0].textContent === %q)?.cells[%d].textContent)`, table, name, column)
}

func TestBrowserShowsWhatHappensAsItHappens(t *testing.T) {
	t.Parallel()
	r, h := newRelay(t, Options{Version: "1.2.3"})
	url, _ := serve(t, h, "127.0.0.1:0")
	b := newTab(t)
	b.open(url)
	b.await(`document.getElementById("live").textContent === "Live."`)
	b.await(`document.getElementById("open").textContent === "0"`)
	eval[bool](b, `window.thisLoad = true`)

	alice, bob := join(t, r, "alice"), join(t, r, "bob")
	b.await(cell("connections", "alice", 1) + ` === "` + alice.UUID().String() + `"`)
	b.await(cell("connections", "bob", 10) + ` === "ok"`)
	b.await(`document.getElementById("open").textContent === "2" && document.getElementById("shown").textContent === "All 2"`)

	send(t, alice, bob.UUID(), 250, "hello")
	b.await("Number(" + cell("traffic", "Forwarded", 1) + ") >= 250")
	b.await(cell("history", "Messages /s", 3) + ` !== "0"`)
	b.await(`document.querySelector("#plot-messages .line").getAttribute("d").includes("L")`)

	send(t, alice, uuid.New(), 3, "anybody?")
	b.await(cell("bounces", "Receiver not registered", 1) + ` === "3"`)

	if err := bob.Close(); err != nil {
		t.Fatal(err)
	}
	b.await(cell("connections", "bob", 1) + ` === undefined`)
	b.await(cell("closes", "1000 normal", 1) + ` === "1"`)
	b.await(cell("connections", "alice", 10) + ` === "ok"`)

	h.Drain()
	b.await(`document.getElementById("state").textContent === "draining"`)
	if !eval[bool](b, `window.thisLoad === true`) {
		t.Error("the page was loaded again")
	}
	b.blameless(url)
}

func TestBrowserShowsATakeover(t *testing.T) {
	t.Parallel()
	r, h := newRelay(t, Options{})
	url, _ := serve(t, h, "127.0.0.1:0")
	b := newTab(t)
	b.open(url)
	first := registered(t, r, "")
	b.await(cell("connections", "test", 1) + ` === "` + first.id.String() + `"`)
	if _, err := enter(t, r, "", first.id); err != nil {
		t.Fatal(err)
	}
	first.closed()
	b.await(cell("registrations", "Takeovers among them", 1) + ` === "1"`)
	b.await(cell("closes", "4004 taken over", 1) + ` === "1"`)
	b.blameless(url)
}

func TestBrowserWithoutJavaScriptShowsTheSame(t *testing.T) {
	t.Parallel()
	r, h := newRelay(t, Options{})
	url, _ := serve(t, h, "127.0.0.1:0")
	alice := join(t, r, "alice")
	send(t, alice, uuid.New(), 3, "anybody?")
	eventually(t, "it is sampled", func() bool { return h.sampler.latest.Load().stats.BouncedUnknownPeer == 3 })
	b := newTab(t)
	command(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.open(url + "/?find=ali&sort=name")
	if text := eval[string](b, cell("connections", "alice", 1)); text != alice.UUID().String() {
		t.Errorf("the row of alice has %q", text)
	}
	if text := eval[string](b, cell("bounces", "Receiver not registered", 1)); text != "3" {
		t.Errorf("%s bounces", text)
	}
	if n := eval[int](b, `document.querySelectorAll("svg .line[d^=M]").length`); n != len(plotted) {
		t.Errorf("%d plots", n)
	}
	if live := eval[string](b, `document.getElementById("live").textContent`); live != "" {
		t.Errorf("the script ran: %s", live)
	}
	if !eval[bool](b, `document.querySelector("header").innerText.includes("Reload")`) {
		t.Error("no link to reload")
	}
	late := join(t, r, "alibaba")
	eventually(t, "it is sampled", func() bool { return len(h.sampler.latest.Load().connections) == 2 })
	run(b, chromedp.Click(chromedp.CSS("noscript a")))
	b.await(cell("connections", "alibaba", 1) + ` === "` + late.UUID().String() + `"`)
	if find := eval[string](b, `document.getElementById("find").value + document.getElementById("sort").value`); find != "aliname" {
		t.Errorf("after a reload the form has %s", find)
	}
	b.blameless(url)
}

func TestBrowserSearches(t *testing.T) {
	t.Parallel()
	r, h := newRelay(t, Options{})
	url, _ := serve(t, h, "127.0.0.1:0")
	join(t, r, "apple")
	join(t, r, "pear")
	b := newTab(t)
	b.open(url)
	b.await(`document.getElementById("shown").textContent === "All 2"`)
	run(b, chromedp.SendKeys(chromedp.CSS("#find"), "pea\r"))
	b.await(`document.getElementById("shown")?.textContent === "1 of 2"`)
	b.await(cell("connections", "apple", 1) + ` === undefined`)
	join(t, r, "peach")
	b.await(cell("connections", "peach", 10) + ` === "ok"`)
	b.blameless(url)
}

func TestBrowserIsNotFooledByNames(t *testing.T) {
	t.Parallel()
	r, h := newRelay(t, Options{})
	url, _ := serve(t, h, "127.0.0.1:0")
	b := newTab(t)
	b.open(url)
	b.await(`document.getElementById("live").textContent === "Live."`)
	for _, name := range hostile { // some are rendered by the script, all by the template below
		join(t, r, name)
	}
	all := fmt.Sprintf(`document.getElementById("connections").tBodies[0].rows.length === %d`, len(hostile))
	for range 2 {
		b.await(all)
		if title := eval[string](b, `document.title`); title != "Relay status" {
			t.Errorf("the title is %q", title)
		}
		if n := eval[int](b, `document.querySelectorAll("h1, script, img").length`); n != 2 {
			t.Errorf("%d elements where the page has a heading and a script", n)
		}
		if shown := eval[string](b, cell("connections", hostile[0], 0)); shown == "" {
			t.Error("the name is not shown as it is")
		}
		b.open(url)
	}
	b.blameless(url)
}

// A relay that goes away and comes back at the same address, as when it is
// restarted, takes up with those who watch.
func TestBrowserComesBackToARestartedRelay(t *testing.T) {
	t.Parallel()
	_, h := newRelay(t, Options{})
	url, stop := serve(t, h, "127.0.0.1:0")
	b := newTab(t)
	b.open(url)
	b.await(`document.getElementById("live").textContent === "Live."`)
	stop()
	b.await(`document.getElementById("live").textContent.startsWith("Lost the relay")`)

	r, h := newRelay(t, Options{})
	serve(t, h, strings.TrimPrefix(url, "http://"))
	b.await(`document.getElementById("live").textContent === "Live. The relay was started again."`)
	join(t, r, "newcomer")
	b.await(cell("connections", "newcomer", 10) + ` === "ok"`)
}

// Nobody wants figures read out every second.
func TestBrowserReadsOutOnlyWhatMatters(t *testing.T) {
	t.Parallel()
	r, h := newRelay(t, Options{})
	url, _ := serve(t, h, "127.0.0.1:0")
	b := newTab(t)
	b.open(url)
	b.await(`document.getElementById("live").textContent === "Live."`)
	eval[bool](b, `(() => {
		window.said = 0; window.ticks = 0;
		new MutationObserver(l => { window.said += l.length }).observe(document.getElementById("live"), {childList: true, characterData: true, subtree: true});
		new MutationObserver(() => window.ticks++).observe(document.getElementById("up"), {childList: true, characterData: true, subtree: true});
		return true })()`)
	join(t, r, "somebody")
	b.await(`window.ticks >= 2`)
	if n := eval[int](b, `window.said`); n != 0 {
		t.Errorf("%d times something was said", n)
	}
	if regions := eval[string](b, `Array.from(document.querySelectorAll("[aria-live], [role=status], [role=alert], [role=log], output"), e => e.id).join()`); regions != "live" {
		t.Errorf("live regions: %s", regions)
	}
}

func TestBrowserTellsAScreenReader(t *testing.T) {
	t.Parallel()
	r, h := newRelay(t, Options{Version: "1.2.3"})
	join(t, r, "alice")
	eventually(t, "it is sampled", func() bool { return len(h.sampler.latest.Load().connections) == 1 })
	url, _ := serve(t, h, "127.0.0.1:0")
	b := newTab(t)
	b.open(url)
	text := func(v *accessibility.Value) string {
		if v == nil {
			return ""
		}
		return strings.Trim(string(v.Value), `"`)
	}
	names := map[string][]string{}
	for _, n := range command(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
		if !n.Ignored {
			names[text(n.Role)] = append(names[text(n.Role)], text(n.Name))
		}
		if text(n.Role) == "image" && !strings.Contains(text(n.Description), "at most") {
			t.Errorf("the description of the plot %q is %q", text(n.Name), text(n.Description))
		}
	}
	for role, want := range map[string][]string{
		"heading":     {"Relay 1.2.3", "The last five minutes", "Since the start", "Who is connected"},
		"table":       {"In figures", "Traffic", "Bounces, by reason", "Registrations", "Limits that were met", "Closed connections, by code", "Connections"},
		"image":       {"Messages over time", "Bytes over time", "Bounces over time", "Connections over time", "Queues over time", "Registrations over time"},
		"region":      {"The last five minutes", "Since the start", "Who is connected", "Who is connected"},
		"search":      {""},
		"searchbox":   {"Find"},
		"combobox":    {"Sort by"},
		"button":      {"Show"},
		"banner":      {""},
		"main":        {""},
		"contentinfo": {""},
		"status":      {""},
	} {
		if got := names[role]; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", role, got, want)
		}
	}
	if !slices.Contains(names["columnheader"], "Bytes in /s") || !slices.Contains(names["rowheader"], "alice") {
		t.Errorf("the headers of the tables are %q and %q", names["columnheader"], names["rowheader"])
	}
	if order := eval[string](b, `Array.from(document.querySelectorAll("h1,h2,h3,h4,h5,h6"), h => h.tagName).join()`); order != "H1,H2,H2,H2" {
		t.Errorf("headings: %s", order)
	}
	if lang := eval[string](b, `document.documentElement.lang`); lang != "en" {
		t.Errorf("lang is %q", lang)
	}
}

// contrast is JavaScript for the text with the least contrast to what is
// behind it: its ratio, its colours and what it says.
const contrast = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
	const over = colors => { // what colors, the lowest first, look like together
		canvas.fillStyle = "white"; canvas.fillRect(0, 0, 1, 1);
		for (const c of colors) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1) }
		return canvas.getImageData(0, 0, 1, 1).data;
	};
	const luminance = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	let worst = {ratio: 99, text: ""}, n = 0;
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		const element = texts.currentNode.parentElement;
		if (!texts.currentNode.data.trim() || element.closest("svg, noscript, option") || !element.getClientRects().length) continue;
		const behind = [];
		for (let e = element; e; e = e.parentElement) behind.unshift(getComputedStyle(e).backgroundColor);
		const color = getComputedStyle(element).color;
		const [a, b] = [luminance(over(behind)), luminance(over([...behind, color]))].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		n++;
		if (ratio < worst.ratio) worst = {ratio, color, text: texts.currentNode.data};
	}
	worst.n = n;
	return worst;
})()`

func TestBrowserShowsTextInContrast(t *testing.T) {
	t.Parallel()
	r, h := newRelay(t, Options{Version: "1.2.3"})
	join(t, r, "alice")
	if _, err := dial(t, r, ""); err != nil { // a row that is faint
		t.Fatal(err)
	}
	url, stop := serve(t, h, "127.0.0.1:0")
	b := newTab(t)
	b.open(url)
	b.await(cell("connections", "–", 10) + ` === "not registered"`)
	check := func(when string) {
		for scheme, dark := range map[string]bool{"light": false, "dark": true} {
			b.scheme(scheme)
			if eval[bool](b, `matchMedia("(prefers-color-scheme: dark)").matches`) != dark {
				t.Fatalf("the scheme is not %s", scheme)
			}
			worst := eval[struct {
				Ratio       float64
				N           int
				Color, Text string
			}](b, contrast)
			if worst.Ratio < 4.5 || worst.N < 50 {
				t.Errorf("%s, %s: of %d texts %q (%s) has a contrast of %.2f", when, scheme, worst.N, worst.Text, worst.Color, worst.Ratio)
			}
		}
	}
	check("live")
	stop()
	b.await(`document.body.classList.contains("lost")`)
	check("lost")
}

// scheme makes the browser prefer a colour scheme.
func (b *tab) scheme(name string) {
	b.t.Helper()
	command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

func TestBrowserFitsASmallScreen(t *testing.T) {
	t.Parallel()
	r, h := newRelay(t, Options{Version: "1.2.3-a-long-prerelease"}, server.WithAuthenticator(byHeader{}))
	join(t, r, strings.Repeat("W", 500), asUser("somebody.with.a.long.name@a.long.domain.example"))
	eventually(t, "it is sampled", func() bool { return len(h.sampler.latest.Load().connections) == 1 })
	url, _ := serve(t, h, "127.0.0.1:0")
	b := newTab(t)
	for _, width := range []int64{320, 375, 768, 1280} {
		run(b, chromedp.EmulateViewport(width, 640))
		b.open(url)
		if w := eval[int64](b, `document.documentElement.scrollWidth`); w > width {
			wide := eval[string](b, `Array.from(document.querySelectorAll("main *, header *")).filter(e => e.getBoundingClientRect().right > innerWidth && !e.closest(".scroll")).map(e => e.tagName + "." + e.className + "#" + e.id).join(" ")`)
			t.Errorf("at %d px the page is %d wide: %s", width, w, wide)
		}
	}
}

// Everything is within reach of the Tab key, in the order of the page, and seen
// to be.
func TestBrowserFollowsTheKeyboard(t *testing.T) {
	t.Parallel()
	_, h := newRelay(t, Options{})
	url, _ := serve(t, h, "127.0.0.1:0")
	b := newTab(t)
	b.open(url)
	var got []string
	for range 8 {
		run(b, chromedp.KeyEvent("\t"))
		got = append(got, eval[string](b, `document.activeElement.id || document.activeElement.className || document.activeElement.textContent`))
		if outline := eval[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" && outline != "auto" {
			t.Errorf("%s has the focus, and an outline of %q", got[len(got)-1], outline)
		}
	}
	if want := []string{"skip", "find", "sort", "Show", "scroll", "metrics", "health", "readiness"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// When all places are taken the page stays as it was, says so, and gets its
// place when there is one.
func TestBrowserWaitsForAPlaceToWatch(t *testing.T) {
	t.Parallel()
	_, h := newRelay(t, Options{})
	url, _ := serve(t, h, "127.0.0.1:0")
	h.viewers.Store(maxViewers)
	b := newTab(t)
	b.open(url)
	b.await(`document.getElementById("live").textContent.startsWith("Lost")`)
	h.viewers.Store(0)
	b.await(`document.getElementById("live").textContent.startsWith("Live")`)
}

// A connection that stands and leads nowhere is given up.
func TestBrowserNoticesSilence(t *testing.T) {
	t.Parallel()
	_, h := newRelay(t, Options{})
	var silent atomic.Bool
	silent.Store(true)
	url, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" && silent.Load() {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		h.ServeHTTP(w, r)
	}), "127.0.0.1:0")
	b := newTab(t)
	b.open(url)
	b.await(`document.getElementById("live").textContent.startsWith("Lost")`)
	silent.Store(false)
	b.await(`document.getElementById("live").textContent.startsWith("Live")`)
}
