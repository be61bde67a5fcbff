package servers_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/bench/child"
	"github.com/seed73300619/relay/bench/servers"
)

func TestMain(m *testing.M) {
	child.Main(servers.Roles)
	os.Setenv("GORACE", "atexit_sleep_ms=0") // children need not wait, at their end, for more races
	os.Exit(m.Run())
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// reached have a client of each server send itself a message.
var reached = map[string]func(context.Context, string) (string, error){
	servers.Relay: func(ctx context.Context, url string) (string, error) {
		c, err := relay.Dial(ctx, url)
		if err != nil {
			return "", err
		}
		defer c.Close()
		if err := c.Send(ctx, relay.Message{PeerUUID: c.UUID(), Description: "hello"}); err != nil {
			return "", err
		}
		m, err := c.Recv(ctx)
		return m.Description, err
	},
	servers.NATS: func(ctx context.Context, url string) (string, error) {
		c, err := nats.Connect(url)
		if err != nil {
			return "", err
		}
		defer c.Close()
		s, err := c.SubscribeSync("me")
		if err != nil {
			return "", err
		}
		if err := c.Publish("me", []byte("hello")); err != nil {
			return "", err
		}
		m, err := s.NextMsgWithContext(ctx)
		if err != nil {
			return "", err
		}
		return string(m.Data), nil
	},
	servers.Gorilla: func(ctx context.Context, url string) (string, error) {
		c, _, err := websocket.DefaultDialer.DialContext(ctx, url, nil)
		if err != nil {
			return "", err
		}
		defer c.Close()
		if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			return "", err
		}
		_, p, err := c.ReadMessage()
		return string(p), err
	},
}

// A server that is killed comes back at the same address.
func TestServersServeInProcessesOfTheirOwn(t *testing.T) {
	for role, reach := range reached {
		t.Run(role, func(t *testing.T) {
			address := servers.Anywhere
			for range 2 {
				ctx := soon(t)
				s, err := child.Start(ctx, role, address)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Kill()
				if got, err := reach(ctx, s.Address); err != nil || got != "hello" {
					t.Fatalf("%q came back, %v", got, err)
				}
				s.Kill()
				_, rest, _ := strings.Cut(s.Address, "//")
				address = strings.TrimSuffix(rest, "/")
			}
			s, err := child.Start(soon(t), role, address)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestThePythonRelay(t *testing.T) {
	servers.RequirePython(t)
	p, err := servers.StartPython(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := reached[servers.Relay](soon(t), p.Address); err != nil || got != "hello" {
		t.Errorf("%q came back, %v", got, err)
	}
	if m, err := p.Memory(t.Context()); err != nil || m.PSS < 1<<20 || m.Files < 3 {
		t.Errorf("%+v, %v", m, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
