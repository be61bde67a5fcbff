package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// A pythonError is an exception of the real ProxyStore.
type pythonError struct{ Class, Text string }

func (e *pythonError) Error() string { return e.Class + ": " + e.Text }

// A driver is a process that runs python/peer.py in one of its modes, and
// answers requests.
type driver struct {
	*process
	ready chan struct{}

	mu      sync.Mutex
	partial []byte // an output line whose end has not come yet
	next    int
	pending map[int]chan driverAnswer // by id; each takes one answer
	exit    *pythonError              // what ended the process, if it said so
}

type driverAnswer struct {
	ID      int
	Event   string
	Error   *pythonError
	Message json.RawMessage
	Text    string
	// Of op "stats".
	Name      string
	UUID      uuid.UUID
	Connected bool
}

func startDriver(t testing.TB, name string, args ...string) *driver {
	t.Helper()
	d := &driver{ready: make(chan struct{}), pending: make(map[int]chan driverAnswer)}
	cmd := exec.Command(python(t), append([]string{"python/peer.py"}, args...)...)
	cmd.Stdout = d
	d.process = start(t, name, cmd)
	select {
	case <-d.ready:
	case <-d.ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not get ready", name)
	}
	return d
}

// Write takes the output of the process, and hands out the answers in it.
func (d *driver) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.partial = append(d.partial, p...)
	for {
		line, rest, found := bytes.Cut(d.partial, []byte("\n"))
		if !found {
			return len(p), nil
		}
		var answer driverAnswer
		if err := json.Unmarshal(line, &answer); err != nil {
			return 0, fmt.Errorf("the driver says %q: %w", line, err)
		}
		switch answer.Event {
		case "ready":
			close(d.ready)
		case "exit":
			d.exit = answer.Error
		default:
			d.pending[answer.ID] <- answer
			delete(d.pending, answer.ID)
		}
		d.partial = bytes.Clone(rest)
	}
}

// request sends one, and returns its id and where the answer will be.
func (d *driver) request(op string, arguments map[string]any) (int, <-chan driverAnswer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	answer := make(chan driverAnswer, 1)
	d.pending[d.next] = answer
	line := map[string]any{"id": d.next, "op": op}
	for key, value := range arguments {
		line[key] = value
	}
	// A write that goes wrong is a process that has ended, and call sees that.
	json.NewEncoder(d.stdin).Encode(line)
	return d.next, answer
}

// call does one request.
func (d *driver) call(ctx context.Context, op string, arguments map[string]any) (driverAnswer, error) {
	id, pending := d.request(op, arguments)
	return d.await(ctx, id, pending)
}

// await waits for an answer. When ctx ends first, the request is cancelled in
// Python too; an answer that was faster than that is not lost.
func (d *driver) await(ctx context.Context, id int, pending <-chan driverAnswer) (driverAnswer, error) {
	var answer driverAnswer
	select {
	case answer = <-pending:
	case <-d.ended:
		return answer, d.exitError()
	case <-ctx.Done():
		io.WriteString(d.stdin, fmt.Sprintf(`{"op": "cancel", "id": %d}`+"\n", id))
		select {
		case answer = <-pending:
		case <-d.ended:
			return answer, d.exitError()
		}
		if answer.Error != nil {
			return answer, ctx.Err()
		}
	}
	if answer.Error != nil {
		return answer, answer.Error
	}
	return answer, nil
}

// exitError says why a process that has ended did. It is a *pythonError of
// class SystemExit when the real client ended it.
func (d *driver) exitError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.exit != nil {
		return d.exit
	}
	return fmt.Errorf("%s has ended: %v", d.name, d.cmd.ProcessState)
}

// A pythonPeer is a real RelayClient, with the methods of our Client.
type pythonPeer struct {
	*driver
	uuid       uuid.UUID
	clientName string
}

func startPythonPeer(t testing.TB, url string, config peerConfig) *pythonPeer {
	t.Helper()
	args := []string{"client", "--address", url}
	if config.name != "" {
		args = append(args, "--name", config.name)
	}
	if config.uuid != uuid.Nil {
		args = append(args, "--uuid", config.uuid.String())
	}
	for key, value := range config.header {
		args = append(args, "--header", key+"="+value)
	}
	if config.noReconnect {
		args = append(args, "--no-reconnect-task")
	}
	if config.trusts != nil {
		args = append(args, "--ca", config.trusts.CertFile)
	}
	if config.insecure {
		args = append(args, "--insecure")
	}
	if config.timeout != 0 {
		args = append(args, "--timeout", strconv.FormatFloat(config.timeout.Seconds(), 'f', -1, 64))
	}
	p := &pythonPeer{driver: startDriver(t, "python peer "+config.name, args...)}
	stats, err := p.call(t.Context(), "stats", nil)
	if err != nil {
		t.Fatal(err)
	}
	p.uuid, p.clientName = stats.UUID, stats.Name
	return p
}

func (p *pythonPeer) Name() string    { return p.clientName }
func (p *pythonPeer) UUID() uuid.UUID { return p.uuid }

func (p *pythonPeer) Connect(ctx context.Context) error {
	_, err := p.call(ctx, "connect", nil)
	return err
}

func (p *pythonPeer) TryConnect(ctx context.Context) error {
	_, err := p.call(ctx, "connect", map[string]any{"retry": false})
	return err
}

// Send fills in the source as our Client does; the real one leaves that to the
// caller.
func (p *pythonPeer) Send(ctx context.Context, m codec.PeerConnection) error {
	if m.SourceUUID == uuid.Nil {
		m.SourceUUID = p.uuid
	}
	if m.SourceName == "" {
		m.SourceName = p.clientName
	}
	_, err := p.call(ctx, "send", map[string]any{"message": fieldsOf(m)})
	return err
}

func (p *pythonPeer) Recv(ctx context.Context) (codec.PeerConnection, error) {
	answer, err := p.call(ctx, "recv", nil)
	if err != nil {
		return codec.PeerConnection{}, err
	}
	return fromFields(answer.Message)
}

func (p *pythonPeer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := p.call(ctx, "close", nil)
	return err
}

// connected tells whether the property websocket of the real client gives one.
func (p *pythonPeer) connected(t testing.TB) bool {
	t.Helper()
	stats, err := p.call(t.Context(), "stats", nil)
	if err != nil {
		t.Fatal(err)
	}
	return stats.Connected
}
