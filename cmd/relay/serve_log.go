package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/seed73300619/relay/cmd/relay/internal/config"
	"github.com/seed73300619/relay/cmd/relay/internal/logfile"
	"github.com/seed73300619/relay/server"
)

// logs are where the relay's messages go.
type logs struct {
	level      *slog.LevelVar // of the relay
	websockets *slog.LevelVar // of what is below it
	file       *logfile.File  // nil: none
	writers    []io.Writer
	json       bool
}

func openLogs(s *config.Settings, stderr io.Writer) (*logs, error) {
	l := &logs{level: new(slog.LevelVar), websockets: new(slog.LevelVar), writers: []io.Writer{stderr}, json: s.LogFormat == "json"}
	l.setLevels(s)
	if s.LogDir == "" {
		return l, nil
	}
	var err error
	if l.file, err = logfile.Open(s.LogDir); err != nil {
		return nil, err
	}
	l.writers = append(l.writers, l.file)
	return l, nil
}

func (l *logs) setLevels(s *config.Settings) {
	l.level.Set(s.LogLevel)
	l.websockets.Set(s.LogWebsocketsLevel)
}

// logger returns one with a level that may change. That one place cannot be
// written to does not keep a message from the others.
func (l *logs) logger(level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	handlers := make([]slog.Handler, len(l.writers))
	for i, w := range l.writers {
		handlers[i] = slog.NewTextHandler(w, options)
		if l.json {
			handlers[i] = slog.NewJSONHandler(w, options)
		}
	}
	return slog.New(slog.NewMultiHandler(handlers...))
}

// reopen is for who moves log files aside.
func (l *logs) reopen() error {
	if l.file == nil {
		return nil
	}
	return l.file.Reopen()
}

func (l *logs) close() {
	if l.file != nil {
		_ = l.file.Close()
	}
}

// httpLog is for the lines of an http.Server, which have no level.
type httpLog struct{ log *slog.Logger }

// Write logs one line.
func (h httpLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level := slog.LevelInfo // a handshake that went wrong, which anybody can cause
	if strings.HasPrefix(text, "http: Accept error") || strings.HasPrefix(text, "http: panic") {
		level = slog.LevelError
	}
	h.log.Log(context.Background(), level, "http", "error", strings.TrimPrefix(text, "http: "))
	return len(line), nil
}

// clientLog says when to log the clients. Without an interval it never does.
type clientLog struct {
	interval time.Duration
	ticker   *time.Ticker
}

func newClientLog(interval time.Duration) *clientLog {
	c := new(clientLog)
	c.reset(interval)
	return c
}

func (c *clientLog) reset(interval time.Duration) {
	if interval == c.interval {
		return
	}
	c.stop()
	c.interval, c.ticker = interval, nil
	if interval > 0 {
		c.ticker = time.NewTicker(interval)
	}
}

func (c *clientLog) due() <-chan time.Time {
	if c.ticker == nil {
		return nil
	}
	return c.ticker.C
}

func (c *clientLog) stop() {
	if c.ticker != nil {
		c.ticker.Stop()
	}
}

// logClients logs how many clients there are, and each if they are few. Like
// proxystore-relay it does so at the level that is logged: whoever wants to see
// only warnings gets it nonetheless, and can turn it off apart.
func (s *service) logClients() {
	type client struct {
		server.Registered
		of *server.Connection
	}
	var clients []client
	connections := s.relay.Connections()
	for i := range connections {
		for _, registered := range connections[i].Clients {
			clients = append(clients, client{registered, &connections[i]})
		}
	}
	ctx, level := context.Background(), s.settings.LogLevel
	s.log.Log(ctx, level, "connected clients", "clients", len(clients), "connections", len(connections))
	if len(clients) >= s.settings.LogClientsLimit {
		return
	}
	slices.SortFunc(clients, func(a, b client) int { return cmp.Compare(a.Name, b.Name) })
	for _, c := range clients {
		s.log.Log(ctx, level, "connected client", "name", c.Name, "uuid", c.UUID, "user", c.of.User.ID,
			"conn", c.of.ID, "remote", c.of.RemoteAddr, "since", c.of.Opened.UTC().Format(time.RFC3339))
	}
}
