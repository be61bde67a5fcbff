package conform

import (
	"errors"
	"fmt"
	"time"
)

// isPonged receives a pong, before or behind messages.
func isPonged(who, payload string) step {
	return step{fmt.Sprintf("%s gets the pong %q", who, payload), func(r *run) error {
		s := r.sockets[who]
		var ahead []frame
		for {
			for i, pong := range s.pongs {
				if pong == payload {
					s.pongs, s.ahead = s.pongs[i+1:], append(ahead, s.ahead...)
					return nil
				}
			}
			f, err := s.read()
			switch {
			case err != nil:
				return err
			case f.op == opPong:
				s.pongs = append(s.pongs, string(f.payload))
			case f.op != opPing:
				ahead = append(ahead, f)
			}
		}
	}}
}

// isPinged waits for a ping of the relay with a payload of so many bytes, and
// answers it.
func isPinged(who string, payload int) step {
	return step{who + " is pinged", func(r *run) error {
		f, err := r.sockets[who].read()
		if err == nil && f.op != opPing {
			err = errors.New("what came is " + f.describe())
		}
		if err == nil && len(f.payload) != payload {
			err = fmt.Errorf("the payload is %d bytes", len(f.payload))
		}
		if err != nil {
			return err
		}
		return r.sockets[who].write(frame{op: opPong, payload: f.payload})
	}}
}

// ignoresPings lets who answer no ping from here on.
func ignoresPings(who string) step {
	return step{who + " answers no ping", func(r *run) error {
		r.sockets[who].mute = true
		return nil
	}}
}

// talks sends a message to oneself each second, for some time or, if the
// relay closes before, until then.
func talks(who, person string, atMost time.Duration) step {
	return step{fmt.Sprintf("%s sends a message to herself each second, for %v", who, atMost), func(r *run) error {
		text := r.fill.Replace(message(person, person))
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for end := time.Now().Add(atMost); time.Now().Before(end); {
			_ = r.sockets[who].write(frame{op: opText, payload: []byte(text)}) // reading will show
			f, err := r.sockets[who].next()
			switch {
			case err != nil:
				return err
			case f.op == opClose:
				r.sockets[who].ahead = append(r.sockets[who].ahead, f)
				return nil
			case string(f.payload) != text:
				return errors.New("what came is " + f.describe())
			}
			select {
			case <-tick.C:
			case <-r.ctx.Done():
				return r.ctx.Err()
			}
		}
		return nil
	}}
}
