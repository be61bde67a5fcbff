package interop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// The attacks, each by a process of its own. They come back as soon as they are
// thrown out.
var attacks = []struct {
	name  string
	parts int // each says so when it has begun
	run   func(ctx context.Context, url string)
}{
	{"floods", 1, flood},
	{"never registers, 500 of it", 1, many(500, silent)},
	{"dribbles bytes, 2,000 of it", 1, many(2000, dribble)},
	{"all of these", 3, func(ctx context.Context, url string) {
		var all sync.WaitGroup
		defer all.Wait()
		all.Go(func() { flood(ctx, url) })
		all.Go(func() { many(1, silent)(ctx, url) })
		all.Go(func() { many(2000, dribble)(ctx, url) })
	}},
}

// BenchmarkAttack measures what two clients that mind their own business notice
// of an attack: how long a message and its answer take before it, while another
// relay on the same machine is attacked, which takes its share of the processors,
// and while theirs is.
//
//	go test -run '^$' -bench Attack -benchtime 1x ./interop
func BenchmarkAttack(b *testing.B) {
	for _, kind := range []relayKind{realKind, ourCommandKind} {
		for i, attack := range attacks {
			b.Run(kind.name+"/"+attack.name, func(b *testing.B) {
				for range b.N {
					r, other := startRelay(b, kind), startRelay(b, kind)
					pair := newBystanders(b, r.URL())
					pair.exchange(time.Second) // warm
					took := map[string][]time.Duration{"quiet": pair.exchange(5 * time.Second)}
					elsewhere := startAttack(b, i, other.URL())
					took["elsewhere"] = pair.exchange(15 * time.Second)
					elsewhere.kill()
					startAttack(b, i, r.URL())
					took["here"] = pair.exchange(15 * time.Second)
					b.ReportMetric(0, "ns/op")
					for where, took := range took {
						b.ReportMetric(float64(quantile(took, 0.5).Microseconds()), "µs-p50-"+where)
						b.ReportMetric(float64(quantile(took, 0.99).Microseconds()), "µs-p99-"+where)
					}
					b.ReportMetric(float64(quantile(took["here"], 0.99))/float64(quantile(took["quiet"], 0.99)), "p99-here/quiet")
					b.ReportMetric(float64(quantile(took["here"], 0.99))/float64(quantile(took["elsewhere"], 0.99)), "p99-here/elsewhere")
				}
			})
		}
	}
}

// Nobody else's message is lost or late for ever while all attack at once, and
// nobody else is thrown out.
func TestBystandersOfAnAttackKeepTheirConnection(t *testing.T) {
	r := startRelay(t, ourCommandKind)
	pair := newBystanders(t, r.URL())
	startAttack(t, len(attacks)-1, r.URL())
	if n := len(pair.exchange(5 * time.Second)); n < 100 {
		t.Errorf("%d messages answered", n)
	}
	// A stranger gets in, too.
	newBystanders(t, r.URL()).exchange(100 * time.Millisecond)
}

// bystanders are two clients that talk to each other.
type bystanders struct {
	t    testing.TB
	a, b *bystander
}

func newBystanders(t testing.TB, url string) *bystanders {
	p := &bystanders{t: t}
	for _, who := range []**bystander{&p.a, &p.b} {
		var err error
		if *who, err = join(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*who).Abort() })
	}
	var answering sync.WaitGroup
	answering.Go(func() { // until the connection ends
		for {
			frame, _, err := p.b.ReadFrame()
			if err != nil {
				return
			}
			m, err := codec.DecodePeerConnection(frame)
			if err != nil || m.Undelivered() {
				return
			}
			if p.b.send(p.a.id, m.Description) != nil {
				return
			}
		}
	})
	t.Cleanup(func() { p.b.Abort(); answering.Wait() })
	return p
}

// exchange sends a message every 2 ms, if the last was answered, and returns how
// long the answers took.
func (p *bystanders) exchange(d time.Duration) (took []time.Duration) {
	p.t.Helper()
	bound := time.AfterFunc(d+patience, func() { p.a.Abort() })
	defer bound.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		start := time.Now()
		text := fmt.Sprint("ping ", len(took))
		if err := p.a.send(p.b.id, text); err != nil {
			p.t.Fatal(err)
		}
		frame, _, err := p.a.ReadFrame()
		if err != nil {
			p.t.Fatal(err)
		}
		if m, err := codec.DecodePeerConnection(frame); err != nil || m.Description != text || m.Undelivered() {
			p.t.Fatalf("sent %q, got %+v, %v", text, m, err)
		}
		took = append(took, time.Since(start))
	}
	return took
}

func quantile(took []time.Duration, q float64) time.Duration {
	slices.Sort(took)
	return took[int(q*float64(len(took)-1))]
}

// startAttack starts a process and returns when it attacks.
func startAttack(t testing.TB, attack int, url string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("RELAY_ATTACK=%d %s", attack, url))
	var said lines
	cmd.Stdout = &said
	p := start(t, "the attack", cmd)
	eventually(t, patience, "the attack has begun", func() bool {
		select {
		case <-p.ended:
			t.Fatal("the attack has ended")
		default:
		}
		return said.Load() == int64(attacks[attack].parts)
	})
	return p
}

// lines counts those that are written.
type lines struct{ atomic.Int64 }

