package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A tab is a page in a headless Chromium that reaches nothing but loopback.
// What it complains about, and what it asks for, is kept.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // errors on the console, violations of the policy, exceptions
	requests []string // URLs
}

// browser is one for all tests, which TestMain ends.
var browser struct {
	start sync.Once
	ctx   context.Context
	end   func()
	err   error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if browser.end != nil {
		browser.end()
	}
	os.Exit(code)
}

func startBrowser() {
	path, err := exec.LookPath("chromium")
	if err != nil {
		browser.err = err
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // there is none for root, as whom containers run
		chromedp.Flag("window-size", "1280,900"),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-pings", true),
		chromedp.Flag("disable-features", "Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider,AutofillServerCommunication"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("proxy-server", "direct://"),
	)
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endBrowser := chromedp.NewContext(allocator)
	browser.ctx, browser.end = ctx, func() { endBrowser(); endAllocator() }
	browser.err = chromedp.Do(ctx)
}

// newTab returns an empty tab of its own profile, which is closed with the
// test.
func newTab(t *testing.T) *tab {
	t.Helper()
	browser.start.Do(startBrowser)
	if errors.Is(browser.err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip("no chromium; in Debian it is in the package of that name")
	}
	if browser.err != nil {
		t.Fatal(browser.err)
	}
	ctx, cancel := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	command(b, log.Enable, cdp.Empty{})
	return b
}

// listen keeps what is told of the page.
func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.problems = append(b.problems, fmt.Sprint(e.Entry.Source, ": ", e.Entry.Text, " ", e.Entry.URL))
		}
	case *runtime.EventConsoleAPICalled:
		b.problems = append(b.problems, fmt.Sprint("console.", e.Type))
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, e.ExceptionDetails.Text)
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

// run runs an action and returns what it gives.
func run[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// command gives the browser a command of its protocol.
func command[P, R any](b *tab, c cdp.Command[P, R], params P) R {
	b.t.Helper()
	return run(b, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, c, params) })
}

// open goes to a page and waits until it is loaded.
func (b *tab) open(url string) {
	b.t.Helper()
	run(b, chromedp.Navigate(url))
}

// eval returns the value of an expression of JavaScript in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	return run(b, chromedp.Evaluate[T](expression))
}

// await waits until an expression is true in the page.
func (b *tab) await(expression string) {
	b.t.Helper()
	came := false
	defer func() {
		if !came {
			b.t.Logf("the page:\n%s", eval[string](b, "document.body.innerText"))
		}
	}()
	eventually(b.t, expression, func() bool { return eval[bool](b, expression) })
	came = true
}

// blameless fails the test if the browser complained, or asked anybody else.
func (b *tab) blameless(url string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.requests) == 0 {
		b.t.Error("no request was seen")
	}
	for _, r := range b.requests {
		if !strings.HasPrefix(r, url+"/") {
			b.t.Errorf("the page has asked for %s", r)
		}
	}
	for _, p := range b.problems {
		b.t.Errorf("the browser complains: %s", p)
	}
}
