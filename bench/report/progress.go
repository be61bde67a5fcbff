package report

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed73300619/relay/bench/turns"
)

// A Progress says what is being measured, for how long, and what remains: on a
// terminal in one line that it writes again each second, elsewhere in a line for
// each turn.
type Progress struct {
	w        io.Writer
	terminal bool
	n        int         // turns of each side
	total    int         // turns of all
	steps    chan string // closed by Close
	ended    chan struct{}
}

// NewProgress begins to say how far n turns of each side are. Close ends that.
func NewProgress(w io.Writer, chosen []turns.Measurement, n int) *Progress {
	f, ok := w.(*os.File)
	if ok {
		info, err := f.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return newProgress(w, chosen, n, ok)
}

func newProgress(w io.Writer, chosen []turns.Measurement, n int, terminal bool) *Progress {
	p := &Progress{w: w, terminal: terminal, n: n, steps: make(chan string), ended: make(chan struct{})}
	for _, m := range chosen {
		for _, c := range m.Cases {
			for _, s := range c.Sides {
				if s.Skip == "" {
					p.total += n
				}
			}
		}
	}
	go p.run()
	return p
}

// Turn says whose turn of which case begins.
func (p *Progress) Turn(name string, turn int, side string) {
	p.steps <- fmt.Sprintf("%s, turn %d of %d: %s", name, turn+1, p.n, side)
}

// Close returns when nothing more is written, and the line is gone.
func (p *Progress) Close() {
	close(p.steps)
	<-p.ended
}

func (p *Progress) run() {
	defer close(p.ended)
	start, end, begun, step := time.Now(), time.Time{}, 0, ""
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		select {
		case next, ok := <-p.steps:
			if !ok {
				if p.terminal {
					fmt.Fprint(p.w, clear)
				}
				return
			}
			if step = next; begun > 0 { // as if all turns took as long as those so far
				end = time.Now().Add(time.Since(start) * time.Duration(p.total-begun) / time.Duration(begun))
			}
			begun++
		case <-again.C:
			if !p.terminal || begun == 0 {
				continue
			}
		}
		took := time.Since(start).Round(time.Second).String()
		if !end.IsZero() {
			took += fmt.Sprintf(", ~%v left", max(0, time.Until(end)).Round(time.Second))
		}
		line := fmt.Sprintf("%d/%d  %s  %s", begun, p.total, took, step)
		if p.terminal {
			runes := []rune(line)
			fmt.Fprint(p.w, clear, string(runes[:min(len(runes), width)]))
		} else {
			fmt.Fprintln(p.w, line)
		}
	}
}

const (
	clear = "\r\033[K" // the line of a terminal
	width = 79         // of a terminal, at least; a longer line would not go away
)
