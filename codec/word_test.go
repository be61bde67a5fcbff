package codec_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// Every byte at every place of a UUID: eight digits are read at a time, and none
// may vouch for another.
func TestEveryByteOfAUUID(t *testing.T) {
	text := bob.String()
	for at := range len(text) {
		for c := range 256 {
			spelled := text[:at] + string([]byte{byte(c)}) + text[at+1:]
			e, err := codec.DecodeEnvelope([]byte(strings.Replace(peerFrame, text, spelled, 1)))
			canonical := strings.IndexByte("0123456789abcdef", byte(c)) >= 0
			if text[at] == '-' {
				canonical = c == '-'
			}
			if !canonical {
				if err == nil && e.Verbatim() {
					t.Fatalf("%q passes for canonical", spelled)
				}
				continue
			}
			if want := uuid.MustParse(spelled); err != nil || e.PeerUUID != want || !e.Verbatim() {
				t.Fatalf("%q is read as %v, verbatim %v, %v", spelled, e.PeerUUID, e.Verbatim(), err)
			}
		}
	}
}

// Every byte at every place of a string that is longer than what is looked at in
// one step, and not a multiple of it.
func TestEveryByteOfAString(t *testing.T) {
	m := peerConnection()
	text := strings.Repeat("abcdefgh", 5) + "abc"
	for at := range len(text) {
		for c := range 256 {
			m.Description = text[:at] + string([]byte{byte(c)}) + text[at+1:]
			frame, err := m.Append(nil)
			if c < 0x80 {
				var read struct{ Description string }
				if err != nil || json.Unmarshal(frame, &read) != nil || read.Description != m.Description {
					t.Fatalf("%q is written as %s, %v", m.Description, frame, err)
				}
			} else if err == nil {
				t.Fatalf("%q is written as %s", m.Description, frame)
			}

			raw := []byte(edit(t, peerFrame, `hello`, m.Description))
			got, err := codec.DecodePeerConnection(raw)
			var want struct{ Description string }
			if json.Unmarshal(raw, &want) == nil && c < 0x80 {
				if err != nil || got.Description != want.Description {
					t.Fatalf("%q is read as %q, %v", m.Description, got.Description, err)
				}
			} else if err == nil {
				t.Fatalf("%q is read as %q", m.Description, got.Description)
			}
		}
		m.Description = text[:at] + "é" + text[at:]
		frame, err := m.Append(nil)
		if want := text[:at] + `\u00e9` + text[at:]; err != nil || !strings.Contains(string(frame), want) {
			t.Fatalf("%q is written as %s, %v", m.Description, frame, err)
		}
	}
}
