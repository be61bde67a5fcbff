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

// link is a client's way to the relay: through toxiproxy, which shapes and breaks
// streams, and through our own proxy, which does what toxiproxy cannot.
type link struct {
	toxic *toxiproxy.Proxy
	fault *faultproxy.Proxy
}

// Some toxics write to the global logger of zerolog, whatever logger they are given.
func init() { zerolog.SetGlobalLevel(zerolog.Disabled) }

// newLink makes a way to the address, host:port.
func newLink(name, address string) (*link, error) {
	fault, err := faultproxy.New(address)
	if err != nil {
		return nil, err
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	toxic := toxiproxy.NewProxy(server, name, "127.0.0.1:0", fault.Addr())
	if err := toxic.Start(); err != nil {
		fault.Close()
		return nil, fmt.Errorf("toxiproxy: %w", err)
	}
	return &link{toxic: toxic, fault: fault}, nil
}

func (l *link) url() string { return "ws://" + l.toxic.Listen }

func (l *link) close() {
	l.toxic.Toxics.ResetToxics(context.Background())
	l.toxic.Stop()
	l.fault.Close()
}

// poison adds a toxic in a direction, "upstream" or "downstream", and returns what
// takes it away again.
func (l *link) poison(kind, direction string, attributes map[string]int) (heal func() error, err error) {
	toxic, err := json.Marshal(map[string]any{"type": kind, "stream": direction, "attributes": attributes})
	if err != nil {
		return nil, err
	}
	added, err := l.toxic.Toxics.AddToxicJson(bytes.NewReader(toxic))
	if err != nil {
		return nil, fmt.Errorf("toxiproxy: adding %s: %w", toxic, err)
	}
	return func() error {
		if err := l.toxic.Toxics.RemoveToxic(context.Background(), added.Name); err != nil {
			return fmt.Errorf("toxiproxy: removing %s: %w", added.Name, err)
		}
		return nil
	}, nil
}

// up lets the toxic proxy listen again, on its port: a client that redials while
// nobody listens there can hold that for a moment.
func (l *link) up() (err error) {
	for range 100 {
		if err = l.toxic.Start(); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("toxiproxy: %w", err)
}
