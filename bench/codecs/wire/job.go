// Package wire has the messages that codecs are measured with, and the job that
// each of them does, in this process or in another one.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed73300619/relay/codec"
)

// A Codec is one competitor's way to write and read a message, which it calls M.
type Codec[M comparable] struct {
	Of     func(codec.PeerConnection) M
	Append func(dst []byte, m *M) ([]byte, error)
	Decode func(frame []byte, m *M) error // m is zero
}

// A Job is what a codec has to do.
type Job struct {
	Decode   bool   // else encode
	Kind     string // one of Kinds
	Messages int
}

// A Result is what it took, by message.
type Result struct{ Nanoseconds, Allocations float64 }

// Do does the job, and checks every single result. The clock stands still
// meanwhile.
func (c Codec[M]) Do(j Job) (Result, error) {
	w, err := c.newWork(j.Kind)
	if err != nil {
		return Result{}, err
	}
	pass, check := w.encode, w.checkFrames
	if j.Decode {
		pass, check = w.decode, w.checkMessages
	}
	if err := errors.Join(pass(), check()); err != nil {
		return Result{}, fmt.Errorf("the first %d: %w", len(w.messages), err)
	}
	var took time.Duration
	n := 0
	for ; n < j.Messages; n += len(w.messages) {
		start := time.Now()
		err := pass()
		took += time.Since(start)
		if err := errors.Join(err, check()); err != nil {
			return Result{}, fmt.Errorf("after %d messages: %w", n, err)
		}
	}
	allocations := testing.AllocsPerRun(10, func() { err = errors.Join(err, pass()) })
	return Result{
		Nanoseconds: float64(took.Nanoseconds()) / float64(n),
		Allocations: allocations / float64(len(w.messages)),
	}, err
}

// work is a pass over all messages of a kind.
type work[M comparable] struct {
	Codec[M]
	wire     []Message // what messages are
	messages []M
	incoming [][]byte // the same, as they stand on the real wire

	frames  [][]byte // encoded by a pass, each into the buffer of the one before
	first   [][]byte // encoded by the first pass
	decoded []M
}

func (c Codec[M]) newWork(kind string) (*work[M], error) {
	all, err := messages(kind)
	if err != nil {
		return nil, err
	}
	w := &work[M]{Codec: c, frames: make([][]byte, len(all)), decoded: make([]M, len(all))}
	for _, m := range all {
		frame, err := m.Append(nil)
		if err != nil {
			return nil, err
		}
		w.wire = append(w.wire, Of(m))
		w.messages = append(w.messages, c.Of(m))
		w.incoming = append(w.incoming, frame)
	}
	return w, nil
}

func (w *work[M]) encode() (err error) {
	for i := range w.messages {
		if w.frames[i], err = w.Append(w.frames[i][:0], &w.messages[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkFrames has the first frames decoded by the standard, and those of later
// passes compared with them.
func (w *work[M]) checkFrames() error {
	if w.first == nil {
		for i, frame := range w.frames {
			var m Message
			if err := json.Unmarshal(frame, &m); err != nil || m != w.wire[i] {
				return fmt.Errorf("message %d was encoded as %.300q (%v)", i, frame, err)
			}
			w.first = append(w.first, bytes.Clone(frame))
		}
	}
	for i, frame := range w.frames {
		if !bytes.Equal(frame, w.first[i]) {
			return fmt.Errorf("message %d was encoded as %.300q, before as %.300q", i, frame, w.first[i])
		}
		clear(frame) // so that the next pass cannot leave it as it is
	}
	return nil
}

func (w *work[M]) decode() error {
	for i, frame := range w.incoming {
		if err := w.Decode(frame, &w.decoded[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *work[M]) checkMessages() error {
	for i, m := range w.decoded {
		if m != w.messages[i] {
			return fmt.Errorf("%.300q was decoded as %+v", w.incoming[i], m)
		}
	}
	clear(w.decoded)
	return nil
}
