package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
)

// patience bounds every wait for something that should happen soon.
const patience = 30 * time.Second

// A peer is a client of either kind. Our Client has these methods by itself.
type peer interface {
	Name() string
	UUID() uuid.UUID
	Connect(ctx context.Context) error
	TryConnect(ctx context.Context) error
	Send(ctx context.Context, m relay.Message) error
	Recv(ctx context.Context) (relay.Message, error)
	Close() error
}

// A peerConfig says the same to both kinds of client; the zero value is the
// defaults.
type peerConfig struct {
	name        string
	uuid        uuid.UUID
	header      map[string]string
	noReconnect bool
	trusts      *certificate // ssl_context
	insecure    bool         // verify_certificate=False
	timeout     time.Duration
}

// A peerKind makes peers that are not connected yet.
type peerKind struct {
	name string
	new  func(t testing.TB, url string, config peerConfig) peer
}

var (
	realPeer = peerKind{"real", func(t testing.TB, url string, config peerConfig) peer { return startPythonPeer(t, url, config) }}
	ourPeer  = peerKind{"ours", func(t testing.TB, url string, config peerConfig) peer { return newClient(t, url, config.options()...) }}
	bothKind = []peerKind{realPeer, ourPeer}
)

func (c peerConfig) options() []relay.Option {
	// As impatient as the tests are; the defaults are not under test here.
	options := []relay.Option{relay.WithBackoff(50*time.Millisecond, 500*time.Millisecond), relay.WithReconnect(!c.noReconnect)}
	if c.name != "" {
		options = append(options, relay.WithName(c.name))
	}
	if c.uuid != uuid.Nil {
		options = append(options, relay.WithUUID(c.uuid))
	}
	if c.header != nil {
		header := make(http.Header)
		for key, value := range c.header {
			header.Set(key, value)
		}
		options = append(options, relay.WithHeader(header))
	}
	if c.trusts != nil {
		options = append(options, relay.WithTLSConfig(&tls.Config{RootCAs: c.trusts.Pool}))
	}
	if c.insecure {
		options = append(options, relay.WithInsecureSkipVerify())
	}
	if c.timeout != 0 {
		options = append(options, relay.WithTimeout(c.timeout))
	}
	return options
}

// newClient returns a client of ours that is closed at the end of the test.
func newClient(t testing.TB, url string, options ...relay.Option) *relay.Client {
	t.Helper()
	c, err := relay.New(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		// What a test wants of the result it looks at itself.
		_ = c.Shutdown(ctx)
	})
	return c
}

// soon is a context for one call that should not take long.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func connect(t testing.TB, peers ...peer) {
	t.Helper()
	for _, p := range peers {
		if err := p.Connect(soon(t)); err != nil {
			t.Fatalf("%s connects: %v", p.Name(), err)
		}
	}
}

func send(t testing.TB, from peer, to uuid.UUID, description string) {
	t.Helper()
	if err := from.Send(soon(t), offer(to, description)); err != nil {
		t.Fatalf("%s sends %.40q: %v", from.Name(), description, err)
	}
}

func receive(t testing.TB, p peer) relay.Message {
	t.Helper()
	m, err := p.Recv(soon(t))
	if err != nil {
		t.Fatalf("%s receives: %v", p.Name(), err)
	}
	return m
}

func offer(to uuid.UUID, description string) relay.Message {
	return relay.Message{PeerUUID: to, DescriptionType: relay.Offer, Description: description}
}

// meet sends from one to the other until something arrives, and says how often
// that took. Around a restart messages may get lost or bounce, and the real
// client's recv fails once for each lost connection.
func meet(t testing.TB, from, to peer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tag := uuid.NewString()
	met := make(chan error, 1)
	go func() { // ends by ctx at the latest; waited for below
		for {
			m, err := to.Recv(ctx)
			if err == nil && strings.HasPrefix(m.Description, tag) || err != nil && !connectionClosed(err) {
				met <- err
				return
			}
		}
	}()
	resend := time.NewTicker(250 * time.Millisecond)
	defer resend.Stop()
	for i := 1; ; i++ {
		if err := from.Send(ctx, offer(to.UUID(), fmt.Sprint(tag, i))); err != nil && !connectionClosed(err) && ctx.Err() == nil {
			cancel()
			<-met
			t.Fatalf("%s, sending to %s: %v", from.Name(), to.Name(), err)
		}
		select {
		case err := <-met:
			if err != nil {
				t.Fatalf("nothing from %s reaches %s in %d tries: %v", from.Name(), to.Name(), i, err)
			}
			return
		case <-resend.C:
		}
	}
}

// untilUnregistered sends to a peer that has left until a message comes back. A
// message to one whose connection is just ending is lost on the real relay.
func untilUnregistered(t testing.TB, from peer, to uuid.UUID) {
	t.Helper()
	eventually(t, patience, "the relay knows that the peer has left", func() bool {
		send(t, from, to, "still there?")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		m, err := from.Recv(ctx)
		return err == nil && m.Undelivered() && m.PeerUUID == to
	})
}

// connectionClosed reports whether the real client says that its connection
// was lost, which the next call mends.
func connectionClosed(err error) bool {
	exception, ok := errors.AsType[*pythonError](err)
	return ok && (strings.HasPrefix(exception.Class, "ConnectionClosed") || exception.Class == "RelayNotConnectedError")
}
