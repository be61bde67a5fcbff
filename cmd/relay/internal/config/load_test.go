package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load settles settings from a file, if there is one, variables and flags.
func load(t *testing.T, file string, environ []string, args ...string) (*Settings, error) {
	t.Helper()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	for _, group := range Flags() {
		flags.AddFlagSet(group.FlagSet)
	}
	if file != "" {
		path := filepath.Join(t.TempDir(), "relay.toml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	return Load(flags, environ)
}

// problem returns one line about what is wrong, without the folder of the file.
func problem(err error) string {
	if err == nil {
		return ""
	}
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	if i := strings.Index(text, "relay.toml"); i >= 0 {
		text = strings.ReplaceAll(text, text[:i], "")
	}
	return text
}

func TestNothingGivenIsTheDefaults(t *testing.T) {
	s, err := load(t, "", nil)
	if err != nil || !reflect.DeepEqual(s, Defaults()) {
		t.Errorf("%v; %+v, want %+v", err, s, Defaults())
	}
}

func TestTheDefaultWindowFitsIntoAShorterShutdown(t *testing.T) {
	if s, err := load(t, "", nil, "--shutdown-timeout", "1s"); err != nil || s.DrainWindow != 500*time.Millisecond {
		t.Errorf("%v, %v", s.DrainWindow, err)
	}
	if _, err := load(t, "", nil, "--shutdown-timeout", "1s", "--drain-window", "2s"); err == nil {
		t.Error("a window that does not fit was taken")
	}
}

func TestEveryKeyOfProxyStoresRelayIsASetting(t *testing.T) {
	s, err := load(t, `host = "127.0.0.2"
port = 8701
certfile = "c.pem"
keyfile = "k.pem"
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
current_client_interval = 90
current_client_limit = -1
`, nil)
	if err != nil || len(s.Warnings) > 0 {
		t.Fatalf("%v, warnings %v", err, s.Warnings)
	}
	want := Defaults()
	want.File, want.origins = s.File, s.origins
	want.Addr, want.TLSCert, want.TLSKey, want.MaxMessageBytes = "127.0.0.2:8701", "c.pem", "k.pem", 1000
	want.Auth, want.AuthClientID, want.AuthClientSecret, want.AuthAudience = AuthGlobus, "id", "secret", "everybody"
	want.AuthIntrospectionURL = "https://auth.globus.org/v2/oauth2/token/introspect"
	want.LogDir, want.LogLevel, want.LogWebsocketsLevel = "logs", slog.LevelWarn, slog.LevelError
	want.LogClientsInterval, want.LogClientsLimit = 90*time.Second, -1
	if !reflect.DeepEqual(s, want) {
		t.Errorf("%+v, want %+v", s, want)
	}
	for key, name := range theirs {
		if key != "host" && !strings.Contains(s.origin(name), "relay.toml:") {
			t.Errorf("%s is not from the file, but from %s", name, s.origin(name))
		}
	}
}

func TestAFileWithoutAHostMeansAllInterfaces(t *testing.T) {
	for file, want := range map[string]string{
		"[logging]":        ":8700",
		"port = 0":         ":0",
		"host = ''":        ":8700",
		"host = '::1'":     "[::1]:8700",
		"host = 'a.local'": "a.local:8700",
	} {
		if s, err := load(t, file, nil); err != nil || s.Addr != want {
			t.Errorf("%s: %v, %q, want %q", file, err, s.Addr, want)
		}
	}
}

func TestWhatIsMeantForUsAloneWins(t *testing.T) {
	s, err := load(t, `host = "127.0.0.2"
max_message_bytes = 8
relay = {addr = "127.0.0.1:1", auth = "none", max_message_bytes = 7, log_level = "debug"}
[auth]
method = "globus"
[logging]
default_level = "ERROR"
`, nil)
	if err != nil || s.Addr != "127.0.0.1:1" || s.Auth != AuthNone || s.MaxMessageBytes != 7 || s.LogLevel != slog.LevelDebug {
		t.Errorf("%v, %+v", err, s)
	}
	if origin := s.origin("addr"); !strings.HasSuffix(origin, "relay.toml:3") {
		t.Errorf("the address is from %s", origin)
	}
}

// The examples of ProxyStore's documentation, with the keys that its relay has
// never known.
func TestTheDocumentedExamplesWorkWithAWarningForEachKeyThatIsNone(t *testing.T) {
	const logging = `
[logging]
log_dir = "/path/to/log/dir"
default_log_level = "INFO"
websockets_log_level = "WARNING"
connected_client_logging_interval = 60
connected_client_logging_limit = 32
`
	const auth = `host = "0.0.0.0"
port = 8700
certfile = "/path/to/cert.pem"
keyfile = "/path/to/privkey.pem"

[auth]
method = "globus"

[auth.kwargs]
client_id = "..."
client_secret = "..."
`
	former := []string{
		"logging.default_log_level: there is no such key, it is ignored; did you mean logging.default_level?",
		"logging.websockets_log_level: there is no such key, it is ignored; did you mean logging.websockets_level?",
		"logging.connected_client_logging_interval: there is no such key, it is ignored; did you mean logging.current_client_interval?",
		"logging.connected_client_logging_limit: there is no such key, it is ignored; did you mean logging.current_client_limit?",
	}
	tests := []struct {
		name, file string
		line       int // of the first warning
		want       []string
	}{
		{"without TLS", "port = 8700\n" + logging, 5, former},
		{"with TLS and Globus Auth", auth + logging, 15, former},
		{"with a table that is none", "[serving]\ncertfile = \"/path/to/cert.pem\"", 2, []string{
			"serving.certfile: there is no such key, it is ignored; did you mean certfile, above all tables?",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := load(t, tt.file, nil)
			if err != nil || len(s.Warnings) != len(tt.want) {
				t.Fatalf("%v, warnings %v", err, s.Warnings)
			}
			for i, warning := range s.Warnings {
				where := fmt.Sprintf("%s:%d:1", s.File, tt.line+i)
				if warning.Where != where || warning.What != tt.want[i] {
					t.Errorf("%q, want %q: %q", warning, where, tt.want[i])
				}
			}
		})
	}
}

func TestWhatIsWrongWithAFileIsToldWithItsPlace(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"no TOML", "port = 1\nhost = ", "relay.toml:2:7: no TOML: expected value, not end of input"},
		{"a key twice", "port = 1\nport = 2", "relay.toml:2:1: no TOML: key port is already defined"},
		{"a string for a number", `port = "8700"`, "relay.toml:1:1: port: should be a whole number, not a string"},
		{"a fraction for a number", "port = 1.5", "relay.toml:1:1: port: should be a whole number, not a number with a fraction"},
		{"a truth for a number", "max_message_bytes = true", "relay.toml:1:1: max_message_bytes: should be a whole number, not true or false"},
		{"a number for a string", "  certfile = 1", "relay.toml:1:3: certfile: should be a string, not a whole number"},
		{"a table for a number", "[port]\nx = 1", "relay.toml:1:2: port: should be a whole number, not a table"},
		{"a number for a table", "logging = 1", "relay.toml:1:1: logging: should be a table, not a whole number"},
		{"an array of tables", "[[auth]]\nmethod = 'globus'", "relay.toml:1:3: auth: should be a table, not an array"},
		{"a truth for a level", "[logging]\ndefault_level = true", "relay.toml:2:1: logging.default_level: should be a string or a whole number, not true or false"},
		{"a level that is none", "[logging]\nwebsockets_level = 'loud'", "relay.toml:2:1: logging.websockets_level: should be one of debug, info, warning, error and critical"},
		{"a port out of range", "port = 65536", "relay.toml:1:1: port: 65536 is not between 0 and 65535"},
		{"a negative size", "max_message_bytes = -1", "relay.toml:1:1: max_message_bytes: cannot be negative"},
		{"another method", "[auth]\nmethod = 'Globus'", `relay.toml:2:1: auth.method: should be "globus"; other ways are set with auth in the table [relay]`},
		{"an unknown key in [auth]", "[auth]\nmetod = 'globus'", "relay.toml:2:1: auth.metod: there is no such key; did you mean auth.method?"},
		{"an empty table in [auth]", "[auth.kwarg]", "relay.toml:1:7: auth.kwarg: there is no such key"},
		{"an unknown key in [auth.kwargs]", "[auth]\nkwargs = {audiences = 'x'}", "relay.toml:2:11: auth.kwargs.audiences: there is no such key; did you mean auth.kwargs.audience?"},
		{"a secret of the wrong type", "[auth.kwargs]\nclient_secret = 12345", "relay.toml:2:1: auth.kwargs.client_secret: should be a string, not a whole number"},
		{"a key without its certificate", "keyfile = 'x'", "relay.toml:1: --tls-key: a TLS key without a certificate: give it with --tls-cert (certfile in the file)"},
		{"credentials without a method", "[auth.kwargs]\nclient_id = 'x'", "relay.toml:2: --auth-client-id: is of no use without --auth (auth.method in the file): everybody would be let in"},
		{"a duration as a number", "[relay]\nwrite_timeout = 10", `relay.toml:2:1: relay.write_timeout: should be a duration in quotes, such as "10s", not a whole number`},
		{"a table for a level", "[relay.log_level]", "relay.toml:1:8: relay.log_level: should be a string or a whole number, not a table"},
		{"a bad duration", "[relay]\nwrite_timeout = '10'", "relay.toml:2:1: relay.write_timeout: should be a duration, such as 10s or 1m30s"},
		{"a bad network", "[relay]\ntrusted_proxy = ['10.0.0.0/8', 'home']", `relay.toml:2:1: relay.trusted_proxy: "home" should be an address or a range of them, such as 10.0.0.0/8`},
		{"a bad item", "[relay]\nallow_origin = ['https://a.example', 1]", "relay.toml:2:1: relay.allow_origin: item 2: should be a string, not a whole number"},
		{"an origin with a path", "[relay]\nallow_origin = 'https://a.example/'", "relay.toml:2:1: relay.allow_origin: should be an origin, such as https://example.org"},
		{"a rate that would stall", "[relay]\nbyte_rate = 1000", "relay.toml:2:1: relay.byte_rate: should be 65536 or more, or 0 for no bound: the longest message must get through in time"},
		{"two mistakes", "port = 1.5\n[relay]\npprof = 1", "relay.toml:1:1: port: should be a whole number, not a number with a fraction; relay.toml:3:1: relay.pprof: should be true or false, not a whole number"},
		{"nobody to ask", "[relay]\nauth = 'introspection'", "relay.toml:2: --auth: introspection needs --auth-introspection-url; " +
			"relay.toml:2: --auth: introspection needs --auth-audience: a token for something else must not do; " +
			"relay.toml:2: --auth: introspection needs --auth-client-id, and a secret with --auth-client-secret-file or RELAY_AUTH_CLIENT_SECRET"},
		{"no certificate to trust", "[relay]\nauth = 'mtls'", "relay.toml:2: --auth: mtls needs --tls-client-ca, and TLS with --tls-cert"},
		{"no tokens", "[relay]\nauth = 'tokens'", "relay.toml:2: --auth: tokens needs --auth-tokens-file"},
		{"one address for both", "port = 8700\n[relay]\nops_addr = ':8700'", "relay.toml:3: --ops-addr: should not be that of --addr: health and metrics are not for clients"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := load(t, tt.file, nil)
			if got := problem(err); got != tt.want {
				t.Errorf("%q, want %q (warnings %v)", got, tt.want, s.Warnings)
			}
		})
	}
}

