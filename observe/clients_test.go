package observe_test

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/observe"
	"github.com/seed73300619/relay/relaytest"
)

// say sends n messages to nobody, each of which comes back.
func say(t *testing.T, c *relay.Client, n int) {
	t.Helper()
	for range n {
		if err := c.Send(t.Context(), relay.Message{PeerUUID: uuid.New(), Description: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// brief is what a test looks at: name, clients, connected, sent.
func brief(clients *observe.Clients) string {
	var s []string
	for _, sum := range clients.Sums() {
		s = append(s, fmt.Sprintf("%s %d/%d sent %d", sum.Name, sum.Connected, sum.Instances, sum.Stats.Sent))
	}
	return strings.Join(s, ", ")
}

func TestObserve_ClientsOfOneNameAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		var clients observe.Clients
		expect := func(want string) {
			t.Helper()
			if got := brief(&clients); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
		add := func(name string, c *relay.Client) {
			t.Helper()
			if err := clients.Add(name, c); err != nil {
				t.Fatal(err)
			}
		}
		expect("")
		a, b, c := r.Client("a"), r.Client("b"), r.Client("c")
		say(t, a, 3) // before it is added: it counts
		add("jobs", a)
		add("jobs", b)
		add("other", c)
		expect("jobs 1/2 sent 3, other 0/1 sent 0")
		say(t, b, 5)
		say(t, c, 1)
		expect("jobs 2/2 sent 8, other 1/1 sent 1")

		clients.Remove(b)
		clients.Remove(b) // twice is once
		expect("jobs 1/1 sent 8, other 1/1 sent 1")
		say(t, b, 1) // unseen, until it is back
		expect("jobs 1/1 sent 8, other 1/1 sent 1")
		add("jobs", b)
		expect("jobs 2/2 sent 9, other 1/1 sent 1")

		clients.Remove(c)
		expect("jobs 2/2 sent 9")
		clients.Remove(a)
		clients.Remove(b)
		expect("")
	})
}

func TestObserve_AGroupIsWhoIsInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		var (
			clients observe.Clients
			group   relay.Group
		)
		if err := clients.AddGroup("fleet", &group); err != nil {
			t.Fatal(err)
		}
		a, b := r.Client("a"), r.Client("b")
		for _, c := range []*relay.Client{a, b} {
			if err := group.Add(c); err != nil {
				t.Fatal(err)
			}
			say(t, c, 4)
		}
		for _, step := range []struct {
			do   func()
			want string
		}{
			{func() {}, "fleet 2/2 sent 8"},
			{func() { group.Remove(b) }, "fleet 1/1 sent 8"},
			{func() { say(t, b, 2) }, "fleet 1/1 sent 8"},
			{func() { _ = group.Add(b) }, "fleet 2/2 sent 10"},
			{func() { _ = group.Close() }, "fleet 0/2 sent 10"},
			{func() { clients.RemoveGroup(&group) }, ""},
		} {
			step.do()
			if got := brief(&clients); got != step.want {
				t.Errorf("got %q, want %q", got, step.want)
			}
		}
	})
}

