package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/chaos/process"
	"github.com/seed73300619/relay/chaos/referee"
	"github.com/seed73300619/relay/transport"
)

// A relay is ended by SIGTERM while its queues are full and a thousand clients are
// talking: it is not ready any more before anybody is sent away, what its queues
// hold arrives, everybody hears 1001 and comes back spread out, and nothing is
// lost without a word.
func TestT32_SIGTERMWithAThousandClients(t *testing.T) {
	const (
		pairs, slow  = 500, 20 // a slow pair's receiver does not read until the end begins
		delay, bound = 3 * time.Second, 30 * time.Second
	)
	binary, err := process.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server, err := process.Ours(binary, "--ops-addr", "127.0.0.1:0", "--accept-rate", "0", "--message-rate", "0", "--byte-rate", "0",
		"--queue-bytes", "4194304", "--write-timeout", "5m", "--ping-interval", "5m", "--drain-delay", delay.String(), "--shutdown-timeout", bound.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	ops := operations(t, server)
	f := &figures{plan: plan{clients: 2 * pairs, how: term}}
	if f.files[empty], err = alone(ctx, server); err != nil {
		t.Fatal(err)
	}
	g := &gathering{url: server.URL}
	defer g.fleet.close()
	g.pair(t, ctx, pairs, slow)
	talking, quiet := context.WithCancel(ctx)
	var talk sync.WaitGroup
	defer talk.Wait()
	defer quiet()
	for _, p := range g.pairs[slow:] {
		talk.Go(func() { p.talk(talking, &g.referee) })
	}
	if status, _ := ask(ops, "/readyz"); status != http.StatusOK {
		t.Fatalf("at first /readyz says %d", status)
	}
	g.fill(t, ctx, slow, 40, 100) // more than a client takes off its connection by itself
	queued := 0.0
	for queued < slow*100_000 { // more than the kernel keeps between the two
		g.fill(t, ctx, slow, 8, 60_000)
		queued = metric(t, ops, "relay_queue_bytes")
	}

	f.files[before] = openFiles(server)
	f.end = time.Now()
	ended := make(chan error, 1)
	go func() { ended <- server.Stop(ctx) }() // received below
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for status := 0; status != http.StatusServiceUnavailable; status, _ = ask(ops, "/readyz") {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("/readyz never says 503")
		}
	}
	unready := time.Now()
	for _, p := range g.pairs[:slow] {
		close(p.read)
	}
	if err := <-ended; err != nil {
		t.Errorf("exit: %v", err)
	}
	drained := time.Since(f.end)
	if drained > delay+bound {
		t.Errorf("the end took %v, longer than %v", drained, delay+bound)
	}
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	f.start = time.Now()
	if err := g.fleet.await(ctx, 2); err != nil {
		t.Fatal(err)
	}
	quiet()
	talk.Wait()

	// What became of everybody.
	f.attempts, f.registrations, f.ended = g.fleet.account()
	if f.files[after], err = settled(ctx, server, f.files[before]); err != nil {
		t.Fatal(err)
	}
	g.settle(t, ctx)
	if f.files[last], err = settled(ctx, server, f.files[empty]); err != nil {
		t.Fatal(err)
	}
	if err := f.check(); err != nil {
		t.Error(err)
	}
	t.Logf("%v bytes were queued; not ready after %v, the first client sent away %v later, all ended after %v\n%s", queued,
		unready.Sub(f.end), g.first.Sub(unready), drained, f.markdown())
	if !g.first.After(unready) {
		t.Error("clients were sent away while /readyz said 200")
	}
	if g.goodbyes != 2*pairs || g.other != nil {
		t.Errorf("%d of %d heard 1001, another one: %v", g.goodbyes, 2*pairs, g.other)
	}

	// And of every message.
	account, violations := g.referee.Judge(referee.Rules{})
	t.Log(account)
	if len(violations) > 0 || !account.Exact() {
		t.Errorf("%d violations: %.10q", len(violations), violations)
	}
	for i, p := range g.pairs[:slow] {
		if p.arrived != p.due {
			t.Errorf("slow pair %d: %d of the %d messages that the relay had arrived", i, p.arrived, p.due)
		}
	}
}

// gathering is a fleet in pairs, and all that was seen of it.
type gathering struct {
	url     string
	fleet   fleet
	pairs   []*pair
	referee referee.Referee
	reading sync.WaitGroup // of all Inboxes

	mu       sync.Mutex
	first    time.Time // that a connection was lost
	goodbyes int       // connections that ended with 1001
	other    error     // how another one ended
}

// pair is one who sends and one who receives.
type pair struct {
	from, to *relay.Client
	read     chan struct{} // closed when to may be read
	sent     int           // the number of the last message
	due      int           // of a slow pair: messages that the relay has for to
	arrived  int           // in the Inbox of to; of the goroutine that reads it, until that has ended
}

