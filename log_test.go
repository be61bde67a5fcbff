package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

// logLines is a log handler that keeps what it is told, but for errors' texts.
type logLines struct {
	mu   *sync.Mutex
	kept *[]string
	with string
}

func (l logLines) Enabled(context.Context, slog.Level) bool { return true }
func (l logLines) WithGroup(string) slog.Handler            { return l }

func (l logLines) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		l.with += " " + a.String()
	}
	return l
}

func (l logLines) Handle(_ context.Context, record slog.Record) error {
	line := record.Level.String() + " " + record.Message + l.with
	record.Attrs(func(a slog.Attr) bool {
		if a.Key != "error" {
			line += " " + a.String()
		}
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.kept = append(*l.kept, line)
	return nil
}

// Who reads the log sees the first failure, the recovery and the end, and can tell
// connections and attempts apart.
func TestObserve_LogOfAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T, r *relaytest.Relay) {
		l := logLines{mu: new(sync.Mutex), kept: new([]string)}
		c := r.Client("a", relay.WithLogger(slog.New(l)))
		connect(t, c)
		time.Sleep(time.Minute) // healthy
		r.Stop()
		synctest.Wait()
		var delays []time.Duration
		for range 3 {
			delays = append(delays, c.Stats().Backoff)
			time.Sleep(c.Stats().Backoff)
			synctest.Wait()
		}
		delays = append(delays, c.Stats().Backoff)
		r.Start()
		time.Sleep(time.Minute)
		restore := r.Reject(4003, "not you") // may be mended
		r.Cut()
		synctest.Wait()
		delays = append(delays, c.Stats().Backoff)
		time.Sleep(c.Stats().Backoff)
		synctest.Wait()
		delays = append(delays, c.Stats().Backoff)
		restore()
		r.Reject(4001, "nor you")
		<-c.Done()

		want := []string{
			"INFO state state=connecting conn=0",
			"INFO state state=connected conn=1",
			fmt.Sprint("WARN not connected state=backoff conn=1 attempt=1 delay=", delays[0]),
			"INFO state state=connecting conn=1",
			fmt.Sprint("INFO not connected state=backoff conn=1 attempt=2 delay=", delays[1]),
			"INFO state state=connecting conn=1",
			fmt.Sprint("INFO not connected state=backoff conn=1 attempt=3 delay=", delays[2]),
			"INFO state state=connecting conn=1",
			fmt.Sprint("INFO not connected state=backoff conn=1 attempt=4 delay=", delays[3]),
			"INFO state state=connecting conn=1",
			"INFO state state=connected conn=2",
			fmt.Sprint("WARN not connected state=backoff conn=2 attempt=1 delay=", delays[4]),
			"INFO state state=connecting conn=2",
			fmt.Sprint("INFO not connected state=backoff conn=2 attempt=2 delay=", delays[5], " code=4003 reason=not you"),
			"INFO state state=connecting conn=2",
			"ERROR not connected state=closed conn=2 attempt=3 delay=0s code=4001 reason=nor you",
		}
		for i, line := range want {
			want[i] = strings.Replace(line, " state=", " relay="+c.Address()+" state=", 1)
		}
		equal(t, "log", *l.kept, want)
	})
}
