package main

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/seed73300619/relay"
)

// A ledger knows which line a message was, and which lines were lost. The
// protocol has no room for a line number, so it goes by the text: eight bytes
// are kept of each line.
type ledger struct {
	stderr io.Writer
	seed   maphash.Seed

	mu   sync.Mutex
	sums []uint64 // of the lines so far
	lost []int    // line numbers, sorted; 0: one that could not be recognized

	doubted int // the last line in doubt; doubtful's
}

func newLedger(stderr io.Writer) *ledger {
	return &ledger{stderr: stderr, seed: maphash.MakeSeed()}
}

// add takes the next line and returns its number, from 1.
func (l *ledger) add(line string) int {
	sum := maphash.String(l.seed, line)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sums = append(l.sums, sum)
	return len(l.sums)
}

// find returns the first line with that text behind a line number, or 0.
func (l *ledger) find(text string, behind int) int {
	sum := maphash.String(l.seed, text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.sums[behind:], sum); i >= 0 {
		return behind + 1 + i
	}
	return 0
}

// lose says that lines were not delivered, and why.
func (l *ledger) lose(why string, numbers ...int) {
	complain(l.stderr, fmt.Errorf("%s: %s", lineNumbers(numbers), why))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range numbers {
		if i, known := slices.BinarySearch(l.lost, n); !known || n == 0 {
			l.lost = slices.Insert(l.lost, i, n)
		}
	}
}

// returned reads the Inbox for what the relay could not deliver, until the
// client has ended. It comes back in the order in which it was sent.
func (l *ledger) returned(client *relay.Client) {
	last := 0
	for m := range client.Inbox() {
		if !m.Undelivered() || m.SourceUUID != client.UUID() {
			complain(l.stderr, fmt.Errorf("ignored a message from %v: read messages with relay listen", m.SourceUUID))
			continue
		}
		n := l.find(m.Description, last)
		last = max(last, n)
		l.lose("came back: "+m.Error, n)
	}
}

// doubtful takes the client's events: messages in doubt come in order, too.
func (l *ledger) doubtful(event relay.Event) {
	doubt, ok := event.(relay.InDoubt)
	if !ok {
		complain(l.stderr, errors.New(event.String()))
		return
	}
	numbers := make([]int, 0, len(doubt.Messages))
	for _, m := range doubt.Messages {
		n := l.find(m.Description, l.doubted)
		l.doubted = max(l.doubted, n)
		numbers = append(numbers, n)
	}
	l.lose("in doubt, the connection was lost before the relay confirmed", numbers...)
}

// verdict returns an error that names all lines that were lost.
func (l *ledger) verdict() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lost) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d lines lost or in doubt: %s", len(l.lost), len(l.sums), lineNumbers(l.lost))
}

// maxRanges bounds how many are listed.
const maxRanges = 50

// lineNumbers names lines, of which the numbers rise: "lines 2, 4-6".
func lineNumbers(numbers []int) string {
	var ranges []string
	for i := 0; i < len(numbers); {
		end := i + 1
		for end < len(numbers) && numbers[end] == numbers[end-1]+1 {
			end++
		}
		switch first, last := numbers[i], numbers[end-1]; {
		case len(ranges) == maxRanges:
			return "lines " + strings.Join(ranges, ", ") + ", …"
		case first == 0:
			return "a line"
		case first == last:
			ranges = append(ranges, fmt.Sprint(first))
		default:
			ranges = append(ranges, fmt.Sprintf("%d-%d", first, last))
		}
		i = end
	}
	if len(numbers) == 1 {
		return "line " + ranges[0]
	}
	return "lines " + strings.Join(ranges, ", ")
}