// pair makes pairs and connects them. The receivers of the first few, the slow
// ones, have little room, and are not read until told to.
func (g *gathering) pair(t *testing.T, ctx context.Context, pairs, slow int) {
	t.Helper()
	connecting, dialing := errgroup.WithContext(ctx)
	connecting.SetLimit(64)
	for i := range pairs {
		var options []relay.Option
		if i < slow {
			options = append(options, relay.WithInbox(relay.InboxPolicy{MaxBytes: 4 << 10}), relay.WithDialContext(narrow))
		}
		p := &pair{from: g.client(t), to: g.client(t, options...), read: make(chan struct{})}
		if i >= slow {
			close(p.read)
		}
		g.pairs = append(g.pairs, p)
		g.reading.Go(func() { // what has bounced
			for m := range p.from.Inbox() {
				g.referee.Arrived(p.from.UUID(), m)
			}
		})
		connecting.Go(func() error { return errors.Join(p.to.Connect(dialing), p.from.Connect(dialing)) })
		g.reading.Go(func() {
			select {
			case <-p.read:
			case <-p.to.Done():
			}
			for m := range p.to.Inbox() {
				g.referee.Arrived(p.to.UUID(), m)
				p.arrived++
			}
		})
	}
	if err := connecting.Wait(); err != nil {
		t.Fatal(err)
	}
}

func (g *gathering) client(t *testing.T, options ...relay.Option) *relay.Client {
	t.Helper()
	client, err := relay.New(g.url, options...)
	if err != nil {
		t.Fatal(err)
	}
	g.fleet.join(client, g.see)
	return client
}

// see books what the events tell.
func (g *gathering) see(event relay.Event) {
	switch e := event.(type) {
	case relay.InDoubt:
		g.referee.InDoubt(e.Messages...)
	case relay.Dropped:
		g.referee.Refused(e.Message)
	case relay.StateChange:
		if e.From != relay.Connected || e.To == relay.Closed {
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.first.IsZero() || e.At.Before(g.first) {
			g.first = e.At
		}
		if bye, ok := errors.AsType[*transport.CloseError](e.Err); ok && bye.Code == 1001 {
			g.goodbyes++
		} else {
			g.other = e.Err
		}
	}
}

// fill has each of the slow pairs send n messages, and waits until the relay has
// them all: what is sent behind them has come to a witness. A Flush would wait until
// they are in their receivers' sockets.
func (g *gathering) fill(t *testing.T, ctx context.Context, slow, n, size int) {
	t.Helper()
	witness, err := relay.Dial(ctx, g.url)
	if err != nil {
		t.Fatal(err)
	}
	defer witness.Close()
	filling, ctx := errgroup.WithContext(ctx)
	for _, p := range g.pairs[:slow] {
		filling.Go(func() error {
			for range n {
				if !p.send(ctx, &g.referee, p.to.UUID(), size) {
					return context.Cause(ctx)
				}
				p.due++
			}
			p.send(ctx, &g.referee, witness.UUID(), 100)
			return nil
		})
		filling.Go(func() error {
			m, err := witness.Recv(ctx)
			if err == nil {
				g.referee.Arrived(witness.UUID(), m)
			}
			return err
		})
	}
	if err := filling.Wait(); err != nil {
		t.Fatal(err)
	}
}

// talk sends a message from time to time.
func (p *pair) talk(ctx context.Context, r *referee.Referee) {
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for p.send(ctx, r, p.to.UUID(), 100) {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// send sends one message, unless ctx ends first.
func (p *pair) send(ctx context.Context, r *referee.Referee, to uuid.UUID, size int) bool {
	p.sent++
	m := relay.Message{PeerUUID: to, Description: r.Accepted(p.from.UUID(), to, p.sent, size)}
	select {
	case p.from.Outbox() <- m:
		return true
	case <-ctx.Done():
		r.Withdrawn(p.from.UUID(), p.sent)
		return false
	}
}

// settle ends everybody: senders first, and receivers once all has arrived that
// the relay holds.
func (g *gathering) settle(t *testing.T, ctx context.Context) {
	t.Helper()
	var leaving errgroup.Group
	for _, p := range g.pairs {
		leaving.Go(func() error {
			err := p.from.Shutdown(ctx)
			if unsent, ok := errors.AsType[*relay.UnsentError](err); ok {
				g.referee.Returned(unsent.Messages...)
				return nil
			}
			return err
		})
	}
	if err := leaving.Wait(); err != nil {
		t.Error(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); g.referee.Open() > 0; {
		select {
		case <-tick.C:
			continue
		case <-late:
		}
		break
	}
	g.fleet.close()
	g.reading.Wait()
}

// narrow connects with small buffers and packets, on both sides, so that what is not
// read stays with the relay and not with the kernel.
func narrow(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var errs error
		err := c.Control(func(fd uintptr) {
			errs = errors.Join(
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 4<<10),
				syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10))
		})
		return errors.Join(err, errs)
	}}
	return dialer.DialContext(ctx, network, address)
}

// operations returns where the operations' server of a relay is that has just been
// started: it says so a moment after it listens.
func operations(t *testing.T, server *process.Relay) string {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); ; {
		if found := regexp.MustCompile(`ops_addr=(\S+)`).FindStringSubmatch(server.Log()); found != nil {
			return "http://" + found[1]
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("no address of operations in %s", server.Log())
		}
	}
}

// ask asks it; 0: there is no answer.
func ask(ops, path string) (status int, body string) {
	operator := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	answer, err := operator.Get(ops + path)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}

func metric(t *testing.T, ops, name string) float64 {
	t.Helper()
	_, body := ask(ops, "/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %s", name, body)
	return 0
}
