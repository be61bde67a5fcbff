package conform

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// The steps of which the table is made. who is the name of a connection.

// sends sends frames, good or bad; what they are is said in words. Writing
// may fail when the relay has closed already: what it said shows below.
func sends(who, what string, frames ...frame) step {
	return step{who + " sends " + what, func(r *run) error {
		for _, f := range frames {
			f.payload = []byte(r.fill.Replace(string(f.payload)))
			if r.sockets[who].write(f) != nil {
				return nil
			}
		}
		return nil
	}}
}

// says sends text messages.
func says(who string, texts ...string) step {
	frames := make([]frame, len(texts))
	for i, text := range texts {
		frames[i] = frame{op: opText, payload: []byte(text)}
	}
	what := shorten(texts[0])
	if len(texts) > 1 {
		what = fmt.Sprintf("%d messages, the first %s", len(texts), what)
	}
	return sends(who, what, frames...)
}

// hears receives text messages, byte for byte.
func hears(who string, texts ...string) step {
	what := shorten(texts[0])
	if len(texts) > 1 {
		what = fmt.Sprintf("%d messages in their order, the first %s", len(texts), what)
	}
	return step{who + " gets " + what, func(r *run) error {
		for _, text := range texts {
			if err := r.gets(who, r.fill.Replace(text)); err != nil {
				return err
			}
		}
		return nil
	}}
}

// hearsSame receives a message of the same value: keys in any order, white
// space and escapes as they like.
func hearsSame(who, text string) step {
	return step{who + " gets, as a value, " + shorten(text), func(r *run) error {
		got, err := r.text(who)
		if err != nil {
			return err
		}
		var gotValue, wantValue any
		want := r.fill.Replace(text)
		if err := json.Unmarshal([]byte(got), &gotValue); err != nil {
			return fmt.Errorf("what came is no JSON: %s", shorten(got))
		}
		if err := json.Unmarshal([]byte(want), &wantValue); err != nil {
			return fmt.Errorf("the table is wrong: %w", err)
		}
		if !reflect.DeepEqual(gotValue, wantValue) {
			return fmt.Errorf("what came is %s", shorten(got))
		}
		return nil
	}}
}

// registers registers the UUID of a person, and is confirmed.
func registers(who, person string) step {
	return step{fmt.Sprintf("%s registers %s", who, person), func(r *run) error {
		if err := r.sockets[who].write(frame{op: opText, payload: []byte(r.fill.Replace(registration(person)))}); err != nil {
			return err
		}
		return r.gets(who, success)
	}}
}

// hearsNothing proves that no message waits: one that a person who is
// registered on the connection sends to herself is the next to come.
func hearsNothing(who, person string) step {
	return step{who + " gets nothing", func(r *run) error { return r.barrier(who, person) }}
}

func (r *run) barrier(who, person string) error {
	text := r.fill.Replace(strings.Replace(message(person, person), `"d"`, `"barrier"`, 1))
	if err := r.sockets[who].write(frame{op: opText, payload: []byte(text)}); err != nil {
		return err
	}
	return r.gets(who, text)
}

// tries sends a message again and again, each with a message of the sender to
// herself behind it, until it has come back as one to nobody: a relay may
// take a moment to find out that somebody has left.
func tries(who, from, to string) step {
	return step{fmt.Sprintf("%s's messages to %s come back", who, to), func(r *run) error {
		text, bounce := r.fill.Replace(message(from, to)), r.fill.Replace(unknown(from, to))
		barrier := r.fill.Replace(message(from, from))
		for {
			for _, s := range []string{text, barrier} {
				if err := r.sockets[who].write(frame{op: opText, payload: []byte(s)}); err != nil {
					return err
				}
			}
			got, err := r.text(who)
			if err != nil {
				return err
			}
			if got == bounce {
				return r.gets(who, barrier)
			}
			if got != barrier {
				return errors.New("what came is " + shorten(got))
			}
			select { // go easy on the relay's log
			case <-time.After(10 * time.Millisecond):
			case <-r.ctx.Done():
			}
		}
	}}
}

// vanish proves that messages to a person neither arrive nor come back. They
// are sent for as long as a relay could take to notice that she has left.
func vanish(who, from, to string) step {
	return step{fmt.Sprintf("%s's messages to %s vanish", who, to), func(r *run) error {
		for range 50 {
			if err := r.sockets[who].write(frame{op: opText, payload: []byte(r.fill.Replace(message(from, to)))}); err != nil {
				return err
			}
			if err := r.barrier(who, from); err != nil {
				return err
			}
		}
		return nil
	}}
}

// within plays a step and fails if it takes less or more time.
func within(least, most time.Duration, s step) step {
	text := fmt.Sprintf("%s, after %v to %v", s.text, least, most)
	return step{text, func(r *run) error {
		start := time.Now()
		if err := s.do(r); err != nil {
			return err
		}
		if took := time.Since(start).Round(time.Millisecond); took < least || took > most {
			return fmt.Errorf("it took %v", took)
		}
		return nil
	}}
}
