package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// configurations are files for a relay. Both relays read them alike, or what is
// different says why.
var configurations = []struct {
	name, file string
	different  string // how the real one sees it, if not as ours does, and why ours does not
}{
	{name: "nothing", file: ""},
	{name: "every key", file: `host = "127.0.0.1"
port = 8701
certfile = 'CERT'
keyfile = 'KEY'
max_message_bytes = 1000
[auth]
method = "globus"
[auth.kwargs]
client_id = "id"
client_secret = "secret"
audience = "everybody"
[logging]
log_dir = "logs"
default_level = "WARNING"
websockets_level = 40
current_client_interval = 30
current_client_limit = 5
`},
	{name: "the example without TLS", file: `port = 8700

[logging]
log_dir = "/path/to/log/dir"
default_log_level = "INFO"
websockets_log_level = "WARNING"
connected_client_logging_interval = 60
connected_client_logging_limit = 32
`},
	{name: "the example with TLS", file: `host = "0.0.0.0"
port = 8700
certfile = "CERT"
keyfile = "KEY"

[auth]
method = "globus"

[auth.kwargs]
client_id = "..."
client_secret = "..."

[logging]
log_dir = "/path/to/log/dir"
default_log_level = "INFO"
`},
	{name: "the example with a table that is none", file: "[serving]\ncertfile = \"/path/to/cert.pem\""},
	{name: "our own table", file: "port = 1\n[relay]\nmax_connections = 3"},
	{name: "inline tables and dotted keys", file: "auth = {}\nlogging.log_dir = 'x'\nlogging.\"default_level\" = 10"},
	{name: "a key with a dot in it", file: "\"auth.method\" = 'globus'"},
	{name: "another type of line end", file: "port = 1\r\nhost = 'x'\r\n"},
	{name: "an empty host", file: "host = ''"},
	{name: "numbers in other notations", file: "port = 0x2_1\nmax_message_bytes = 1_000"},
	{name: "a port as a string", file: `port = "8700"`},
	{name: "a port as a float", file: "port = 8700.0"},
	{name: "a port as a truth", file: "port = true"},
	{name: "a port as a date", file: "port = 2020-01-01"},
	{name: "a size as a string", file: `max_message_bytes = "1"`},
	{name: "a host as a number", file: "host = 1"},
	{name: "a certificate as a list", file: "certfile = ['CERT']"},
	{name: "a certificate that is not there", file: "certfile = '/nowhere/cert.pem'"},
	{name: "a certificate and no key", file: "certfile = 'CERT'"},
	{name: "a log directory as a number", file: "[logging]\nlog_dir = 1"},
	{name: "a level as a fraction", file: "[logging]\ndefault_level = 1.5"},
	{name: "a level as a truth", file: "[logging]\nwebsockets_level = false"},
	{name: "a level by another name", file: "[logging]\ndefault_level = 'LOUD'"},
	{name: "the levels FATAL and WARN", file: "[logging]\ndefault_level = 'FATAL'\nwebsockets_level = 'WARN'"},
	{name: "an interval as a fraction", file: "[logging]\ncurrent_client_interval = 0.5"},
	{name: "a limit as a string", file: "[logging]\ncurrent_client_limit = '5'"},
	{name: "a limit of -1", file: "[logging]\ncurrent_client_limit = -1"},
	{name: "logging as a string", file: "logging = 'x'"},
	{name: "auth as an array", file: "[[auth]]\nmethod = 'globus'"},
	{name: "another method", file: "[auth]\nmethod = 'token'"},
	{name: "a method in capitals", file: "[auth]\nmethod = 'GLOBUS'"},
	{name: "a method as a number", file: "[auth]\nmethod = 1"},
	{name: "an unknown key in [auth]", file: "[auth]\nmethods = 'globus'"},
	{name: "a table in [auth]", file: "[auth.other]\nx = 1"},
	{name: "kwargs as a string", file: "[auth]\nkwargs = 'x'"},
	{name: "an unknown argument", file: "[auth]\nmethod = 'globus'\nkwargs = {client_id = 'x', client_secret = 'y', scope = 'z'}"},
	{name: "no credentials", file: "[auth]\nmethod = 'globus'"},
	{name: "half of the credentials", file: "[auth]\nmethod = 'globus'\nkwargs = {client_id = 'x'}"},
	{name: "a key twice", file: "port = 1\nport = 2"},
	{name: "a table twice", file: "[logging]\n[logging]"},
	{name: "no value", file: "port ="},
	{name: "no quotes", file: "host = localhost"},
	{name: "a byte order mark", file: "\ufeffport = 1"},
	{name: "no UTF-8", file: "host = '\xff'"},
	{name: "a control character", file: "host = 'a\x00'"},
	{name: "a lower-case level", file: "[logging]\ndefault_level = 'info'", different: "refuses it; its own --log-level takes it"},
	{name: "a port out of range", file: "port = 70000", different: "takes it, and cannot listen"},
	{name: "a negative port", file: "port = -1", different: "takes it, and cannot listen"},
	{name: "a negative size", file: "max_message_bytes = -1", different: "takes it, and refuses every message"},
	{name: "a negative interval", file: "[logging]\ncurrent_client_interval = -1", different: "takes it, and logs without end"},
	{name: "a key without a certificate", file: "keyfile = 'KEY'", different: "takes it, and serves without TLS"},
	{name: "credentials without a method", file: "[auth.kwargs]\nclient_id = 'x'", different: "takes it, and lets everybody in"},
	{name: "credentials of other types", file: "[auth]\nmethod = 'globus'\nkwargs = {client_id = 1, client_secret = 2}", different: "makes strings of them"},
}

