package idle

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/servers"
)

const crowdRole = "idle-clients"

// Roles are those of this package.
var Roles = child.Roles{crowdRole: child.As(gather)}

// A gathering says who comes.
type gathering struct {
	Kind   string // of the clients
	URL    string // of their server, if that is elsewhere,
	Inside string // or else its role: it is in the same process
}

// A crowd is many clients of one kind.
type crowd struct {
	gathering
	clients []client
	arrived chan []byte
}

func gather(ctx context.Context, g gathering) (child.Work, error) {
	c := &crowd{gathering: g, arrived: make(chan []byte)}
	if g.Inside != "" {
		inside, err := servers.Roles.Begin(ctx, g.Inside, servers.Anywhere)
		if err != nil {
			return child.Work{}, err
		}
		c.URL = inside.Address
	}
	// The clients end with the process: a thousand goodbyes measure nothing.
	return child.Work{Commands: map[string]child.Command{
		"grow":     child.To(c.grow),
		"exchange": child.To(c.exchange),
	}}, nil
}

// grow connects n more clients.
func (c *crowd) grow(ctx context.Context, n int) (struct{}, error) {
	for range n {
		one, err := dials[c.Kind](ctx, c.URL, len(c.clients), c.arrived)
		if err != nil {
			return struct{}{}, fmt.Errorf("client %d: %w", len(c.clients), err)
		}
		c.clients = append(c.clients, one)
	}
	return struct{}{}, nil
}

// exchange has each client, from the first on, send one message and receive it.
func (c *crowd) exchange(ctx context.Context, from int) (struct{}, error) {
	for i, one := range c.clients[from:] {
		text := fmt.Appendf(nil, "%8d %s", from+i, strings.Repeat(".", 1<<10))
		once, cancel := context.WithTimeout(ctx, 10*time.Second)
		got, err := one.exchange(once, text)
		cancel()
		if err != nil {
			return struct{}{}, fmt.Errorf("client %d: %w", from+i, err)
		}
		if !bytes.Equal(got, text) {
			return struct{}{}, fmt.Errorf("client %d has sent %q and received %q", from+i, text, got)
		}
	}
	return struct{}{}, nil
}
