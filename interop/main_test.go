package interop

import (
	"flag"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if attackIfAsked() || sendIfAsked() {
		return
	}
	// The tests wait for other processes, timers and backoffs far more than
	// they compute, and one of them waits for three minutes.
	parallel := flag.Lookup("test.parallel")
	if n := runtime.GOMAXPROCS(0); n < 4 && parallel.Value.String() == strconv.Itoa(n) {
		parallel.Value.Set("4")
	}
	os.Exit(m.Run())
}

// python returns the path of the interpreter that has the real ProxyStore. It
// ends the test when there is none.
func python(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs("../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "proxystore-relay")); err == nil {
		return path
	}
	const reason = "the real ProxyStore is not installed in .venv: make venv"
	if os.Getenv("CI") == "true" || os.Getenv("RELAY_REQUIRE_PYTHON") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
	return ""
}

// eventually waits until the condition holds, and ends the test when it does
// not within the limit.
func eventually(t testing.TB, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !condition(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("after %v, still not so: %s", limit, what)
		}
	}
}

var portsTried atomic.Uint32

// freePort picks a port for a relay that must come back on it. It lies below
// the range that the kernel takes ports of outgoing connections from: in there,
// a client that redials a relay that is down could take the relay's port, or
// even connect to itself.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 20_000 + (os.Getpid()*97+int(portsTried.Add(1)))%12_000
		listener, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