// A reading is what a relay made of a file.
type reading struct {
	settings map[string]string // by our names; nil: it would not start
	said     string
}

func TestBothRelaysReadTheSameConfiguration(t *testing.T) {
	interpreter, binary := python(t), newCommandRelay(t, nil).(*commandRelay).binary
	cert := newCertificate(t)
	var paths []string
	for i, c := range configurations {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("%d.toml", i))
		content := strings.NewReplacer("CERT", cert.CertFile, "KEY", cert.KeyFile).Replace(c.file)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	theirs := readByPython(t, interpreter, paths)
	for i, c := range configurations {
		t.Run(c.name, func(t *testing.T) {
			ours, real := check(t, binary, paths[i]), theirs[i]
			switch {
			case (ours.settings != nil) != (real.settings != nil):
				if c.different == "" {
					t.Errorf("ours takes it: %v (%s), the real one: %v (%s)", ours.settings != nil, ours.said, real.settings != nil, real.said)
				}
			case c.different != "":
				t.Errorf("it is not different: ours %q, the real one %q", ours.said, real.said)
			default:
				for name, want := range real.settings {
					if got := ours.settings[name]; got != want {
						t.Errorf("%s is %q in ours, and %q in the real one", name, got, want)
					}
				}
			}
		})
	}
}

// environment leaves out what relays would take for settings.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "PROXYSTORE_") || strings.HasPrefix(variable, "RELAY_")
	})
}

// check has our relay read a file. Keys that nobody knows are no reason not to
// start, though --check complains.
func check(t *testing.T, binary, path string) reading {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--check", "--config", path)
	cmd.Env = environment()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	for line := range strings.Lines(stderr.String()) {
		if !strings.Contains(line, "there is no such key, it is ignored") && !strings.Contains(line, "found, see above") {
			return reading{said: line}
		}
	}
	if err != nil && stderr.Len() == 0 {
		t.Fatal(err)
	}
	settings := make(map[string]string)
	for line := range strings.Lines(string(stdout)) {
		if fields := strings.Fields(line); len(fields) > 2 {
			settings[fields[0]] = fields[1]
		}
	}
	return reading{settings: settings}
}

// readByPython has the real relay's code read files.
func readByPython(t *testing.T, interpreter string, paths []string) []reading {
	t.Helper()
	cmd := exec.Command(interpreter, append([]string{"python/read_config.py"}, paths...)...)
	cmd.Env = environment()
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var readings []reading
	for line := range strings.Lines(string(out)) {
		var answer struct {
			Error    string
			Settings *struct {
				Host, Certfile, Keyfile string
				Port                    int
				Max                     int `json:"max_message_bytes"`
				Auth                    struct {
					Method string
					Kwargs map[string]string
				}
				Logging struct {
					Dir        string `json:"log_dir"`
					Level      any    `json:"default_level"`
					Websockets any    `json:"websockets_level"`
					Interval   int    `json:"current_client_interval"`
					Limit      int    `json:"current_client_limit"`
				}
			}
		}
		if err := json.Unmarshal([]byte(line), &answer); err != nil {
			t.Logf("%s: %v", line, err)
		}
		r := reading{said: answer.Error}
		if s := answer.Settings; s != nil {
			r.settings = map[string]string{
				"addr":                 fmt.Sprintf("%s:%d", s.Host, s.Port),
				"tls-cert":             dash(s.Certfile),
				"tls-key":              dash(s.Keyfile),
				"max-message-bytes":    fmt.Sprint(s.Max),
				"auth":                 "none",
				"log-dir":              dash(s.Logging.Dir),
				"log-level":            level(s.Logging.Level),
				"log-websockets-level": level(s.Logging.Websockets),
				"log-clients-interval": strings.Replace(fmt.Sprintf("%ds", s.Logging.Interval), "60s", "1m", 1),
				"log-clients-limit":    fmt.Sprint(s.Logging.Limit),
			}
			if s.Auth.Method != "" {
				r.settings["auth"], r.settings["auth-client-id"] = s.Auth.Method, s.Auth.Kwargs["client_id"]
			}
		}
		readings = append(readings, r)
	}
	if len(readings) != len(paths) {
		t.Fatalf("%d answers for %d files: %s", len(readings), len(paths), out)
	}
	return readings
}

func dash(value string) string {
	if value == "" {
		return "-"
	}
	return value
}

// level returns our name for one of Python's levels.
func level(value any) string {
	if name, ok := value.(string); ok {
		return strings.NewReplacer("fatal", "critical", "warning", "warning", "warn", "warning").Replace(strings.ToLower(name))
	}
	return map[any]string{10.0: "debug", 20.0: "info", 30.0: "warning", 40.0: "error", 50.0: "critical"}[value]
}