func TestObserve_WhatClientsRefuse(t *testing.T) {
	client := func(address string) *relay.Client {
		c, err := relay.New(address)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var clients observe.Clients
	c := client("ws://relay.test")
	for name, err := range map[string]error{
		"nil client":      clients.Add("x", nil),
		"nil group":       clients.AddGroup("x", nil),
		"empty name":      clients.Add("", c),
		"257 bytes":       clients.Add(strings.Repeat("x", 257), c),
		"not valid UTF-8": clients.Add("\xff", c),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := clients.Add("first", c); err != nil {
		t.Fatal(err)
	}
	if err := clients.Add("second", c); err == nil || !strings.Contains(err.Error(), `as "first"`) {
		t.Errorf("added twice: %v", err)
	}
	for i := range 999 {
		if err := clients.Add(fmt.Sprint(i), client("ws://relay.test")); err != nil {
			t.Fatal(err)
		}
	}
	if err := clients.Add("one more", client("ws://relay.test")); err == nil || !strings.Contains(err.Error(), "1000 names") {
		t.Errorf("the 1001st name: %v", err)
	}
}

// Addresses are told apart up to a bound; the rest is one series.
func TestObserve_RelaysAreBounded(t *testing.T) {
	var clients observe.Clients
	for i := range 100 {
		c, err := relay.New(fmt.Sprintf("ws://user:password@relay.test/%d?token=secret", i))
		if err != nil {
			t.Fatal(err)
		}
		if err := clients.Add("many", c); err != nil {
			t.Fatal(err)
		}
	}
	sums := clients.Sums()
	if len(sums) != 65 {
		t.Fatalf("%d sums", len(sums))
	}
	for _, sum := range sums {
		want := 1
		if sum.Relay == observe.OtherRelay {
			want = 36
		} else if !strings.HasPrefix(sum.Relay, "ws://relay.test/") || strings.Contains(sum.Relay, "?") {
			t.Errorf("relay %q", sum.Relay)
		}
		if sum.Instances != want {
			t.Errorf("%s: %d clients", sum.Relay, sum.Instances)
		}
	}
}

// A client that was removed is not kept in memory by what it counted.
func TestObserve_RemovedClientsAreForgotten(t *testing.T) {
	var clients observe.Clients
	stays, err := relay.New("ws://relay.test")
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.Add("jobs", stays); err != nil {
		t.Fatal(err)
	}
	freed := make(chan struct{}, 10)
	for range 10 {
		c, err := relay.New("ws://relay.test")
		if err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(c, func(freed chan struct{}) { freed <- struct{}{} }, freed)
		if err := clients.Add("jobs", c); err != nil {
			t.Fatal(err)
		}
		clients.Remove(c)
	}
	for n := 0; n < 10; {
		runtime.GC()
		select {
		case <-freed:
			n++
		case <-t.Context().Done():
			t.Fatalf("%d of 10 were freed", n)
		default:
			runtime.Gosched()
		}
	}
	runtime.KeepAlive(stays)
}

// The metrics of a Stats in which one field is set are not those of the zero value:
// a figure that relay.Stats gets anew must not be forgotten.
func TestObserve_EveryFigureHasAMetric(t *testing.T) {
	values := func(stats relay.Stats) string {
		var s strings.Builder
		for _, m := range observe.Metrics() {
			for _, p := range m.Points {
				fmt.Fprint(&s, p.Of(&observe.Sum{Stats: stats}), " ")
			}
		}
		return s.String()
	}
	typ := reflect.TypeFor[relay.Stats]()
	for i := range typ.NumField() {
		var stats relay.Stats
		field := reflect.ValueOf(&stats).Elem().Field(i)
		switch {
		case field.CanUint():
			field.SetUint(1)
		case field.CanInt():
			field.SetInt(1)
		case field.Kind() == reflect.Array:
			field.Index(3).SetUint(1)
		}
		name := typ.Field(i).Name
		if name == "State" || name == "Dropped" { // Connected tells one, the sum of the drops the other
			continue
		}
		if values(stats) == values(relay.Stats{}) {
			t.Errorf("no metric shows Stats.%s", name)
		}
	}
}

func TestObserve_SumsWhileEverythingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		var clients observe.Clients
		ctx, stop := context.WithCancel(t.Context())
		reading := make(chan struct{})
		go func() {
			defer close(reading)
			var last uint64
			for ctx.Err() == nil {
				for _, sum := range clients.Sums() {
					if sum.Stats.Sent < last {
						t.Errorf("from %d to %d messages sent", last, sum.Stats.Sent)
					}
					last = sum.Stats.Sent
				}
				runtime.Gosched()
			}
		}()
		keeper := r.Client("keeper") // so that the name stays
		if err := clients.Add("jobs", keeper); err != nil {
			t.Fatal(err)
		}
		const jobs, each = 8, 25
		done := make(chan struct{})
		for range jobs {
			go func() {
				defer func() { done <- struct{}{} }()
				c := r.Client("job")
				for range each {
					if err := clients.Add("jobs", c); err != nil {
						t.Error(err)
					}
					_ = c.Send(t.Context(), relay.Message{PeerUUID: keeper.UUID(), Description: "x"})
					clients.Remove(c)
				}
				_ = c.Close()
			}()
		}
		for range jobs {
			<-done
		}
		stop()
		<-reading
		if got, want := brief(&clients), fmt.Sprintf("jobs 0/1 sent %d", jobs*each); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
