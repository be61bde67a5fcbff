package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See the whole story, in seconds",
		Long: `Start relays in this process and let programs talk through them: a pipeline, a
fan-in, and a relay that is killed in the middle of the traffic. What is printed
is counted; if a count does not add up, the exit code is 1.`,
		Example: `  relay demo`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stdout := cmd.Context(), cmd.OutOrStdout()
			if err := pipeline(ctx, stdout, 10_000); err != nil {
				return err
			}
			if err := fanIn(ctx, stdout, 2_000); err != nil {
				return err
			}
			return crash(ctx, stdout, 10_000)
		},
	}
}

// pipeline is two stages of a program that happen to run on different machines:
// the first makes n numbers, the second takes them in.
func pipeline(ctx context.Context, stdout io.Writer, n int) error {
	fmt.Fprintln(stdout, "1. A pipeline: producer -> relay -> consumer")
	r := relaytest.Start() // a relay on a free port of this machine
	defer r.Close()
	consumer, err := relay.Dial(ctx, r.URL, relay.WithName("consumer"))
	if err != nil {
		return err
	}
	producer, err := relay.Dial(ctx, r.URL, relay.WithName("producer"))
	if err != nil {
		return err
	}
	start := time.Now()
	stages, ctx := errgroup.WithContext(ctx)
	stages.Go(func() error {
		for i := range n {
			select {
			case producer.Outbox() <- relay.Message{PeerUUID: consumer.UUID(), Description: strconv.Itoa(i)}:
			case <-producer.Done(): // then nobody receives from the Outbox any more
				return producer.Err()
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	received := 0
	stages.Go(func() error {
		for ; received < n; received++ {
			m, err := consumer.Recv(ctx)
			if err != nil {
				return err
			}
			if m.Description != strconv.Itoa(received) {
				return fmt.Errorf("number %s came where %d was due", m.Description, received)
			}
		}
		return nil
	})
	if err := errors.Join(stages.Wait(), producer.Close(), consumer.Close()); err != nil {
		return err
	}
	took := time.Since(start)
	count(stdout, "delivered", received, "of %d, in order, in %v: %.0f a second", n, took.Round(time.Millisecond), float64(received)/took.Seconds())
	return nil
}

// fanIn is one program that is connected to three relays at once. A worker at
// each of them reports n results, and is thanked.
func fanIn(ctx context.Context, stdout io.Writer, n int) error {
	fmt.Fprintln(stdout, "\n2. A fan-in: three relays, a worker at each, one Inbox")
	names := []string{"Amsterdam", "Boston", "Chiba"}
	var group relay.Group
	workers, ctx := errgroup.WithContext(ctx)
	thanked := make([]bool, len(names))
	for i, name := range names {
		r := relaytest.Start()
		defer r.Close()
		here, err := relay.Dial(ctx, r.URL, relay.WithName(name))
		if err != nil {
			return err
		}
		if err := group.Add(here); err != nil {
			return err
		}
		workers.Go(func() error {
			worker, err := relay.Dial(ctx, r.URL, relay.WithName("worker in "+name))
			if err != nil {
				return err
			}
			for j := range n {
				if err := worker.Send(ctx, relay.Message{PeerUUID: here.UUID(), Description: strconv.Itoa(j)}); err != nil {
					return err
				}
			}
			m, err := worker.Recv(ctx)
			thanked[i] = err == nil && m.Description == "thank you"
			return errors.Join(err, worker.Close())
		})
	}
	results := make(map[string]int) // by relay
	workers.Go(func() error {
		for range n * len(names) {
			select {
			case in := <-group.Inbox():
				at := in.Client.Name() // where it came from
				results[at]++
				if results[at] < n {
					continue
				}
				// The group knows at which relay the worker was heard.
				select {
				case group.Outbox() <- relay.Message{PeerUUID: in.SourceUUID, Description: "thank you"}:
				case <-group.Done():
					return relay.ErrClosed
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	if err := errors.Join(workers.Wait(), group.Close()); err != nil {
		return err
	}
	for i, name := range names {
		count(stdout, name, results[name], "results; its worker was thanked: %v", thanked[i])
		if results[name] != n || !thanked[i] {
			return fmt.Errorf("%d of %d results came from %s, and its worker was thanked: %v", results[name], n, name, thanked[i])
		}
	}
	return nil
}

// crash kills the relay in the middle of the traffic and brings it back. The
// clients connect again by themselves and repeat what the relay had not confirmed.
// What it had confirmed and not passed on died with it: only the two ends can
// know, so they number their messages, and the consumer answers. That is all it
// takes to deliver each message once, in order.
func crash(ctx context.Context, stdout io.Writer, n int) error {
	fmt.Fprintln(stdout, "\n3. A crash: the relay is killed in the middle of the traffic, and comes back")
	r := relaytest.Start()
	defer r.Close()
	again, soon := relay.WithResend(1024), relay.WithBackoff(50*time.Millisecond, time.Second)
	consumer, err := relay.Dial(ctx, r.URL, relay.WithName("consumer"), again, soon)
	if err != nil {
		return err
	}
	producer, err := relay.Dial(ctx, r.URL, relay.WithName("producer"), again, soon)
	if err != nil {
		return err
	}
	p := production{client: producer, to: consumer.UUID()}
	c := consumption{client: consumer, half: make(chan struct{})}
	produced := make(chan struct{}) // closed when everything has been answered
	start := time.Now()
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error {
		defer close(produced)
		return p.run(ctx, n)
	})
	parts.Go(func() error { return c.run(ctx, n, produced) })
	parts.Go(func() error {
		select {
		case <-c.half:
		case <-ctx.Done():
			return ctx.Err()
		}
		r.Stop() // as kill -9 does: no goodbye, and what it held is lost
		at(stdout, start, "killed without a goodbye, half way through")
		time.Sleep(500 * time.Millisecond)
		r.Start()
		at(stdout, start, "back, on the same port, and knows nobody")
		return nil
	})
	if err := errors.Join(parts.Wait(), producer.Close(), consumer.Close()); err != nil {
		return err
	}
	at(stdout, start, "done")
	return tell(stdout, &p, &c, n)
}

// production is the end that sends the numbers 1 to n.
type production struct {
	client   *relay.Client
	to       uuid.UUID
	repeated int // sent again for want of an answer
	returned int // came back: the relay did not know the consumer yet
}

func (p *production) run(ctx context.Context, n int) error {
	const ahead = 256 // of what is answered
	var sent, most, answered, before int
	patience := time.NewTicker(300 * time.Millisecond)
	defer patience.Stop()
	for answered < n {
		outbox := p.client.Outbox()
		if sent == min(n, answered+ahead) {
			outbox = nil // nothing to send until there is an answer
		}
		select {
		case outbox <- relay.Message{PeerUUID: p.to, Description: strconv.Itoa(sent + 1)}:
			if sent++; sent > most {
				most = sent
			} else {
				p.repeated++
			}
		case m := <-p.client.Inbox():
			if m.Undelivered() {
				p.returned++
				continue
			}
			number, _ := strconv.Atoi(m.Description)
			answered = max(answered, number) // it stands for all before it
			sent = max(sent, answered)
		case <-patience.C:
			if answered == before && p.client.State() == relay.Connected {
				sent = answered // go back
			}
			before = answered
		case <-p.client.Done():
			return p.client.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	close(p.client.Outbox()) // ends the client, once all has been handed on or come back
	for m := range p.client.Inbox() {
		if m.Undelivered() {
			p.returned++
		}
	}
	return p.client.Err()
}

// consumption is the end that takes the numbers in.
type consumption struct {
	client     *relay.Client
	half       chan struct{} // closed when half of the numbers have been delivered
	delivered  int           // in order, each once
	duplicates int           // dropped: delivered before
	early      int           // dropped: one before it is missing, and will be sent again with it
}

func (c *consumption) run(ctx context.Context, n int, produced <-chan struct{}) error {
	outbox := c.client.Outbox()
	for {
		select {
		case m, ok := <-c.client.Inbox():
			switch {
			case !ok:
				return c.client.Err()
			case m.Undelivered(): // an answer, too soon; the next one stands for it
				continue
			}
			c.take(m.Description, n)
			select {
			case outbox <- relay.Message{PeerUUID: m.SourceUUID, DescriptionType: relay.Answer, Description: strconv.Itoa(c.delivered)}:
			case <-c.client.Done():
			case <-ctx.Done():
			}
		case <-produced:
			close(outbox) // ends the client, once all has arrived that the relay holds for it
			return c.rest(n)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *consumption) take(description string, n int) {
	switch number, _ := strconv.Atoi(description); {
	case number <= c.delivered:
		c.duplicates++
	case number > c.delivered+1:
		c.early++
	default:
		c.delivered++
		if c.delivered == n/2 {
			close(c.half)
		}
	}
}

// rest counts what still arrives when everything has been answered.
func (c *consumption) rest(n int) error {
	for m := range c.client.Inbox() {
		if !m.Undelivered() {
			c.take(m.Description, n)
		}
	}
	return c.client.Err()
}

// tell prints what became of the messages, and checks that it adds up.
func tell(stdout io.Writer, p *production, c *consumption, n int) error {
	stats := p.client.Stats()
	written := int(stats.Sent)
	died := written - c.delivered - c.duplicates - c.early - p.returned
	count(stdout, "delivered", c.delivered, "of %d, in order, each once", n)
	count(stdout, "written", written, "messages by the producer, as some went more than once:")
	count(stdout, "resent", int(stats.Resent), "by its client, because the relay had not confirmed them")
	count(stdout, "repeated", p.repeated, "by itself, because the consumer had not answered them")
	fmt.Fprintln(stdout, "   The rest were copies of messages delivered above:")
	count(stdout, "duplicates", c.duplicates, "dropped by the consumer, which had them already")
	count(stdout, "early", c.early, "dropped by the consumer, because one before them was missing")
	count(stdout, "bounced", p.returned, "came back, because the consumer was not registered again yet")
	count(stdout, "died", died, "with the relay")
	count(stdout, "in doubt", int(stats.InDoubt), "at the end")
	switch {
	case c.delivered != n:
		return fmt.Errorf("%d of %d messages were delivered", c.delivered, n)
	case written != n+int(stats.Resent)+p.repeated:
		return fmt.Errorf("%d messages were written, which is not %d, those resent and those repeated", written, n)
	case died < 0:
		return fmt.Errorf("%d messages were written, %d more came out", written, -died)
	case stats.Connects < 2:
		return errors.New("the relay was killed too late to matter")
	}
	return nil
}

// count prints what was counted.
func count(stdout io.Writer, what string, n int, format string, args ...any) {
	fmt.Fprintf(stdout, "   %-10s  %6d  %s\n", what, n, fmt.Sprintf(format, args...))
}

// at prints when something happened.
func at(stdout io.Writer, start time.Time, what string) {
	fmt.Fprintf(stdout, "   %-10s  %s\n", fmt.Sprintf("%.2f s", time.Since(start).Seconds()), what)
}
