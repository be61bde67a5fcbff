package child_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay/bench/child"
)

// A parent is a child that has a child, to see what becomes of that.
var roles = child.Roles{
	"echo": child.As(func(_ context.Context, name string) (child.Work, error) {
		if name == "" {
			return child.Work{}, errors.New("nobody to echo")
		}
		return child.Work{
			Address: "the address of " + name,
			Commands: map[string]child.Command{
				"double": child.To(func(_ context.Context, n int) (int, error) { return 2 * n, nil }),
				"fail":   child.To(func(context.Context, struct{}) (int, error) { return 0, errors.New("as asked") }),
				"wait": child.To(func(ctx context.Context, _ struct{}) (int, error) {
					<-ctx.Done()
					return 0, ctx.Err()
				}),
				"die": child.To(func(context.Context, struct{}) (int, error) { panic("as asked") }),
			},
		}, nil
	}),
	"parent": child.As(func(ctx context.Context, address string) (child.Work, error) {
		c, err := child.Start(ctx, "caller", address)
		if err != nil {
			return child.Work{}, err
		}
		return child.Work{Address: strconv.Itoa(c.PID)}, nil
	}),
	"caller": child.As(func(ctx context.Context, address string) (child.Work, error) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return child.Work{}, err
		}
		return child.Work{End: conn.Close}, nil
	}),
}

func TestMain(m *testing.M) {
	child.Main(roles)
	os.Setenv("GORACE", "atexit_sleep_ms=0") // children need not wait, at their end, for more races
	os.Exit(m.Run())
}

func start(t *testing.T, role, arg string) *child.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	p, err := child.Start(ctx, role, arg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestAChildAnswers(t *testing.T) {
	p := start(t, "echo", "me")
	if p.Address != "the address of me" {
		t.Errorf("address %q", p.Address)
	}
	for n := range 3 {
		if got, err := child.Ask[int](t.Context(), p, "double", n); err != nil || got != 2*n {
			t.Errorf("double of %d is %d, %v", n, got, err)
		}
	}
	for _, command := range []string{"fail", "sing"} { // and it goes on
		if _, err := child.Ask[int](t.Context(), p, command, struct{}{}); err == nil {
			t.Errorf("%s went well", command)
		}
	}
	m, err := p.Memory(t.Context())
	if err != nil || m.HeapAlloc == 0 || m.HeapInuse < m.HeapAlloc || m.StackInuse == 0 || m.Goroutines == 0 ||
		m.PSS == 0 || m.RSS < m.PSS || m.Files < 3 {
		t.Errorf("%+v, %v", m, err)
	}
	if used, err := p.CPU(t.Context()); err != nil || used <= 0 || used > time.Hour {
		t.Errorf("%v of CPU, %v", used, err)
	}
	path := filepath.Join(t.TempDir(), "heap")
	if err := p.Profile(t.Context(), path); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Error("no profile:", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestAChildThatCannotBeginSaysWhy(t *testing.T) {
	for role, arg := range map[string]any{"echo": "", "nobody": "", "caller": 1} {
		if _, err := child.Start(t.Context(), role, arg); err == nil || !strings.Contains(err.Error(), role) {
			t.Errorf("%s: %v", role, err)
		}
	}
	if _, err := child.Start(t.Context(), "echo", ""); err == nil || !strings.Contains(err.Error(), "nobody to echo") {
		t.Error(err)
	}
}

func TestAChildThatDiesSaysWhy(t *testing.T) {
	p := start(t, "echo", "me")
	if _, err := child.Ask[int](t.Context(), p, "die", struct{}{}); err == nil || !strings.Contains(err.Error(), "panic: as asked") {
		t.Error(err)
	}
	if p.Close() == nil {
		t.Error("its end was not reported")
	}
}

func TestNobodyWaitsLongerThanTheContext(t *testing.T) {
	p := start(t, "echo", "me")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := child.Ask[int](ctx, p, "wait", struct{}{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	p = start(t, "echo", "me")
	time.AfterFunc(10*time.Millisecond, p.Kill)
	if _, err := child.Ask[int](t.Context(), p, "wait", json.RawMessage("{}")); err == nil {
		t.Error("it was killed, and answers")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestAChildEndsWithItsParent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := start(t, "parent", listener.Addr().String())
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.Kill()
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("it goes on:", err)
	}
}
