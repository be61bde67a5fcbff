package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A manager is a real PeerManager in a process of its own, connected to a
// relay. WebRTC is confined to 127.0.0.1, without STUN.
type manager struct {
	*driver
	uuid uuid.UUID
}

func startManager(t testing.TB, r testRelay, name string) *manager {
	t.Helper()
	m := &manager{driver: startDriver(t, "peer manager "+name, "manager", "--address", r.URL(), "--name", name)}
	confined(t, m.process)
	m.ask(t, "connect", nil)
	m.uuid = m.ask(t, "stats", nil).UUID
	return m
}

// ask does one request that must not fail.
func (d *driver) ask(t testing.TB, op string, arguments map[string]any) driverAnswer {
	t.Helper()
	answer, err := d.call(soon(t), op, arguments)
	if err != nil {
		t.Fatalf("%s, asked to %s: %v", d.name, op, err)
	}
	return answer
}

// A payload is what one peer sends to another.
type payload struct {
	Kind string `json:"kind"` // str or bytes, as Python calls them
	Data []byte `json:"data"`
}

// newPayload makes one in which no two places look alike, so that nothing can
// get lost or change places unseen. Text is ASCII: the real PeerManager cuts
// any other.
func newPayload(kind string, size int) payload {
	p := payload{kind, make([]byte, size)}
	for i := range p.Data {
		p.Data[i] = byte(rand.Uint32())
		if kind == "str" {
			p.Data[i] = ' ' + p.Data[i]%95
		}
	}
	return p
}

// send sends a payload; when there is no connection to the peer yet, it opens
// one, and gives up after the limit.
func (m *manager) send(ctx context.Context, to *manager, p payload, limit time.Duration) error {
	_, err := m.call(ctx, "send", map[string]any{"to": to.uuid, "kind": p.Kind, "data": p.Data, "timeout": limit.Seconds()})
	return err
}

// transfer bounds what may move megabytes through Python's WebRTC, which takes
// its time on a busy machine.
func transfer(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	return ctx
}

// pass sends a payload from one to the other, and compares what arrives.
func pass(ctx context.Context, from, to *manager, p payload) error {
	if err := from.send(ctx, to, p, patience); err != nil {
		return fmt.Errorf("%s sends %d %s: %w", from.name, len(p.Data), p.Kind, err)
	}
	answer, err := to.call(ctx, "recv", nil)
	if err != nil {
		return fmt.Errorf("%s receives: %w", to.name, err)
	}
	var got struct {
		payload
		From uuid.UUID
	}
	if err := json.Unmarshal(answer.Message, &got); err != nil {
		return err
	}
	if got.From != from.uuid || got.Kind != p.Kind || !bytes.Equal(got.Data, p.Data) {
		return fmt.Errorf("%s received %d %s from %v, not the %d %s that %s sent", to.name, len(got.Data), got.Kind, got.From, len(p.Data), p.Kind, from.name)
	}
	return nil
}

// exchange passes one payload each way. The stage is for the error.
func exchange(t testing.TB, stage string, a, b *manager, there, back payload) {
	t.Helper()
	if err := errors.Join(pass(transfer(t), a, b, there), pass(transfer(t), b, a, back)); err != nil {
		t.Fatalf("%s: %v", stage, err)
	}
}

// chat exchanges something small.
func chat(t testing.TB, stage string, a, b *manager) {
	t.Helper()
	exchange(t, stage, a, b, newPayload("str", 100), newPayload("bytes", 100))
}

// peers counts the connections to peers that the manager has.
func (m *manager) peers(t testing.TB) int {
	t.Helper()
	var stats struct{ Peers []string }
	if err := json.Unmarshal(m.ask(t, "stats", nil).Message, &stats); err != nil {
		t.Fatal(err)
	}
	return len(stats.Peers)
}

func TestPeerManagers_exchange_data_over_a_connection_that_either_opens(t *testing.T) {
	t.Parallel()
	for _, kind := range []relayKind{realKind, ourKind, ourCommandKind} {
		t.Run(kind.name, func(t *testing.T) {
			r := startRelay(t, kind)
			alice, bob := startManager(t, r, "alice"), startManager(t, r, "bob")
			findsNobody(t, alice)
			sizes := []int{1, 32 << 10, 32<<10 + 1} // a chunk is 32 KiB
			for _, way := range [][2]*manager{{alice, bob}, {bob, alice}} {
				first, second := way[0], way[1]
				stage := "opened by " + first.name
				for _, size := range sizes {
					exchange(t, stage, first, second, newPayload("str", size), newPayload("bytes", size))
					exchange(t, stage, first, second, newPayload("bytes", size), newPayload("str", size))
				}
				first.ask(t, "disconnect", map[string]any{"peer": second.uuid})
				eventually(t, patience, "both have forgotten the connection", func() bool {
					return first.peers(t) == 0 && second.peers(t) == 0
				})
			}
			exchange(t, "a megabyte", alice, bob, newPayload("str", 1e6), newPayload("bytes", 1e6))
		})
	}
}

// findsNobody sends to a peer that the relay does not know.
func findsNobody(t testing.TB, m *manager) {
	t.Helper()
	unknown := &manager{uuid: uuid.New()}
	err := m.send(soon(t), unknown, newPayload("str", 1), patience)
	want := "Received error message from relay server: Cannot forward peer connection message to peer " + unknown.uuid.String() +
		" because this peer is not registered this relay server."
	if exception, _ := errors.AsType[*pythonError](err); exception == nil || exception.Class != "PeerConnectionError" || exception.Text != want {
		t.Errorf("send to an unknown peer: %v; want PeerConnectionError: %s", err, want)
	}
}
