package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/seed73300619/relay/chaos/faultproxy"
)

// link is a client's way to the relay: through our own proxy, which does what
// toxiproxy cannot, and then through toxiproxy, which shapes and breaks streams.
type link struct {
	relay string // host:port
	front *faultproxy.Proxy
	toxic *toxiproxy.Proxy
}

// Some toxics write to the global logger of zerolog, whatever logger they are given.
func init() { zerolog.SetGlobalLevel(zerolog.Disabled) }

// newLink makes a way to the address, host:port.
func newLink(relay string) (*link, error) {
	toxic, err := newToxic(relay)
	if err != nil {
		return nil, err
	}
	front, err := faultproxy.New(toxic.Listen)
	if err != nil {
		toxic.Stop()
		return nil, err
	}
	return &link{relay: relay, front: front, toxic: toxic}, nil
}

func newToxic(relay string) (*toxiproxy.Proxy, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	toxic := toxiproxy.NewProxy(server, "toxic", "127.0.0.1:0", relay)
	if err := toxic.Start(); err != nil {
		return nil, fmt.Errorf("toxiproxy: %w", err)
	}
	return toxic, nil
}

func (l *link) close() {
	l.front.Close()
	l.toxic.Stop()
}

// poison adds a toxic in a direction, "upstream" or "downstream", and returns what
// takes it away again.
func (l *link) poison(kind, direction string, attributes map[string]int) (heal func() error, err error) {
	toxic, err := json.Marshal(map[string]any{"name": "it", "type": kind, "stream": direction, "attributes": attributes})
	if err != nil {
		return nil, err
	}
	if err := l.operate(func() error {
		_, err := l.toxic.Toxics.AddToxicJson(bytes.NewReader(toxic))
		return err
	}); err != nil {
		return nil, fmt.Errorf("toxiproxy: adding %s: %w", toxic, err)
	}
	return func() error {
		if l.toxic.Toxics.GetToxic("it") == nil {
			return nil // replaced meanwhile
		}
		if err := l.operate(func() error { return l.toxic.Toxics.RemoveToxic(context.Background(), "it") }); err != nil {
			return fmt.Errorf("toxiproxy: removing %s: %w", toxic, err)
		}
		return nil
	}, nil
}

// operate changes the toxics while nobody connects. That never ends when one of
// the streams holds bytes for a socket that has gone, and a toxiproxy in which that
// happens takes no connection any more: then there will be another one.
func (l *link) operate(change func() error) error {
	l.front.Refuse(true)
	defer l.front.Refuse(false)
	done := make(chan error, 1)
	go func() { done <- change() }()
	timer := time.NewTimer(3 * time.Second)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return l.replace()
	}
}

// replace puts a healthy toxiproxy in place of the one there is.
func (l *link) replace() error {
	toxic, err := newToxic(l.relay)
	if err != nil {
		return err
	}
	l.front.SetUpstream(toxic.Listen)
	l.front.Each((*faultproxy.Link).Reset)
	go l.toxic.Stop() // which may not end either
	l.toxic = toxic
	return nil
}
