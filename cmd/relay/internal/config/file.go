package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// theirs are the keys of proxystore-relay, with the settings that they are here.
var theirs = map[string]string{
	"host":                            "addr",
	"port":                            "addr",
	"certfile":                        "tls-cert",
	"keyfile":                         "tls-key",
	"max_message_bytes":               "max-message-bytes",
	"auth.method":                     "auth",
	"auth.kwargs.client_id":           "auth-client-id",
	"auth.kwargs.client_secret":       secretName,
	"auth.kwargs.audience":            "auth-audience",
	"logging.log_dir":                 "log-dir",
	"logging.default_level":           "log-level",
	"logging.websockets_level":        "log-websockets-level",
	"logging.current_client_interval": "log-clients-interval",
	"logging.current_client_limit":    "log-clients-limit",
}

// tables are where their keys stand, and ours: those of flags, with underscores.
var tables = []string{"auth", "auth.kwargs", "logging", "relay"}

// A secret has no flag, but for a file with it.
const (
	secretName     = "auth-client-secret"
	secretFileName = "auth-client-secret-file"
)

// A file is being read into settings.
type file struct {
	*Settings
	path     string
	flags    *pflag.FlagSet // of the settings
	host     string
	port     int64
	problems []error
}

// readFile applies a file to s.
func (s *Settings) readFile(path string) error {
	f := &file{Settings: s, path: path, flags: s.flagSet(), port: 8700}
	entries, err := readTOML(path, func(key string) bool { return theirs[key] == "" && f.ours(key) == nil })
	if errors.Is(err, fs.ErrNotExist) {
		return &Problem{Where: path, What: "there is no such file, see --config"}
	}
	if err != nil {
		return err
	}
	s.origins["addr"] = path
	for _, e := range entries {
		if !strings.HasPrefix(e.key, "relay.") {
			f.note(e, f.apply(e))
		}
	}
	s.Addr = net.JoinHostPort(f.host, strconv.FormatInt(f.port, 10)) // without a host: all interfaces, as theirs
	for _, e := range entries {
		if strings.HasPrefix(e.key, "relay.") { // meant for nobody but us: it wins
			f.note(e, f.apply(e))
		}
	}
	return errors.Join(f.problems...)
}

func (f *file) note(e entry, err error) {
	if err != nil {
		f.problems = append(f.problems, &Problem{Where: fmt.Sprintf("%s:%d:%d", f.path, e.line, e.column), What: e.key + ": " + err.Error()})
	}
}

// apply makes settings of one entry.
func (f *file) apply(e entry) error {
	name, flag := theirs[e.key], f.ours(e.key)
	_, empty := e.value.(map[string]any)
	switch {
	case name == "" && flag != nil:
		name = flag.Name
	case slices.Contains(tables, e.key) && empty:
		return nil
	case slices.Contains(tables, e.key):
		return fmt.Errorf("should be a table, not %s", typeName(e.value))
	case name == "" && root(e.key) == "auth":
		return errors.New("there is no such key" + f.hint(e.key)) // theirs does not start either
	case name == "":
		f.Warnings = append(f.Warnings, &Problem{
			Where: fmt.Sprintf("%s:%d:%d", f.path, e.line, e.column),
			What:  e.key + ": there is no such key, it is ignored" + f.hint(e.key),
		})
		return nil
	}
	if err := f.set(e, name); err != nil {
		return err
	}
	f.came(name, fmt.Sprintf("%s:%d", f.path, e.line))
	return nil
}

// ours returns the flag of a key in the table [relay].
func (f *file) ours(key string) *pflag.Flag {
	name, ok := strings.CutPrefix(key, "relay.")
	if !ok || strings.Contains(name, "-") {
		return nil
	}
	return f.flags.Lookup(strings.ReplaceAll(name, "_", "-"))
}

// set sets a setting from an entry, of which it checks the type. There is no
// conversion, as there is none in proxystore-relay.
func (f *file) set(e entry, name string) error {
	switch e.key {
	case "host":
		return assign(&f.host, e.value)
	case "port":
		var port int64
		if err := assign(&port, e.value); err != nil {
			return err
		}
		if port < 0 || port > 65535 {
			return fmt.Errorf("%d is not between 0 and 65535", port)
		}
		f.port = port
		return nil
	case "auth.method":
		if e.value != AuthGlobus {
			return errors.New(`should be "globus"; other ways are set with auth in the table [relay]`)
		}
	case "auth.kwargs.client_secret":
		return assign((*string)(&f.AuthClientSecret), e.value)
	case "logging.current_client_interval":
		var seconds int64
		if err := assign(&seconds, e.value); err != nil {
			return err
		}
		return f.flags.Set(name, strconv.FormatInt(seconds, 10)+"s")
	}
	flag := f.flags.Lookup(name)
	text, err := asText(e.value, flag.Value.Type())
	if err != nil {
		return err
	}
	return flag.Value.Set(text)
}

// assign checks the type of a value.
func assign[T string | int64](to *T, value any) error {
	v, ok := value.(T)
	if !ok {
		return fmt.Errorf("should be %s, not %s", typeName(*to), typeName(value))
	}
	*to = v
	return nil
}

// asText returns a value of the file as it would stand in a flag.
func asText(value any, kind string) (string, error) {
	switch v := value.(type) {
	case string:
		if kind != kindInt && kind != kindBool {
			return v, nil
		}
	case int64:
		if kind == kindInt || kind == kindLevel {
			return strconv.FormatInt(v, 10), nil
		}
	case bool:
		if kind == kindBool {
			return strconv.FormatBool(v), nil
		}
	case []any:
		if kind == kindList {
			return listText(v)
		}
	}
	want := map[string]string{
		kindInt:      "a whole number",
		kindBool:     "true or false",
		kindDuration: `a duration in quotes, such as "10s"`,
		kindLevel:    "a string or a whole number",
		kindText:     "a string",
		kindList:     "an array of strings",
	}
	return "", fmt.Errorf("should be %s, not %s", want[kind], typeName(value))
}

func listText(values []any) (string, error) {
	parts := make([]string, len(values))
	for i, value := range values {
		if err := assign(&parts[i], value); err != nil {
			return "", fmt.Errorf("item %d: %w", i+1, err)
		}
	}
	return strings.Join(parts, ","), nil
}

// root returns the first component of a key.
func root(key string) string {
	first, _, _ := strings.Cut(key, ".")
	return first
}
