package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// A loris is a client that is as slow as it can be.
type loris struct {
	net.Conn
	kind  string
	bound time.Duration // from its beginning to when it is cut
	rest  string        // what it sends, a byte a second
	start time.Time
	took  time.Duration
	heard string // until it was cut
}

// lorises are the kinds there are. Those that were upgraded are told why they are
// cut, and waited for: they do not answer.
var lorises = []struct {
	kind   string
	bound  time.Duration
	told   string
	answer bool // is asked for a connection
	first  string
	rest   string
}{
	{kind: "bytes of the request", bound: slowly, rest: upgradeRequest},
	{kind: "upgraded, and no more", bound: slowly, told: "Client has not registered in time.", answer: true},
	{kind: "bytes of its registration", bound: slowly, told: "Client has not registered in time.", answer: true, rest: hugeFrame},
	{kind: "bytes of a message", bound: 2 * slowly, told: "keepalive ping timeout", answer: true, first: "register", rest: hugeFrame},
}

const (
	slowly         = 6 * time.Second
	upgradeRequest = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	hugeFrame = "\x81\xff\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
)

func TestT39_TwoThousandSlowClientsAreCutAndKeepNobodyOut(t *testing.T) {
	const sockets = 2000
	ops, bound := freePort(t), slowly.String()
	relay, line := process(t, "serve", "--addr", "127.0.0.1:0", "--ops-addr", ops, "--accept-rate", "0", "--log-level", "error",
		"--handshake-timeout", bound, "--register-timeout", bound, "--ping-interval", bound, "--ping-timeout", bound)
	url := strings.TrimPrefix(line, "listening on ")
	files, idle := filesOf(t, relay.Process.Pid), resident(t, relay.Process.Pid, "VmRSS")

	var all sync.WaitGroup
	slow := make([]*loris, sockets)
	begin := time.Now()
	for i := range slow {
		l := newLoris(t, url, i%len(lorises))
		slow[i] = l
		all.Go(l.listen)
	}
	t.Logf("%d sockets in %v", sockets, time.Since(begin).Round(time.Millisecond))
	stop := make(chan struct{})
	var dribbling sync.WaitGroup
	dribbling.Go(func() { dribble(slow, stop) })

	// For two seconds at least all are there, or nearly so: none is cut before.
	var good []time.Duration
	for meanwhile := time.Now(); time.Since(meanwhile) < 2*time.Second; {
		good = append(good, connectOnce(t, url))
	}
	peak := resident(t, relay.Process.Pid, "VmHWM")
	all.Wait()
	close(stop)
	dribbling.Wait()

	// Cut at their bound, or while it is waited for their goodbye.
	const goodbye, late = 5 * time.Second, 20 * time.Second
	told := make(map[string]int)
	for _, l := range slow {
		if l.took < l.bound-slowly/2-time.Second || l.took > l.bound+goodbye+late { // the first ping comes at random
			t.Errorf("%s: cut after %v, want %v", l.kind, l.took, l.bound)
		}
		for _, kind := range lorises {
			if kind.kind == l.kind && strings.Contains(l.heard, kind.told) {
				told[l.kind]++
			}
		}
	}
	for _, kind := range lorises {
		var took []time.Duration
		for _, l := range slow {
			if l.kind == kind.kind {
				took = append(took, l.took)
			}
		}
		slices.Sort(took)
		t.Logf("%s: %d, cut after %v to %v; %d told %q", kind.kind, len(took), took[0].Round(time.Millisecond),
			took[len(took)-1].Round(time.Millisecond), told[kind.kind], kind.told)
		if told[kind.kind] != len(took) {
			t.Errorf("%s: %d of %d told %q", kind.kind, told[kind.kind], len(took), kind.told)
		}
	}

	slices.Sort(good)
	p99 := good[(len(good)*99+99)/100-1]
	t.Logf("%d good clients meanwhile: p50 %v, p99 %v, at most %v", len(good), good[len(good)/2], p99, good[len(good)-1])
	if p99 > 5*time.Second { // not 100 ms: the machine may be busy
		t.Errorf("good clients connect in %v", p99)
	}
	t.Logf("resident memory: %d KiB idle, %d KiB at most: %d KiB for each slow one", idle, peak, (peak-idle)/sockets)
	if peak-idle > 64*sockets {
		t.Errorf("%d KiB for each slow client", (peak-idle)/sockets)
	}
	for end := time.Now().Add(patience); ; {
		now, open := filesOf(t, relay.Process.Pid), counted(t, ops, "relay_connections")
		if now <= files+2 && open == 0 { // the one for the metrics, and one that ends
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d files open, %d before; %d connections", now, files, open)
		}
	}
	for metric, want := range map[string]int{
		"relay_register_timeouts_total":                sockets / 2,
		`relay_closes_total{code="1008"}`:              sockets / 2,
		`relay_closes_total{code="1011"}`:              sockets / 4,
		"relay_gate_accepted_total":                    sockets + len(good),
		"relay_gate_cut_total":                         0,
		"relay_write_timeouts_total":                   0,
		"relay_connections_unregistered":               0,
		"relay_messages_forwarded_total":               0,
		`relay_registrations_total{result="accepted"}`: sockets/4 + len(good),
	} {
		if got := counted(t, ops, metric); got != want {
			t.Errorf("%s is %d, want %d", metric, got, want)
		}
	}
}