func TestUnknownKeysAreGuessed(t *testing.T) {
	for file, want := range map[string]string{
		"hosts = 'x'":                  "; did you mean host?",
		"[logging]\nlogdir = 'x'":      "; did you mean logging.log_dir?",
		"log_dir = 'x'":                "; did you mean logging.log_dir?",
		"[logging]\nport = 1":          "; did you mean port, above all tables?",
		"max_connections = 1":          "; did you mean relay.max_connections?",
		"[relay]\nmax_connection = 1":  "; did you mean relay.max_connections?",
		"[relay]\nmax-connections = 1": "; did you mean relay.max_connections?",
		"[relay]\nconfig = 'x'":        "",
		"\"auth.method\" = 'globus'":   "; did you mean auth.method?",
		"[something.else]":             "",
		"nothing_like_it = 1":          "",
	} {
		s, err := load(t, file, nil)
		if err != nil || len(s.Warnings) != 1 {
			t.Errorf("%q: %v, %v", file, err, s.Warnings)
			continue
		}
		if _, hint, _ := strings.Cut(s.Warnings[0].What, "it is ignored"); hint != want {
			t.Errorf("%q: %q, want %q", file, hint, want)
		}
	}
}

func TestEverySettingCanBeSetInEachPlaceAndTheNextOneWins(t *testing.T) {
	// Two values of each kind, which no setting has by default.
	values := map[string][2]string{
		kindInt: {"70001", "70002"}, kindDuration: {"7s", "8s"}, kindLevel: {"error", "critical"},
		kindBool: {"true", "false"}, kindText: {"127.0.0.1:1", "127.0.0.1:2"}, kindList: {"127.0.0.1", "127.0.0.2"},
	}
	special := map[string][2]string{
		"auth": {AuthTokens, AuthNone}, "log-format": {"json", "text"}, "allow-origin": {"https://a.example", "https://b.example"},
		"drain-window": {"1s", "2s"}, "auth-introspection-url": {"https://127.0.0.1/a", "https://127.0.0.1/b"},
	}
	others := []string{ // which the combinations ask for
		"RELAY_TLS_CERT=c", "RELAY_TLS_CLIENT_CA=ca", "RELAY_AUTH_TOKENS_FILE=t", "RELAY_AUTH=none", "RELAY_OPS_ADDR=127.0.0.1:9",
	}
	for _, group := range Defaults().Groups() {
		group.VisitAll(func(flag *pflag.Flag) {
			pair, ok := special[flag.Name]
			if !ok {
				pair = values[flag.Value.Type()]
			}
			toml := pair[0]
			switch flag.Value.Type() {
			case kindText, kindDuration, kindLevel:
				toml = "'" + toml + "'"
			case kindList:
				toml = "['" + toml + "']"
			}
			name := variable(flag.Name)
			var environ []string
			for _, other := range others {
				if !strings.HasPrefix(other, name+"=") {
					environ = append(environ, other)
				}
			}
			check := func(want, origin string, file string, environ []string, args ...string) {
				t.Helper()
				s, err := load(t, file, environ, args...)
				if err != nil {
					t.Fatalf("%s: %v", flag.Name, err)
				}
				for _, row := range s.Rows() {
					if row.Name != flag.Name {
						continue
					}
					if got := strings.TrimSuffix(row.Value, "/32"); got != want || !strings.HasSuffix(row.Origin, origin) {
						t.Errorf("%s is %q from %s, want %q from %s", row.Name, row.Value, row.Origin, want, origin)
					}
				}
			}
			file := "[relay]\n" + strings.ReplaceAll(flag.Name, "-", "_") + " = " + toml
			check(pair[0], "relay.toml:2", file, environ)
			check(pair[1], name, file, append(environ, name+"="+pair[1]))
			check(pair[0], "--"+flag.Name, file, append(environ, name+"="+pair[1]), "--"+flag.Name+"="+pair[0])
		})
	}
}

