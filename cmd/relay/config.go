package main

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// fileConfig is the configuration file of proxystore-relay, as far as this relay
// follows it.
type fileConfig struct {
	Host            string `toml:"host"`
	Port            int    `toml:"port"`
	CertFile        string `toml:"certfile"`
	KeyFile         string `toml:"keyfile"`
	MaxMessageBytes int    `toml:"max_message_bytes"`
	Logging         struct {
		DefaultLevel any `toml:"default_level"` // a name, or a number of Python's
	} `toml:"logging"`
	Auth map[string]any `toml:"auth"`

	level   slog.Level
	ignored []string // keys that mean nothing here
}

// readConfig reads a file. What it asks for and cannot have is an error, if
// leaving it out could do harm.
func readConfig(path string) (*fileConfig, error) {
	c := &fileConfig{Host: "127.0.0.1", Port: 8700}
	found, err := toml.DecodeFile(path, c)
	if err != nil {
		return nil, fmt.Errorf("--config %s: %w", path, err)
	}
	if len(c.Auth) > 0 {
		return nil, fmt.Errorf("--config %s: auth: this relay cannot authenticate clients yet, and does not start without what the file asks for; take the table [auth] out to let everybody in", path)
	}
	if c.Port < 0 || c.Port > 65535 {
		return nil, fmt.Errorf("--config %s: port: %d is not between 0 and 65535", path, c.Port)
	}
	if c.MaxMessageBytes < 0 {
		return nil, fmt.Errorf("--config %s: max_message_bytes: %d is negative", path, c.MaxMessageBytes)
	}
	if c.level, err = fileLevel(c.Logging.DefaultLevel); err != nil {
		return nil, fmt.Errorf("--config %s: logging.default_level: %w", path, err)
	}
	for _, key := range found.Undecoded() {
		c.ignored = append(c.ignored, key.String())
	}
	return c, nil
}

func (c *fileConfig) addr() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// fileLevel reads a level from the file, where it may be one of Python's
// numbers: 10 is debug, 20 is info, and so on.
func fileLevel(value any) (slog.Level, error) {
	switch v := value.(type) {
	case nil:
		return slog.LevelInfo, nil
	case int64:
		return slog.Level((v - 20) * 4 / 10), nil
	case string:
		return parseLevel(v)
	}
	return 0, fmt.Errorf("%v is neither a name nor a whole number", value)
}

// parseLevel reads a level by the name that Python or Go has for it.
func parseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warning", "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	case "critical":
		return slog.LevelError + 4, nil
	}
	return 0, fmt.Errorf("%q is none of debug, info, warning, error and critical", name)
}
