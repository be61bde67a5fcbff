package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/transport"
)

// Whoever is too many is told when to come back, costs nobody anything, and gets
// in once somebody has left.
func TestT44_WhoIsTooManyIsToldWhenToComeBack(t *testing.T) {
	const room, more = 5, 50
	for _, tt := range []struct {
		flag, result string
		status       int
		register     bool // those that are in
	}{
		{"--max-connections", "too_many", http.StatusServiceUnavailable, true},
		{"--max-connections-per-address", "too_many_of_address", http.StatusTooManyRequests, true},
		{"--max-unregistered", "too_many_unregistered", http.StatusServiceUnavailable, false},
	} {
		t.Run(tt.flag, func(t *testing.T) {
			r := startProcess(t, tt.flag, fmt.Sprint(room), "--accept-rate", "0", "--register-timeout", "10m")
			enter := connectRaw
			if tt.register {
				enter = registerRaw
			}
			var in []*rawClient
			for range room {
				p, err := enter(t, r.url)
				if err != nil {
					t.Fatal(err)
				}
				in = append(in, p)
			}
			refused := func(n int) {
				t.Helper()
				for range n {
					_, err := enter(t, r.url)
					answer, ok := errors.AsType[*transport.HandshakeError](err)
					if !ok || answer.Status != tt.status || answer.After != 5*time.Second {
						t.Fatalf("%v, want status %d and Retry-After", err, tt.status)
					}
				}
			}
			refused(more)
			for _, p := range in { // those that are in notice nothing
				if !tt.register {
					continue
				}
				if err := p.send(p.id, "still here"); err != nil {
					t.Error(err)
				}
				if m, err := p.receive(); err != nil || m.Description != "still here" {
					t.Error(m, err)
				}
			}
			in[0].Abort()
			eventually(t, "the place is free", func() bool { return r.metrics(t)["relay_connections"] == room-1 })
			if _, err := enter(t, r.url); err != nil {
				t.Errorf("there is room again: %v", err)
			}
			refused(1)
			for name, want := range map[string]float64{ // counted once the answer is on its way
				"relay_connections_total{result=\"" + tt.result + "\"}": more + 1,
				accepted:            room + 1,
				"relay_connections": room,
			} {
				eventually(t, fmt.Sprint(name, " is ", want), func() bool { return r.metrics(t)[name] == want })
			}
			t.Logf("%d let in, %d refused with %d and Retry-After: 5", room+1, more+1, tt.status)
		})
	}
}

// A relay that has run out of files serves those who are in, and everybody once
// there are files.
func TestT44_ARelayOutlivesHavingNoFiles(t *testing.T) {
	const files, flood = 64, 100
	r := startLimited(t, files, "--accept-rate", "0", "--max-connections", "1000", "--handshake-timeout", "5m")
	a, b := dial(t, r.url), dial(t, r.url)
	before := r.files()

	var held []net.Conn
	for range flood {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "ws://")) // the kernel takes it
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
	}
	r.stderr.await(t, "too many open files")
	const n = 500
	exchangeNumbers(t, a, b, n)
	t.Logf("%d files, %d connections more: those who were in exchanged %d messages", files, flood, n)

	for _, c := range held {
		_ = c.Close()
	}
	late := dial(t, r.url)
	exchangeNumbers(t, a, late, n)
	exchangeNumbers(t, late, b, n)
	_ = late.Close()
	eventually(t, "its files are closed", func() bool { return r.files() <= before })
	_ = a.Close()
	_ = b.Close()
	if err := <-r.term(t); err != nil {
		t.Errorf("exit: %v", err)
	}
	if strings.Contains(r.stderr.String(), "panic") {
		t.Errorf("%s", r.stderr)
	}
}

// exchangeNumbers sends n messages and fails unless all arrive, in order.
func exchangeNumbers(t *testing.T, from, to *relay.Client, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { // ends with the receiver below, which fails if this one does
		for i := range n {
			if from.Send(ctx, relay.Message{PeerUUID: to.UUID(), Description: fmt.Sprint(i)}) != nil {
				return
			}
		}
	}()
	for i := range n {
		m, err := to.Recv(ctx)
		if err != nil || m.Description != fmt.Sprint(i) || m.SourceUUID != from.UUID() {
			t.Fatalf("%v, %v, want number %d", m, err, i)
		}
	}
}

// More than the rate allows wait, and all of them are let in.
func TestT44_AHerdIsLetInAtTheRate(t *testing.T) {
	const herd, rate = 60, 40 // so few that the burst is one connection
	r := startProcess(t, "--accept-rate", fmt.Sprint(rate))
	var coming errgroup.Group
	begin := time.Now()
	for range herd {
		coming.Go(func() error {
			_, err := registerRaw(t, r.url)
			return err
		})
	}
	if err := coming.Wait(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	if least := (herd - 1) * time.Second / rate; took < least {
		t.Errorf("%d were let in within %v, want at least %v", herd, took, least)
	}
	got := r.metrics(t)
	if n := got[accepted]; n != herd {
		t.Errorf("%v were let in, want %d", n, herd)
	}
	t.Logf("%d at %d a second: %v, of them %v waited", herd, rate, took.Round(time.Millisecond), got["relay_gate_delayed_total"])
}

const accepted = `relay_connections_total{result="accepted"}`
