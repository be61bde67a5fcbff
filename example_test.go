package relay_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

// A stage of a pipeline that runs elsewhere: what goes in here comes out of the
// other program's Inbox, and its answers come back.
func Example_pipeline() {
	r := relaytest.Start() // a relay of our own; usually it is somewhere else
	defer r.Close()
	work, worker := r.Client("work"), r.Client("worker")
	g, ctx := errgroup.WithContext(context.Background())

	g.Go(func() error { // the other program: answers until its client ends
		for m := range worker.Inbox() {
			if m.Undelivered() { // an answer that came back: whoever asked is gone
				continue
			}
			answer := relay.Message{PeerUUID: m.SourceUUID, Description: strings.ToUpper(m.Description)}
			select {
			case worker.Outbox() <- answer:
			case <-worker.Done(): // the range ends, too
			}
		}
		return worker.Err()
	})
	if err := worker.Connect(ctx); err != nil {
		log.Fatal(err)
	}

	words := []string{"over", "the", "relay"}
	g.Go(func() error { // the first stage
		for _, word := range words {
			select {
			case work.Outbox() <- relay.Message{PeerUUID: worker.UUID(), Description: word}:
			case <-work.Done():
				return work.Err()
			}
		}
		return nil
	})
	g.Go(func() error { // the last stage
		for range words {
			m, err := work.Recv(ctx)
			if err != nil {
				return err
			}
			fmt.Println(m.SourceName, "says", m.Description)
		}
		return worker.Close() // the other program's work is done, too
	})
	if err := g.Wait(); err != nil {
		log.Fatal(err)
	}
	if err := work.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// worker says OVER
	// worker says THE
	// worker says RELAY
}

// Messages, a ticker of the program's own, and the end, in one select. Usually
// sender and receiver are two programs; here one plays both.
func Example_select() {
	r := relaytest.Start()
	defer r.Close()
	clock, wall := r.Client("clock"), r.Client("wall")
	if err := wall.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}

	ticks := time.NewTicker(time.Millisecond)
	defer ticks.Stop()
	sent, seen := 0, 0
	for seen < 3 {
		var tick <-chan time.Time // nil, so never ready, once all are sent
		if sent < 3 {
			tick = ticks.C
		}
		select {
		case <-tick: // one message for each tick
			sent++
			m := relay.Message{PeerUUID: wall.UUID(), Description: fmt.Sprint("tick ", sent)}
			select {
			case clock.Outbox() <- m:
			case <-clock.Done():
				log.Fatal(clock.Err())
			}
		case m, ok := <-wall.Inbox():
			if !ok {
				log.Fatal(wall.Err())
			}
			seen++
			fmt.Println(m.Description)
		case <-clock.Done():
			log.Fatal(clock.Err())
		}
	}
	for _, c := range []*relay.Client{clock, wall} {
		if err := c.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// tick 1
	// tick 2
	// tick 3
}

// Two relays read as one; each message says where it came from.
func Example_fanIn() {
	here, there := relaytest.Start(), relaytest.Start()
	defer here.Close()
	defer there.Close()
	ctx := context.Background()

	var group relay.Group
	relays := make(map[*relay.Client]string) // what we call them
	for name, r := range map[string]*relaytest.Relay{"here": here, "there": there} {
		member := r.Client("collector")
		relays[member] = name
		if err := group.Add(member); err != nil {
			log.Fatal(err)
		}
		if err := member.Connect(ctx); err != nil { // waits until it is registered
			log.Fatal(err)
		}
		sensor := r.Client("sensor " + name)
		if err := sensor.Send(ctx, relay.Message{PeerUUID: member.UUID(), Description: "21 °C"}); err != nil {
			log.Fatal(err)
		}
		if err := sensor.Close(); err != nil {
			log.Fatal(err)
		}
	}

	for range relays {
		in := <-group.Inbox()
		fmt.Println(in.SourceName, "by the relay", relays[in.Client]+":", in.Description)
	}
	if err := group.Close(); err != nil {
		log.Fatal(err)
	}
	// Unordered output:
	// sensor here by the relay here: 21 °C
	// sensor there by the relay there: 21 °C
}