func (l *lines) Write(p []byte) (int, error) {
	l.Add(int64(bytes.Count(p, []byte("\n"))))
	return len(p), nil
}

// attackIfAsked makes this process an attacker, until stdin ends.
func attackIfAsked() bool {
	var attack int
	var url string
	if n, _ := fmt.Sscan(os.Getenv("RELAY_ATTACK"), &attack, &url); n != 2 {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		bufio.NewReader(os.Stdin).ReadByte()
		cancel()
	}()
	attacks[attack].run(ctx, url)
	return true
}

// beginning returns a function that tells the test, once, that the attack goes on.
func beginning() func() { return sync.OnceFunc(func() { fmt.Println("attacking") }) }

// A bystander is a client that does nothing by itself. So are attackers, at first.
type bystander struct {
	transport.Conn
	id uuid.UUID
}

func join(ctx context.Context, url string) (*bystander, error) {
	return joinBy(ctx, url, transport.Dialer{})
}

func joinBy(ctx context.Context, url string, d transport.Dialer) (*bystander, error) {
	ws, err := d.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	b := &bystander{ws, uuid.New()}
	registration, err := codec.Registration{Name: "bystander", UUID: b.id}.Append(nil)
	if err == nil {
		err = errors.Join(ws.WriteFrame(registration), ws.Flush())
	}
	if err == nil {
		_, _, err = ws.ReadFrame()
	}
	if err != nil {
		ws.Abort()
		return nil, err
	}
	return b, nil
}

func (b *bystander) message(to uuid.UUID, text string) []byte {
	frame, err := codec.PeerConnection{SourceUUID: b.id, SourceName: "bystander", PeerUUID: to, DescriptionType: codec.Offer, Description: text}.Append(nil)
	if err != nil {
		panic(err)
	}
	return frame
}

func (b *bystander) send(to uuid.UUID, text string) error {
	return errors.Join(b.WriteFrame(b.message(to, text)), b.Flush())
}

// flood sends as fast as it can to two peers: small messages to one that reads,
// large ones to one that never does. What comes back is read, so that the flood
// goes on.
func flood(ctx context.Context, url string) {
	begun := beginning()
	again(ctx, func(ctx context.Context) {
		var all [3]*bystander
		for i := range all {
			var err error
			if all[i], err = join(ctx, url); err != nil {
				return
			}
			defer all[i].Abort()
			stop := context.AfterFunc(ctx, func() { all[i].Abort() })
			defer stop()
		}
		from, reads, unread := all[0], all[1], all[2]
		var reading sync.WaitGroup
		defer reading.Wait()
		for _, b := range []*bystander{from, reads} {
			reading.Go(func() { discard(b) })
			defer b.Abort()
		}
		small, large := from.message(reads.id, strings.Repeat("x", 1000)), from.message(unread.id, strings.Repeat("x", 100_000))
		begun()
		for {
			err := from.WriteFrame(large)
			for range 32 {
				err = errors.Join(err, from.WriteFrame(small))
			}
			if errors.Join(err, from.Flush()) != nil {
				return
			}
		}
	})
}

func discard(b *bystander) {
	for {
		if _, _, err := b.ReadFrame(); err != nil {
			return
		}
	}
}

// silent opens a WebSocket and does not register.
func silent(ctx context.Context, url string, ready func()) {
	ws, err := new(transport.Dialer).Dial(ctx, url)
	if err != nil {
		return
	}
	defer ws.Abort()
	stop := context.AfterFunc(ctx, func() { ws.Abort() })
	defer stop()
	ready()
	ws.ReadFrame()
}

// dribbling counts those that dribble, so that they do so in each way.
var dribbling atomic.Int64

// dribble sends a byte a second: of the request, of a frame, and of a frame once
// registered.
func dribble(ctx context.Context, url string, ready func()) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	const request = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	var slowly string
	switch way := dribbling.Add(1) % 3; way {
	case 0:
		slowly = request
	default:
		conn.Write([]byte(request))
		if _, err := conn.Read(make([]byte, 1000)); err != nil {
			return
		}
		if way == 1 {
			id := uuid.New()
			registration, _ := codec.Registration{Name: "dribble", UUID: id}.Append(nil)
			conn.Write(append([]byte{0x81, 0x80 | byte(len(registration)), 0, 0, 0, 0}, registration...))
		}
		slowly = "\x81\xff\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00" + strings.Repeat("x", 1<<10)
	}
	ready()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range len(slowly) {
		if _, err := conn.Write([]byte{slowly[i]}); err != nil {
			return
		}
		<-tick.C
	}
}

// many runs n attackers at a time. The attack has begun when all have.
func many(n int, attack func(ctx context.Context, url string, ready func())) func(context.Context, string) {
	return func(ctx context.Context, url string) {
		var all sync.WaitGroup
		defer all.Wait()
		var ready atomic.Int64
		begun := beginning()
		for range n {
			all.Go(func() {
				again(ctx, func(ctx context.Context) {
					attack(ctx, url, func() {
						if ready.Add(1) == int64(n) {
							begun()
						}
					})
				})
			})
		}
	}
}

// again attacks until ctx ends. A relay that refuses does not make it faster
// than 10 attempts a second each.
func again(ctx context.Context, attack func(context.Context)) {
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for ctx.Err() == nil {
		once, cancel := context.WithCancel(ctx)
		attack(once)
		cancel()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}
