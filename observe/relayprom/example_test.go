package relayprom_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/observe"
	"github.com/seed73300619/relay/observe/relayprom"
	"github.com/seed73300619/relay/relaytest"
)

func Example() {
	r := relaytest.Start() // a relay, for the example
	defer r.Close()

	var clients observe.Clients
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(relayprom.New(&clients))

	ctx := context.Background()
	c, err := relay.Dial(ctx, r.URL)
	if err != nil {
		log.Fatal(err)
	}
	if err := clients.Add("orders", c); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		if err := c.Send(ctx, relay.Message{PeerUUID: c.UUID(), Description: "hello"}); err != nil {
			log.Fatal(err)
		}
	}
	show(registry, "relay_client_connected", "relay_client_messages_sent_total")

	// A client that has ended is taken out, and its series end.
	if err := c.Close(); err != nil {
		log.Fatal(err)
	}
	show(registry, "relay_client_connected")
	clients.Remove(c)
	show(registry, "relay_client_connected")
	// Output:
	// relay_client_connected: 1 series, the first is 1
	// relay_client_messages_sent_total: 1 series, the first is 3
	// relay_client_connected: 1 series, the first is 0
	// relay_client_connected: 0 series
}

// A group's clients are those that are in it when a scrape comes.
func Example_group() {
	a, b := relaytest.Start(), relaytest.Start()
	defer a.Close()
	defer b.Close()

	var (
		clients observe.Clients
		group   relay.Group
	)
	registry := prometheus.NewRegistry()
	registry.MustRegister(relayprom.New(&clients))
	if err := clients.AddGroup("fleet", &group); err != nil {
		log.Fatal(err)
	}
	for _, address := range []string{a.URL, b.URL} {
		c, err := relay.Dial(context.Background(), address)
		if err != nil {
			log.Fatal(err)
		}
		if err := group.Add(c); err != nil {
			log.Fatal(err)
		}
	}
	show(registry, "relay_client_connected")
	if err := group.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// relay_client_connected: 2 series, the first is 1
}

// show prints how many series there are under each name, and the first one's value.
func show(from prometheus.Gatherer, names ...string) {
	families, err := from.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range names {
		line := name + ": 0 series"
		for _, family := range families {
			if family.GetName() == name {
				first := family.GetMetric()[0]
				line = fmt.Sprintf("%s: %d series, the first is %v", name, len(family.GetMetric()), first.GetGauge().GetValue()+first.GetCounter().GetValue())
			}
		}
		fmt.Println(line)
	}
}
