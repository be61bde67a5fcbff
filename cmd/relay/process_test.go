package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A relayProcess is "relay serve" in a process of its own, for those who kill it,
// or whose limits are not this process's.
type relayProcess struct {
	url    string // for clients; the same after a restart
	ops    string // http://host:port of the operations' server, likewise
	stderr *output

	args []string
	cmd  *exec.Cmd
}

// startProcess starts one with further flags. It is killed at the end of the test.
func startProcess(t *testing.T, args ...string) *relayProcess {
	t.Helper()
	return startLimited(t, 0, args...)
}

// startLimited is startProcess for a relay that may have so many files open; 0: as
// many as this process.
func startLimited(t *testing.T, files int, args ...string) *relayProcess {
	t.Helper()
	relay, ops := freeAddress(t), freeAddress(t)
	p := &relayProcess{url: "ws://" + relay, ops: "http://" + ops}
	p.args = append([]string{binary, "serve", "--addr", relay, "--ops-addr", ops}, args...)
	if files > 0 {
		p.args = append([]string{"/bin/sh", "-c", `ulimit -n "$0" && exec "$@"`, fmt.Sprint(files)}, p.args...)
	}
	p.start(t)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

// start starts it, again if it has ended, and waits until it listens.
func (p *relayProcess) start(t *testing.T) {
	t.Helper()
	p.cmd, p.stderr = exec.Command(p.args[0], p.args[1:]...), newOutput()
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("%v: %s", err, p.stderr)
	}
}

// kill ends it as a crash does.
func (p *relayProcess) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// term asks it to end. What comes is how.
func (p *relayProcess) term(t *testing.T) <-chan error {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	return ended
}

// operator asks anew each time, and leaves no connection behind.
var operator = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// get asks the operations' server. A status of 0 means that there is none.
func (p *relayProcess) get(path string) (status int, body string) {
	answer, err := operator.Get(p.ops + path)
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

// metrics are all samples of /metrics by their names and labels.
func (p *relayProcess) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	status, body := p.get("/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", status, body)
	}
	samples := make(map[string]float64)
	for line := range strings.Lines(body) {
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

// files is how many files it has open; -1 where that cannot be seen.
func (p *relayProcess) files() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		return -1
	}
	return len(entries)
}

// eventually waits until a condition holds of what gives no sign.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); !holds(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

var portsTried atomic.Uint32

// freeAddress is one on loopback below the ports that the kernel gives to outgoing
// connections, so that no client takes it while a relay is away.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+(os.Getpid()*89+int(portsTried.Add(1)))%12_000)
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no free port between 20000 and 32000")
	return ""
}

// percentile is the duration below which p of 100 lie.
func percentile(times []time.Duration, p int) time.Duration {
	times = slices.Sorted(slices.Values(times))
	return times[max(0, (len(times)*p+99)/100-1)]
}
