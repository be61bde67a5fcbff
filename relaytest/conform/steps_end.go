package conform

import (
	"errors"
	"fmt"
)

// isTold receives a close and does not answer.
func isTold(who string, code int, reason string) step {
	want := closeFrame(code, reason)
	return step{fmt.Sprintf("%s is closed%s", who, goodbye(want.payload)), func(r *run) error {
		got, err := r.sockets[who].next()
		switch {
		case err != nil:
			return err
		case got.op != opClose:
			return errors.New("what came is " + got.describe())
		case reason == anyReason && len(got.payload) >= 2:
			got.payload = append(got.payload[:2], anyReason...)
		}
		if string(got.payload) != string(want.payload) {
			return errors.New("what came is " + got.describe())
		}
		return nil
	}}
}

// anyReason stands for whatever the reason of a close says.
const anyReason = "…"

// isClosed receives a close, answers it, and finds TCP closed then.
func isClosed(who string, code int, reason string) step {
	told := isTold(who, code, reason)
	return step{told.text, func(r *run) error {
		if err := told.do(r); err != nil {
			return err
		}
		return r.part(who, closeFrame(code, ""))
	}}
}

// part sends a close where the other side has said its own, and awaits the end.
func (r *run) part(who string, bye frame) error {
	_ = r.sockets[who].write(bye) // TCP may be closed already
	return r.ended(who)
}

// ended finds TCP ended by the relay, behind nothing but pings, and closes it.
func (r *run) ended(who string) error {
	s := r.sockets[who]
	what := func() (string, error) { // comes, if anything does
		if !s.open {
			line, err := s.reader.ReadString('\n')
			if line != "" {
				err = nil
			}
			return fmt.Sprintf("%q", line), err
		}
		f, err := s.next()
		return f.describe(), err
	}
	if came, err := what(); err == nil {
		return errors.New("what came is " + came)
	} else if !isEnd(err) {
		return err
	}
	_ = s.conn.Close() // that of TLS would say goodbye
	return nil
}

// leaves says goodbye, hears the same code and reason, and finds TCP closed then.
func leaves(who string, code int, reason string) step {
	bye := closeFrame(code, reason)
	return step{fmt.Sprintf("%s closes%s and is answered with the same code", who, goodbye(bye.payload)), func(r *run) error {
		s := r.sockets[who]
		if err := s.write(bye); err != nil {
			return err
		}
		got, err := s.next()
		if err != nil {
			return err
		}
		if got.op != opClose || string(got.payload[:min(2, len(got.payload))]) != string(bye.payload[:min(2, len(bye.payload))]) {
			return fmt.Errorf("the answer is %s", got.describe())
		}
		return r.ended(who)
	}}
}

// drops ends TCP without a goodbye.
func drops(who string, reset bool) step {
	how := " ends TCP without a close"
	if reset {
		how = " resets TCP"
	}
	return step{who + how, func(r *run) error {
		r.sockets[who].drop(reset)
		return nil
	}}
}

// isCutOff finds TCP ended by the relay, without a word.
func isCutOff(who string) step {
	return step{who + " is cut off", func(r *run) error { return r.ended(who) }}
}
