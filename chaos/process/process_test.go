package process

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay"
)

// each runs the test on a relay of each kind.
func each(t *testing.T, test func(t *testing.T, r *Relay)) {
	binary, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for kind, make := range map[string]func() (*Relay, error){
		"ours":   func() (*Relay, error) { return Ours(binary) },
		"python": func() (*Relay, error) { return Python(t.Context()) },
	} {
		t.Run(kind, func(t *testing.T) {
			r, err := make()
			if errors.Is(err, ErrNoPython) && os.Getenv("CI") != "true" {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.Kill)
			if err := r.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, r)
		})
	}
}

func TestARelayComesBackOnItsPort(t *testing.T) {
	each(t, func(t *testing.T, r *Relay) {
		client := connected(t, r.URL)
		r.Kill()
		lost(t, client)
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := client.Connect(soon(t)); err != nil {
			t.Fatal(err)
		}
		if err := r.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		lost(t, client)
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAFrozenRelayIsSilentAndGoesOnAfterThat(t *testing.T) {
	each(t, func(t *testing.T, r *Relay) {
		client := connected(t, r.URL)
		r.Freeze()
		for quiet := false; !quiet; { // what was under way still comes back
			if err := client.Send(soon(t), relay.Message{PeerUUID: client.UUID()}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, err := client.Recv(ctx)
			cancel()
			quiet = errors.Is(err, context.DeadlineExceeded)
			if err != nil && !quiet {
				t.Fatal(err)
			}
		}
		r.Thaw()
		if _, err := client.Recv(soon(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestARelayThatDoesNotStartSaysWhy(t *testing.T) {
	binary, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := Ours(binary, "--no-such-flag")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("Start: %v", err)
	}
}

func connected(t *testing.T, url string) *relay.Client {
	t.Helper()
	client, err := relay.Dial(soon(t), url, relay.WithBackoff(10*time.Millisecond, 100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// lost waits until the client has noticed that its connection is gone.
func lost(t *testing.T, client *relay.Client) {
	t.Helper()
	ctx := soon(t)
	for {
		select {
		case event := <-client.Events():
			if change, ok := event.(relay.StateChange); ok && change.From == relay.Connected {
				return
			}
		case <-ctx.Done():
			t.Fatal("nothing is lost")
		}
	}
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
