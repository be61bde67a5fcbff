package wire

import (
	"encoding/json"
	"errors"
	"testing"
)

// working is a codec that does all right, to be spoilt.
func working() Codec[Message] {
	return Codec[Message]{
		Of: Of,
		Append: func(dst []byte, m *Message) ([]byte, error) {
			frame, err := json.Marshal(m)
			return append(dst, frame...), err
		},
		Decode: func(frame []byte, m *Message) error { return json.Unmarshal(frame, m) },
	}
}

func TestAJobIsDoneAsOftenAsAsked(t *testing.T) {
	for _, decode := range []bool{false, true} {
		c, calls := working(), 0
		encode, parse := c.Append, c.Decode
		c.Append = func(dst []byte, m *Message) ([]byte, error) { calls++; return encode(dst, m) }
		c.Decode = func(frame []byte, m *Message) error { calls++; return parse(frame, m) }
		r, err := c.Do(Job{Decode: decode, Kind: "16 KB", Messages: 32})
		if err != nil || r.Nanoseconds <= 0 || r.Allocations < 1 {
			t.Errorf("%+v, %v", r, err)
		}
		if want := 16 + 32 + 11*16; calls != want { // to begin with, on the clock, and for the allocations
			t.Errorf("%d calls, want %d", calls, want)
		}
	}
	if _, err := working().Do(Job{Kind: "64 KB"}); err == nil {
		t.Error("there is no such kind")
	}
}

// Whichever of the messages it is that goes wrong, it is noticed.
func TestWhatIsNotDoneWellIsNoResult(t *testing.T) {
	failure := errors.New("as asked")
	for name, spoil := range map[string]func(c *Codec[Message], bad func() bool){
		"an error of Append": func(c *Codec[Message], bad func() bool) {
			good := c.Append
			c.Append = func(dst []byte, m *Message) ([]byte, error) {
				if bad() {
					return dst, failure
				}
				return good(dst, m)
			}
		},
		"nothing appended": func(c *Codec[Message], bad func() bool) {
			good := c.Append
			c.Append = func(dst []byte, m *Message) ([]byte, error) {
				if bad() {
					return dst[:cap(dst)], nil // as it was left
				}
				return good(dst, m)
			}
		},
		"a letter changed": func(c *Codec[Message], bad func() bool) {
			good := c.Append
			c.Append = func(dst []byte, m *Message) ([]byte, error) {
				m2 := *m
				if bad() {
					m2.SourceName += "x"
				}
				return good(dst, &m2)
			}
		},
		"an error of Decode": func(c *Codec[Message], bad func() bool) {
			good := c.Decode
			c.Decode = func(frame []byte, m *Message) error {
				if bad() {
					return failure
				}
				return good(frame, m)
			}
		},
		"nothing decoded": func(c *Codec[Message], bad func() bool) {
			good := c.Decode
			c.Decode = func(frame []byte, m *Message) error {
				if bad() {
					return nil
				}
				return good(frame, m)
			}
		},
	} {
		decode := name == "an error of Decode" || name == "nothing decoded"
		for _, at := range []int{1, 16, 17, 47} {
			c, calls := working(), 0
			spoil(&c, func() bool { calls++; return calls == at })
			if r, err := c.Do(Job{Decode: decode, Kind: "16 KB", Messages: 32}); err == nil {
				t.Errorf("%s at call %d: %+v", name, at, r)
			}
		}
	}
}
