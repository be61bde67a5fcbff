package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A value is a setting of one type, as package pflag wants it.
type value[T any] struct {
	at     *T
	kind   string
	parse  func(string) (T, error)
	format func(T) string
}

// Set implements pflag.Value.
func (v *value[T]) Set(text string) error {
	parsed, err := v.parse(text)
	if err == nil {
		*v.at = parsed
	}
	return err
}

// String implements pflag.Value.
func (v *value[T]) String() string { return v.format(*v.at) }

// Type implements pflag.Value.
func (v *value[T]) Type() string { return v.kind }

// The kinds of values, which are also what the file's types are checked by.
const (
	kindInt      = "int"
	kindBool     = "bool" // of which package pflag knows that it needs no value
	kindDuration = "duration"
	kindLevel    = "level"
	kindText     = "string"
	kindList     = "list"
)

func formatInt(n int) string { return strconv.Itoa(n) }

// parseInt parses a whole number.
func parseInt(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errors.New("the number is too large")
	}
	if err != nil {
		return 0, errors.New("should be a whole number")
	}
	return n, nil
}

// atLeast parses a whole number that has a least value.
func atLeast(least int) func(string) (int, error) {
	return func(text string) (int, error) {
		n, err := parseInt(text)
		switch {
		case err != nil:
			return 0, err
		case n < least && least == 0:
			return 0, errors.New("cannot be negative")
		case n < least:
			return 0, fmt.Errorf("should be %d or more", least)
		}
		return n, nil
	}
}

func parseBool(text string) (bool, error) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, errors.New("should be true or false")
	}
	return b, nil
}

// parseDuration parses one that is positive or, if zero is allowed, not negative.
func parseDuration(zero bool) func(string) (time.Duration, error) {
	return func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return 0, errors.New("should be a duration, such as 10s or 1m30s")
		case d < 0:
			return 0, errors.New("cannot be negative")
		case d == 0 && !zero:
			return 0, errors.New("should be more than 0")
		}
		return d, nil
	}
}

func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0" // which package pflag takes for "no default"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// levels are Python's and Go's names.
var levels = map[string]slog.Level{
	"notset":   slog.Level(-8),
	"debug":    slog.LevelDebug,
	"info":     slog.LevelInfo,
	"warning":  slog.LevelWarn,
	"warn":     slog.LevelWarn,
	"error":    slog.LevelError,
	"critical": slog.LevelError + 4,
	"fatal":    slog.LevelError + 4,
}

// parseLevel reads a name, or one of Python's numbers: 10 is debug, 20 info.
func parseLevel(text string) (slog.Level, error) {
	if level, ok := levels[strings.ToLower(text)]; ok {
		return level, nil
	}
	if n, err := strconv.Atoi(text); err == nil {
		return slog.Level((n - 20) * 4 / 10), nil
	}
	var level slog.Level // such as INFO+2
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return 0, errors.New("should be one of debug, info, warning, error and critical")
	}
	return level, nil
}

func formatLevel(level slog.Level) string {
	for _, name := range []string{"notset", "debug", "info", "warning", "error", "critical"} {
		if levels[name] == level {
			return name
		}
	}
	return level.String()
}

// oneOf parses one of a few words.
func oneOf(words ...string) func(string) (string, error) {
	return func(text string) (string, error) {
		for _, word := range words {
			if text == word {
				return text, nil
			}
		}
		last := len(words) - 1
		return "", fmt.Errorf("should be %s or %s", strings.Join(words[:last], ", "), words[last])
	}
}

func plain(s string) string { return s }

// parseOrigin reads what a browser sends as Origin.
func parseOrigin(text string) (string, error) {
	if text == "*" || text == "null" {
		return text, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || u.Scheme+"://"+u.Host != text {
		return "", errors.New("should be an origin, such as https://example.org")
	}
	return strings.ToLower(text), nil
}

func parseHost(text string) (string, error) {
	if strings.ContainsAny(text, ":/ ") {
		return "", errors.New("should be a name without a port, such as relay.example.org")
	}
	return text, nil
}

// A list is a setting that may be given several times, or with commas. What is
// given replaces what was there before.
type list[T any] struct {
	at    *[]T
	given bool
	parse func(string) (T, error)
}

// Set implements pflag.Value.
func (l *list[T]) Set(text string) error {
	var all []T
	if l.given {
		all = *l.at
	}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		item, err := l.parse(part)
		if err != nil {
			return err
		}
		all = append(all[:len(all):len(all)], item)
	}
	*l.at, l.given = all, true
	return nil
}

// String implements pflag.Value.
func (l *list[T]) String() string {
	parts := make([]string, len(*l.at))
	for i, item := range *l.at {
		parts[i] = fmt.Sprint(item)
	}
	return strings.Join(parts, ",")
}

// Type implements pflag.Value.
func (l *list[T]) Type() string { return kindList }

// parsePrefix reads a range of addresses, or a single one.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, fmt.Errorf("%q should be an address or a range of them, such as 10.0.0.0/8", text)
	}
	return prefix.Masked(), nil
}