// newLoris makes its connection, as far as it goes.
func newLoris(t *testing.T, url string, kind int) *loris {
	t.Helper()
	k := lorises[kind]
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	l := &loris{Conn: conn, kind: k.kind, bound: k.bound, rest: k.rest, start: time.Now()}
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	if !k.answer {
		return l
	}
	if _, err := io.WriteString(conn, upgradeRequest); err != nil {
		t.Fatal(err)
	}
	answer := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = answer.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if answer.Buffered() > 0 {
		t.Fatal("the relay speaks first")
	}
	l.start = time.Now()
	if k.first != "" {
		frame, err := codec.Registration{Name: "slow", UUID: uuid.New()}.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		header := []byte{0x81, 0x80 | byte(len(frame)), 0, 0, 0, 0} // it is short, and masked with zeros
		if _, err := conn.Write(append(header, frame...)); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// listen waits until l is cut.
func (l *loris) listen() {
	heard, _ := io.ReadAll(io.LimitReader(l, 64<<10))
	l.took, l.heard = time.Since(l.start), string(heard)
}

// dribble lets them all send a byte a second.
func dribble(slow []*loris, stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; ; i++ {
		for _, l := range slow {
			if i < len(l.rest) {
				_, _ = l.Write([]byte{l.rest[i]}) // it may have been cut
			}
		}
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

// connectOnce connects, registers and leaves, and returns how long it took to
// get so far.
func connectOnce(t *testing.T, url string) time.Duration {
	t.Helper()
	start := time.Now()
	ws, err := new(transport.Dialer).Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Abort()
	bound := time.AfterFunc(patience, func() { ws.Abort() })
	defer bound.Stop()
	frame, err := codec.Registration{Name: "good", UUID: uuid.New()}.Append(nil)
	if err := errors.Join(err, ws.WriteFrame(frame), ws.Flush()); err != nil {
		t.Fatal(err)
	}
	if answer, _, err := ws.ReadFrame(); err != nil || !strings.Contains(string(answer), `"success": true`) {
		t.Fatalf("%s, %v", answer, err)
	}
	took := time.Since(start)
	_ = ws.Close(1000, "")
	return took
}

// resident returns a figure of a process's memory, in KiB.
func resident(t *testing.T, pid int, what string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(what + `:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		t.Fatalf("no %s in %s", what, status)
	}
	n, _ := strconv.Atoi(string(found[1]))
	return n
}

// filesOf returns how many a process has.
func filesOf(t *testing.T, pid int) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// counted returns a metric, 0 if there is none.
func counted(t *testing.T, ops, metric string) int {
	t.Helper()
	answer, err := http.Get("http://" + ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(metric) + ` (\S+)$`).FindSubmatch(text)
	if found == nil {
		return 0
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}
