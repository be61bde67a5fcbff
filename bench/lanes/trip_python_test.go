package lanes

import (
	"context"
	"strings"
	"testing"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/bench/servers"
)

func TestPythonTrips(t *testing.T) {
	servers.RequirePython(t)
	const n = 60
	p := payloads.New(64)
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		took, err := pythonTrips(n, p)(t.Context())
		if err != nil || len(took) != 2 || took[0] <= 0 || took[1] < took[0] {
			t.Fatalf("%v s, %v", took, err)
		}
	})
	// A far end of ours answers through the Python relay, or does not.
	for name, answer := range map[string]func(*relay.Client, relay.Message, context.CancelFunc){
		"a wrong answer": func(c *relay.Client, m relay.Message, _ context.CancelFunc) {
			c.Outbox() <- relay.Message{PeerUUID: m.SourceUUID, Description: m.Description + "!"}
		},
		"no answer": func(_ *relay.Client, _ relay.Message, giveUp context.CancelFunc) { giveUp() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			python, err := servers.StartPython(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer python.Close()
			far, err := relay.Dial(t.Context(), python.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			failed := make(chan error, 1)
			go func() {
				_, err := pythonTravel(ctx, python.Address, far.UUID().String(), n, p)
				failed <- err
			}()
			select {
			case m := <-far.Inbox():
				answer(far, m, cancel)
			case err := <-failed:
				t.Fatal(err)
			}
			if err := <-failed; err == nil || name == "a wrong answer" && !strings.Contains(err.Error(), "came back") {
				t.Fatalf("not noticed: %v", err)
			}
		})
	}
}
