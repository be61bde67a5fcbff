package interop

import (
	"math/rand/v2"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// FuzzT38_CodecAgainstTheRealDecoder holds what reads frames against the real
// decoder, in a process beside each process that fuzzes. What encoding/json has to
// say is fuzzed in package codec.
func FuzzT38_CodecAgainstTheRealDecoder(f *testing.F) {
	for i, frame := range differentialFrames(rand.New(rand.NewPCG(7, 8))) {
		// Nested as deeply as that, the two may differ: the real decoder gives up
		// at a depth that is its call stack's.
		if i%20 == 0 && len(frame) < 800 {
			f.Add(frame)
		}
	}
	o := oracle{startDriver(f, "oracle", "oracle")}
	f.Fuzz(func(t *testing.T, frame []byte) {
		o.checkDecode(t, frame)
		o.checkEnvelope(t, frame)
	})
}

// FuzzT38_CodecAgainstTheRealEncoder holds Append against the real encoder.
func FuzzT38_CodecAgainstTheRealEncoder(f *testing.F) {
	f.Add("alice", `{"sdp": "v=0\r\no=- 4004364610", "type": "offer"}`, "", []byte("0123456789abcdef"))
	f.Add("", "\r\n\t\b\f\\\"/\x00\x1f\x7f", "no", []byte{})
	f.Add("é漢😀", "\u0080\u2028\ud7ff\ue000\uffff\U00010000\U0010ffff", "😀", []byte{0xff})
	o := oracle{startDriver(f, "oracle", "oracle")}
	f.Fuzz(func(t *testing.T, name, description, reason string, id []byte) {
		if !utf8.ValidString(name) || !utf8.ValidString(description) || !utf8.ValidString(reason) {
			t.Skip("Append refuses it, as the fuzzing of package codec tests")
		}
		var source uuid.UUID
		copy(source[:], id)
		o.checkAppend(t, codec.PeerConnection{
			SourceUUID: source, SourceName: name, PeerUUID: uuid.UUID{15: 1},
			DescriptionType: codec.Answer, Description: description, Error: reason,
		})
		o.checkAppend(t, codec.Registration{Name: name, UUID: source})
		o.checkAppend(t, codec.Response{Success: len(id) > 0, Message: reason, Error: len(id) == 0})
	})
}
