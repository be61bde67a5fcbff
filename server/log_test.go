package server

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// A syncBuffer may be written by many goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestTheLogTellsWhatHappensButNoSecretsAndNoFloods(t *testing.T) {
	const canary = "canary-7f3a"
	var out syncBuffer
	s := newServer(t, WithLogger(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	url := listen(t, s)
	d := transport.Dialer{Header: http.Header{"Authorization": {"Bearer " + canary}}}
	ws, err := d.Dial(t.Context(), url+"/?token="+canary)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Abort()
	a := peer{t, ws}
	a.write(encode(codec.Registration{Name: "mallory\nlevel=ERROR " + strings.Repeat("é", 100), UUID: alice}))
	a.read()
	dial(t, url).register(bob)
	a.send(alice, bob, canary)
	for range 100 {
		a.send(alice, carol, canary)
		a.receive()
	}
	dial(t, url).register(bob)
	a.write(strings.Replace(message(alice, bob, canary), `"error"`, `"`+canary+`"`, 1))
	a.expectClose(4000, "Unknown message type.")
	eventually(t, "the end is logged", func() bool { return s.Stats().Closed[4000] == 1 })

	log := out.String()
	if strings.Contains(log, canary) {
		t.Error("the log tells a secret")
	}
	for _, want := range []string{`"msg":"registered"`, `"msg":"unregistered"`, `"msg":"taken over"`, `"msg":"forwarded"`,
		`"mallory\nlevel=ERROR éé`, `é…"`, alice.String(), `"code":4000`, "codec: unknown field"} {
		if !strings.Contains(log, want) {
			t.Errorf("not in the log: %s", want)
		}
	}
	if n := strings.Count(log, `"msg":"bounced"`); n > 10 {
		t.Errorf("%d lines for 100 bounces", n)
	}
}
