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
	p := &Progress{w: w, n: n, steps: make(chan string), ended: make(chan struct{})}
	for _, m := range chosen {
		for _, c := range m.Cases {
			for _, s := range c.Sides {
				if s.Skip == "" {
					p.total += n
				}
			}
		}
	}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	go p.run()
	return p
}

// Turn says whose turn of which case begins.
func (p *Progress) Turn(name string, turn int, side string) {
	p.steps <- fmt.Sprintf("%s  turn %d of %d  %s", name, turn+1, p.n, side)
}

// Close returns when nothing more is written, and the line is gone.
func (p *Progress) Close() {
	close(p.steps)
	<-p.ended
}

func (p *Progress) run() {
	defer close(p.ended)
	start, begun, step := time.Now(), 0, ""
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
			step = next
			begun++
		case <-again.C:
			if !p.terminal || begun == 0 {
				continue
			}
		}
		line := step + "  " + remaining(time.Since(start), begun-1, p.total)
		if p.terminal {
			fmt.Fprint(p.w, clear, line)
		} else {
			fmt.Fprintln(p.w, line)
		}
	}
}

// clear empties the line of a terminal.
const clear = "\r\033[K"

// remaining says how long it has taken, and about how long it will, as if all
// turns took the same time.
func remaining(elapsed time.Duration, done, total int) string {
	said := fmt.Sprintf("%v  %d/%d", elapsed.Round(time.Second), done+1, total)
	if done == 0 {
		return said
	}
	left := elapsed * time.Duration(total-done) / time.Duration(done)
	return said + fmt.Sprintf("  ~%v left", left.Round(time.Second))
}
