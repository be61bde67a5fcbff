package conform

import (
	"errors"
	"fmt"
	"time"
)

// A series is messages that are made while they are sent, or expected.
type series struct {
	count int
	text  func(i int) string
}

// floods sends a series in the background, as fast as it is taken.
func floods(who, what string, messages series) step {
	return step{who + " sends " + what + " in one go", func(r *run) error {
		s := r.sockets[who]
		r.writers.Go(func() { // ends when the connection does
			for i := range messages.count {
				if s.write(frame{op: opText, payload: []byte(r.fill.Replace(messages.text(i)))}) != nil {
					return
				}
				s.flooded.Add(1)
			}
		})
		return nil
	}}
}

// hearsSome receives the first messages of a series.
func hearsSome(who string, count int, messages series) step {
	return step{fmt.Sprintf("%s gets the first %d messages, in order", who, count), func(r *run) error {
		for i := range count {
			if err := r.gets(who, r.fill.Replace(messages.text(i))); err != nil {
				return fmt.Errorf("message %d: %w", i+1, err)
			}
		}
		return nil
	}}
}

// isStalled finds that a flood does not get on any more: for three seconds,
// and before its last message.
func isStalled(who string, messages series) step {
	return step{who + " is stalled", func(r *run) error {
		s := r.sockets[who]
		for before := int64(-1); ; {
			now := s.flooded.Load()
			switch {
			case now == int64(messages.count):
				return errors.New("the relay has taken all of it")
			case now == before:
				return nil
			}
			before = now
			select {
			case <-time.After(3 * time.Second):
			case <-r.ctx.Done():
				return r.ctx.Err()
			}
		}
	}}
}
