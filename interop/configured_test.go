package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A configuredRelay is "relay serve" with nothing but a file that was written
// for proxystore-relay.
type configuredRelay struct {
	*commandRelay
	file string
}

var configuredKind = relayKind{"our command with the real one's file", func(t testing.TB, _ *certificate) testRelay {
	return newConfiguredRelay(t)
}}

func newConfiguredRelay(t testing.TB) *configuredRelay {
	t.Helper()
	r := &configuredRelay{newCommandRelay(t, nil).(*commandRelay), filepath.Join(t.TempDir(), "relay.toml")}
	config := fmt.Sprintf(`
host = "127.0.0.1"
port = %d
max_message_bytes = 1000000

[logging]
log_dir = %q
default_level = "INFO"
websockets_level = "WARNING"
current_client_interval = 60
current_client_limit = 32
`, r.port, t.TempDir())
	if err := os.WriteFile(r.file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *configuredRelay) Start(t testing.TB) {
	t.Helper()
	r.process = start(t, "relay serve --config", exec.Command(r.binary, "serve", "--config", r.file))
	waitForListener(t, r.port, r.process)
}

// real returns the real relay, not started, with the same file.
func (r *configuredRelay) real() testRelay {
	return &realRelay{port: r.port, scheme: r.scheme, config: r.file}
}