func TestListsAreReplacedByTheNextPlaceAndGrowWithinOne(t *testing.T) {
	const file = "[relay]\ntrusted_proxy = ['10.0.0.0/8', '::1']"
	s, err := load(t, file, []string{"RELAY_TRUSTED_PROXY=192.168.1.1, 192.168.2.0/24"})
	if want := []netip.Prefix{netip.MustParsePrefix("192.168.1.1/32"), netip.MustParsePrefix("192.168.2.0/24")}; err != nil || !reflect.DeepEqual(s.TrustedProxies, want) {
		t.Errorf("%v, %v", err, s.TrustedProxies)
	}
	s, err = load(t, file, nil, "--trusted-proxy", "10.1.2.3", "--trusted-proxy", "10.1.2.4")
	if want := []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32"), netip.MustParsePrefix("10.1.2.4/32")}; err != nil || !reflect.DeepEqual(s.TrustedProxies, want) {
		t.Errorf("%v, %v", err, s.TrustedProxies)
	}
}

func TestABadVariableIsNamed(t *testing.T) {
	tests := []struct{ variable, want string }{
		{"RELAY_MAX_CONNECTIONS=many", "RELAY_MAX_CONNECTIONS: should be a whole number"},
		{"RELAY_PING_TIMEOUT=0s", "RELAY_PING_TIMEOUT: should be more than 0"},
		{"RELAY_PPROF=perhaps", "RELAY_PPROF: should be true or false"},
		{"RELAY_AUTH=maybe", "RELAY_AUTH: should be none, globus, introspection, tokens or mtls"},
		{"RELAY_ADDR=8700", `RELAY_ADDR: --addr: "8700": it should be host:port, such as 127.0.0.1:8700`},
		{"RELAY_MAX_CONNECTIONS=", ""}, // as if it were not set
		{"RELAY_CONFIG=/nowhere/relay.toml", "relay.toml: there is no such file, see --config"},
	}
	for _, tt := range tests {
		if _, err := load(t, "", []string{tt.variable}); problem(err) != tt.want {
			t.Errorf("%s: %q, want %q", tt.variable, problem(err), tt.want)
		}
	}
	s, err := load(t, "", []string{"RELAY_MAX_CONECTIONS=5", "RELAY_PORT=tcp://127.0.0.1:8700", "RELAY_SERVICE_HOST=127.0.0.1", "RELAY_CHECK=1"})
	if err != nil || len(s.Warnings) != 1 || s.Warnings[0].Error() != "RELAY_MAX_CONECTIONS: there is no such variable, it is ignored; did you mean RELAY_MAX_CONNECTIONS?" {
		t.Errorf("%v, warnings %v", err, s.Warnings)
	}
}
