package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// A site is a place with one endpoint, the stock command in a process of its
// own, and one program that uses it, in another. Each site has its own folder
// for both, as if it were a machine of its own.
type site struct {
	name     string
	uuid     uuid.UUID
	home     string // PROXYSTORE_HOME
	port     int    // of the endpoint's HTTP interface
	endpoint *process
	program  *driver
}

// startSites starts two sites that know of each other, and one relay.
func startSites(t testing.TB, r testRelay) (a, b *site) {
	t.Helper()
	a, b = newSite(t, r, "alpha"), newSite(t, r, "beta")
	for _, s := range []*site{a, b} {
		s.startEndpoint(t)
		s.program = startDriver(t, "program at "+s.name, "program", "--home", s.home)
		confined(t, s.program.process)
		s.program.ask(t, "open", map[string]any{"endpoints": []uuid.UUID{a.uuid, b.uuid}})
	}
	return a, b
}

func newSite(t testing.TB, r testRelay, name string) *site {
	t.Helper()
	s := &site{name: name, uuid: uuid.New(), home: t.TempDir(), port: freePort(t)}
	config := fmt.Sprintf(`
name = %q
uuid = %q
port = %d
host = "127.0.0.1"
host_type = "static"

[relay]
address = %q
ice_servers = []  # no STUN
`, name, s.uuid, s.port, r.URL())
	if err := os.Mkdir(filepath.Join(s.home, name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.home, name, "config.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// startEndpoint returns when the endpoint serves, and so is registered with the
// relay.
func (s *site) startEndpoint(t testing.TB) {
	t.Helper()
	cmd := exec.Command(python(t), "python/peer.py", "endpoint", "start", s.name, "--no-detach")
	cmd.Env = append(os.Environ(), "PROXYSTORE_HOME="+s.home)
	s.endpoint = start(t, "endpoint "+s.name, cmd)
	confined(t, s.endpoint)
	waitForListener(t, s.port, s.endpoint)
}

// registrations counts how often the endpoint has registered with a relay.
func (s *site) registrations(t testing.TB) int {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(s.home, s.name, "log.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(log, []byte("Established client connection to relay server"))
}

// A stored is what the store of a program answers about an object.
type stored struct {
	Key    [2]string // of the object, and of the endpoint that has it
	Proxy  string    // of the object, pickled
	Data   []byte    // nil: there is none
	Exists bool
}

func (s *site) use(t testing.TB, op string, arguments map[string]any) (stored, error) {
	t.Helper()
	answer, err := s.program.call(transfer(t), op, arguments)
	if err != nil {
		return stored{}, fmt.Errorf("at %s, %s: %w", s.name, op, err)
	}
	var o stored
	if err := json.Unmarshal(answer.Message, &o); err != nil {
		t.Fatal(err)
	}
	return o, nil
}

// share puts an object at one site and uses its proxy at the other.
func share(t testing.TB, from, to *site, size int) (stored, error) {
	t.Helper()
	data := newPayload("bytes", size).Data
	put, err := from.use(t, "put", map[string]any{"data": data})
	if err != nil {
		return put, err
	}
	got, err := to.use(t, "resolve", map[string]any{"proxy": put.Proxy})
	if err == nil && !bytes.Equal(got.Data, data) {
		err = fmt.Errorf("%s got %d bytes, not the %d that are at %s", to.name, len(got.Data), size, from.name)
	}
	return put, err
}

// shareBoth shares small objects both ways. The stage is for the error.
func shareBoth(t testing.TB, stage string, a, b *site) {
	t.Helper()
	for _, way := range [][2]*site{{a, b}, {b, a}} {
		if _, err := share(t, way[0], way[1], 100); err != nil {
			t.Fatalf("%s: %v", stage, err)
		}
	}
}

func TestEndpoints_exchange_objects(t *testing.T) {
	t.Parallel()
	for _, kind := range []relayKind{realKind, ourKind, configuredKind} {
		t.Run(kind.name, func(t *testing.T) {
			a, b := startSites(t, startRelay(t, kind))
			for _, test := range []struct {
				from, to *site
				size     int
			}{{a, b, 1}, {b, a, 1}, {a, b, 5e6}} {
				o, err := share(t, test.from, test.to, test.size)
				if err != nil {
					t.Fatal(err)
				}
				evict(t, o.Key, test.from, test.to)
			}

			unknown := uuid.NewString()
			_, err := a.use(t, "get", map[string]any{"key": [2]string{uuid.NewString(), unknown}})
			exception, _ := errors.AsType[*pythonError](err)
			if exception == nil || exception.Class != "EndpointConnectorError" ||
				!strings.Contains(exception.Text, "Cannot forward peer connection message to peer "+unknown+" because this peer is not registered this relay server.") {
				t.Errorf("get from an endpoint that nobody knows: %v; want an EndpointConnectorError with what the relay says", err)
			}
			shareBoth(t, "after that", a, b)
		})
	}
}

// evict removes an object that is at one site from the other.
func evict(t testing.TB, key [2]string, owner, other *site) {
	t.Helper()
	exist := func(want bool) {
		for _, s := range []*site{owner, other} {
			if o, err := s.use(t, "exists", map[string]any{"key": key}); err != nil || o.Exists != want {
				t.Errorf("exists at %s: %v, %v; want %v", s.name, o.Exists, err, want)
			}
		}
	}
	exist(true)
	if _, err := other.use(t, "evict", map[string]any{"key": key}); err != nil {
		t.Error(err)
	}
	exist(false)
	for _, s := range []*site{owner, other} {
		if o, err := s.use(t, "get", map[string]any{"key": key}); err != nil || o.Data != nil {
			t.Errorf("get at %s, when evicted: %d bytes, %v; want none", s.name, len(o.Data), err)
		}
	}
}
