package conform

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"unicode"

	"github.com/google/uuid"
)

// A step is one line of a case. Its text is a sentence without a full stop.
type step struct {
	text string
	do   func(*run) error
}

// A run is one performance of a case.
type run struct {
	ctx     context.Context
	target  *Target
	fill    *strings.Replacer  // the UUIDs in place of their names
	sockets map[string]*socket // by the names of their owners
	closers []func()           // of all sockets
	writers sync.WaitGroup     // floods
}

// play performs the steps until one fails, and gives an account of that.
func play(ctx context.Context, target *Target, steps []step) (account string, ok bool) {
	r := &run{ctx: ctx, target: target, fill: names(), sockets: make(map[string]*socket)}
	defer r.end()
	var b strings.Builder
	for i, s := range steps {
		if err := s.do(r); err != nil {
			fmt.Fprintf(&b, "  FAIL  %s: %s\n", s.text, r.told(err))
			if left := len(steps) - i - 1; left > 0 {
				fmt.Fprintf(&b, "        (%d more steps)\n", left)
			}
			return b.String(), false
		}
		fmt.Fprintf(&b, "  ok    %s\n", s.text)
	}
	return b.String(), true
}

func (r *run) end() {
	for _, close := range r.closers {
		close()
	}
	r.writers.Wait()
}

// told says in the words of a case what went wrong.
func (r *run) told(err error) string {
	switch {
	case r.ctx.Err() == context.DeadlineExceeded:
		return "not until the time was over"
	case r.ctx.Err() != nil:
		return "not until the run was ended"
	case isEnd(err):
		return "the connection has ended without a word"
	}
	return err.Error()
}

func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// people are those in whose names the steps speak. In a text, each name in
// capitals stands for a UUID that is new in each run, and with a suffix for
// another spelling of it.
var people = []string{"ALICE", "BOB", "CAROL", "OLD", "NOBODY"}

func names() *strings.Replacer {
	var pairs []string
	for _, name := range people {
		id := uuid.New()
		id[0], id[15] = 0, 0xbc         // so that all spellings are possible, and differ
		id[6], id[8] = 0xf1, 0x3f&id[8] // a version and a variant that no RFC knows
		text := id.String()
		hex := strings.ReplaceAll(text, "-", "")
		pairs = append(pairs,
			name+".upper", strings.ToUpper(text),
			name+".hex", hex,
			name+".pairs", strings.Join(inPairs(hex), "-"),
			name+".wide", strings.Map(widen, text),
			name+".blank", " "+hex[1:],
			name+".under", "0_"+hex[2:],
			name+".0x", "0x"+hex[2:],
			name+".tail", text[1:],
			name+".short", text[:35],
			name+".g", text[:35]+"g",
			name, text)
	}
	for i := range 100 {
		pairs = append(pairs, numbered(i), uuid.NewString())
	}
	return strings.NewReplacer(pairs...)
}

// numbered names one of a crowd, of up to 100.
func numbered(i int) string { return fmt.Sprintf("CLIENT%02d", i) }

func inPairs(s string) (pairs []string) {
	for ; s != ""; s = s[2:] {
		pairs = append(pairs, s[:2])
	}
	return pairs
}

// widen makes the digits of ASCII full-width ones.
func widen(r rune) rune {
	if unicode.IsDigit(r) {
		return r - '0' + '０'
	}
	return r
}

// dial connects and keeps the socket under a name.
func (r *run) dial(name string) (*socket, error) {
	s, err := dial(r.ctx, r.target)
	if err != nil {
		return nil, err
	}
	r.sockets[name] = s
	stop := context.AfterFunc(r.ctx, func() { _ = s.conn.Close() })
	r.closers = append(r.closers, func() {
		stop()
		_ = s.conn.Close()
	})
	return s, nil
}

// upgrade opens a connection with changes to the usual request, and gives the
// extensions that were agreed on.
func (r *run) upgrade(name string, changes []string) (extensions string, err error) {
	s, err := r.dial(name)
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(s.conn, r.target.request(changes)); err != nil {
		return "", err
	}
	answer, err := s.response()
	switch {
	case err != nil:
		return "", err
	case answer.StatusCode != 101:
		return "", fmt.Errorf("the answer is %s", answer.Status)
	case answer.Header.Get("Sec-WebSocket-Protocol") != "":
		return "", errors.New("a subprotocol was chosen")
	}
	return answer.Header.Get("Sec-WebSocket-Extensions"), nil
}

// text returns the next message, which must be text.
func (r *run) text(name string) (string, error) {
	f, err := r.sockets[name].next()
	if err != nil {
		return "", err
	}
	if f.op != opText {
		return "", errors.New("what came is " + f.describe())
	}
	return string(f.payload), nil
}

// gets reads the next message, which must be want, byte for byte.
func (r *run) gets(name, want string) error {
	got, err := r.text(name)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("what came is %s instead of %s", shorten(got), shorten(want))
	}
	return nil
}

// describe says what a frame is, to people.
func (f frame) describe() string {
	switch f.op {
	case opText:
		return shorten(string(f.payload))
	case opBinary:
		return fmt.Sprintf("a binary message of %d bytes", len(f.payload))
	case opClose:
		return "a close" + goodbye(f.payload)
	}
	return fmt.Sprintf("a frame with opcode %d", f.op)
}

// goodbye says what stands in a close.
func goodbye(payload []byte) string {
	switch {
	case len(payload) == 0:
		return " without a code"
	case len(payload) == 1:
		return " with half a code"
	}
	text := fmt.Sprintf(" with %d", binary.BigEndian.Uint16(payload))
	if reason := payload[2:]; len(reason) > 0 {
		text += fmt.Sprintf(" `%s`", reason)
	}
	return text
}

// shorten bounds what is shown of a message.
func shorten(text string) string {
	const most = 160
	text = strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(text)
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s…%s (%d bytes)", strings.ToValidUTF8(text[:most/2], ""), strings.ToValidUTF8(text[len(text)-most/2:], ""), len(text))
}
