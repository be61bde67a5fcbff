package codec_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// texts are one that is looked at in steps of several widths, and one that is
// long enough for the widest of them.
var texts = []string{strings.Repeat("x", 2*32+8+5), strings.Repeat("x", 256+32+8+5)}

// everyByteAtEveryPlace calls f with texts in which one byte was replaced.
func everyByteAtEveryPlace(texts []string, f func(i int, c byte, text string)) {
	for _, text := range texts {
		for i := range text {
			for c := range 256 {
				f(i, byte(c), text[:i]+string([]byte{byte(c)})+text[i+1:])
			}
		}
	}
}

func TestEveryByteIsEncodedAtEveryPlace(t *testing.T) {
	everyByteAtEveryPlace(texts, func(i int, c byte, text string) {
		m := peerConnection()
		m.Description = text
		frame, err := m.Append(nil)
		if c >= 0x80 {
			if !errors.Is(err, codec.ErrInvalidUTF8) {
				t.Errorf("%#x at %d: %v", c, i, err)
			}
			return
		}
		if err != nil || strings.ContainsFunc(string(frame), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%#x at %d is encoded as %q, %v", c, i, frame, err)
		}
		var w wire
		if err := json.Unmarshal(frame, &w); err != nil || w.Description != text {
			t.Errorf("%#x at %d: encoding/json reads %q, %v", c, i, w.Description, err)
		}
		if got, err := codec.DecodePeerConnection(frame); err != nil || got != m {
			t.Errorf("%#x at %d: got %+v, %v", c, i, got, err)
		}
	})
}

func TestEveryByteIsDecodedAtEveryPlace(t *testing.T) {
	everyByteAtEveryPlace(texts, func(i int, c byte, text string) {
		frame := []byte(edit(t, peerFrame, "hello", text))
		var want error
		switch {
		case c >= 0x80:
			want = codec.ErrInvalidUTF8
		case c < ' ' || c == '"' || c == '\\':
			want = codec.ErrSyntax
		}
		m, err := codec.DecodePeerConnection(frame)
		if !errors.Is(err, want) || err == nil && m.Description != text {
			t.Errorf("%#x at %d: %q, %v", c, i, m.Description, err)
		}
	})
}

// What Decode takes for canonical is passed on as it came.
func TestEveryByteOfACanonicalUUIDCounts(t *testing.T) {
	const id = "01234567-89ab-cdef-fedc-ba9876543210"
	everyByteAtEveryPlace([]string{id}, func(i int, c byte, text string) {
		e, err := codec.DecodeEnvelope([]byte(edit(t, peerFrame, "aaaaaaaa-0000-4000-8000-000000000001", text)))
		canonical := strings.IndexByte("0123456789abcdef", c) >= 0
		if id[i] == '-' {
			canonical = c == '-'
		}
		if (err == nil && e.Verbatim()) != canonical {
			t.Errorf("%#x at %d of %q: verbatim is %v, %v", c, i, text, e.Verbatim(), err)
		}
		if canonical && e.SourceUUID != uuid.MustParse(text) {
			t.Errorf("%s is read as %v", text, e.SourceUUID)
		}
		if again := string(e.Append(nil)); canonical && !strings.Contains(again, text) {
			t.Errorf("%s is written as %s", text, again)
		}
	})
}

// Escapes stand at every place around the lengths of the pieces that are decoded.
func TestEscapesAtEveryPlaceOfALongText(t *testing.T) {
	for n := range 600 {
		m := peerConnection()
		m.Description = strings.Repeat("x", n) + "é漢😀\n" + strings.Repeat("\"", n) + `\r\n` + strings.Repeat("x", 600-n)
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := codec.DecodePeerConnection(frame); err != nil || got != m {
			t.Fatalf("%d: got %+v, %v", n, got, err)
		}
	}
}
