package links_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
)

// python is a real client of ProxyStore, in a process of its own, that receives
// all the time.
type python struct {
	id    uuid.UUID
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  bytes.Buffer  // on stderr, once it has ended
	ended chan struct{} // closed when it has ended and all its output has been taken

	mu      sync.Mutex
	last    int
	pending map[int]chan answer // by id; each takes one
}

// answer is a line of the driver.
type answer struct {
	ID      int
	Event   string
	Error   *struct{ Class, Text string }
	Message *struct {
		Source      uuid.UUID `json:"source_uuid"`
		Peer        uuid.UUID `json:"peer_uuid"`
		Description string
		Error       string
	}
}

// startPython starts a client; arrived is called with each message that it gets.
func startPython(t *testing.T, url string, id uuid.UUID, arrived func(relay.Message)) *python {
	t.Helper()
	p := &python{id: id, ended: make(chan struct{}), pending: make(map[int]chan answer)}
	p.cmd = exec.Command("../../.venv/bin/python", "../../interop/python/peer.py", "client",
		"--address", url, "--uuid", id.String(), "--name", "python")
	p.cmd.Stderr = &p.said
	stdout, err := p.cmd.StdoutPipe()
	if err == nil {
		p.stdin, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go p.listen(stdout)
	t.Cleanup(p.kill)
	if reply := p.call("connect", nil); reply.Error != nil {
		t.Fatalf("the Python client: %v", *reply.Error)
	}
	go p.receive(arrived)
	return p
}

// listen hands out the answers until the process has ended.
func (p *python) listen(stdout io.Reader) {
	defer close(p.ended)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var reply answer
		if json.Unmarshal(lines.Bytes(), &reply) != nil || reply.Event != "" {
			continue
		}
		p.mu.Lock()
		to := p.pending[reply.ID]
		delete(p.pending, reply.ID)
		p.mu.Unlock()
		if to != nil {
			to <- reply
		}
	}
	_ = p.cmd.Wait()
}

// call asks the client for something; the answer of one that has ended says so.
func (p *python) call(op string, message map[string]any) answer {
	p.mu.Lock()
	p.last++
	request := map[string]any{"id": p.last, "op": op}
	if message != nil {
		request["message"] = message
	}
	to := make(chan answer, 1)
	p.pending[p.last] = to
	line, err := json.Marshal(request)
	if err == nil {
		_, _ = p.stdin.Write(append(line, '\n'))
	}
	p.mu.Unlock()
	select {
	case reply := <-to:
		return reply
	case <-p.ended:
		return answer{Error: &struct{ Class, Text string }{"ended", p.cmd.ProcessState.String()}}
	}
}

// receive ends with the process. An error is that of a connection that was lost:
// the client makes another one by itself.
func (p *python) receive(arrived func(relay.Message)) {
	for {
		reply := p.call("recv", nil)
		if m := reply.Message; m != nil {
			arrived(relay.Message{SourceUUID: m.Source, PeerUUID: m.Peer, Description: m.Description, Error: m.Error})
		}
		select {
		case <-p.ended:
			return
		default:
		}
	}
}

// send sends a message to a peer.
func (p *python) send(peer uuid.UUID, description string) (ok bool) {
	return p.call("send", map[string]any{
		"message_type": "peer_connection", "source_uuid": p.id.String(), "source_name": "python",
		"peer_uuid": peer.String(), "description_type": "offer", "description": description,
	}).Error == nil
}

func (p *python) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *python) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	_ = p.stdin.Close()
}
