package idle

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/servers"
	"github.com/seed73300619/relay/bench/turns"
)

func TestMain(m *testing.M) {
	child.Main(servers.Roles, Roles)
	os.Setenv("GORACE", "atexit_sleep_ms=0") // children need not wait, at their end, for more races
	os.Exit(m.Run())
}

func TestEachSideTakesItsTurn(t *testing.T) {
	for _, m := range []turns.Measurement{Client(true), Server(true)} {
		for _, c := range m.Cases {
			for _, side := range c.Sides {
				t.Run(m.ID+"/"+c.Name+"/"+side.Name, func(t *testing.T) {
					t.Parallel()
					if side.Skip != "" {
						t.Skip(side.Skip)
					}
					values, err := side.Turn(t.Context())
					if err != nil || len(values) != len(c.Figures) {
						t.Fatalf("%v, %v", values, err)
					}
					// Each has at least a read buffer somewhere.
					if values[0] < 1<<10 || values[0] > 1<<20 {
						t.Errorf("%.0f bytes", values[0])
					}
				})
			}
		}
	}
}

// What returns another message than was sent is no competitor.
func TestAWrongEchoIsNoticed(t *testing.T) {
	c := &crowd{clients: []client{liar{}}}
	if _, err := c.exchange(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "has sent") {
		t.Error(err)
	}
}

type liar struct{}

func (liar) exchange(context.Context, []byte) ([]byte, error) { return []byte("yes"), nil }

func TestClientsWithoutAServerSayWhy(t *testing.T) {
	for kind := range dials {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		c := &crowd{gathering: gathering{Kind: kind, URL: "ws://127.0.0.1:1/"}}
		if _, err := c.grow(ctx, 1); err == nil || !strings.Contains(err.Error(), "client 0: ") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
