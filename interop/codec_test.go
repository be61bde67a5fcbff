package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// An oracle is the real decoder and encoder.
type oracle struct{ *driver }

// decode gives the fields that the real decoder sees, or its exception.
func (o oracle) decode(t testing.TB, frame []byte) (json.RawMessage, *pythonError) {
	t.Helper()
	answer, err := o.call(t.Context(), "decode", map[string]any{"frame": frame})
	exception, _ := errors.AsType[*pythonError](err)
	if err != nil && exception == nil {
		t.Fatal(err)
	}
	return answer.Message, exception
}

func (o oracle) encode(t testing.TB, m codec.RelayMessage) string {
	t.Helper()
	answer, err := o.call(t.Context(), "encode", map[string]any{"message": fieldsOf(m)})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Text
}

// There is no frame that ours is meant to judge in another way.
func TestT38_CodecDecodesWhatTheRealDecoderDoes(t *testing.T) {
	t.Parallel()
	o := oracle{startDriver(t, "oracle", "oracle")}
	accepted := 0
	frames := differentialFrames(rand.New(rand.NewPCG(1, 2)))
	for _, frame := range frames {
		if _, err := codec.Decode(frame); err == nil {
			accepted++
		}
		o.checkDecode(t, frame)
	}
	t.Logf("%d frames, of which %d were accepted", len(frames), accepted)
	if len(frames) < 5000 || accepted < len(frames)/10 || accepted > len(frames)*9/10 {
		t.Errorf("%d of %d frames accepted: that tests one side only", accepted, len(frames))
	}
}

// checkDecode has a frame decoded by both.
func (o oracle) checkDecode(t testing.TB, frame []byte) {
	t.Helper()
	fields, exception := o.decode(t, frame)
	message, err := codec.Decode(frame)
	if (exception == nil) != (err == nil) || exception != nil &&
		(exception.Class == "UnicodeDecodeError") != errors.Is(err, codec.ErrInvalidUTF8) {
		t.Errorf("%.300q\n  the real decoder: %v\n  ours: %v", frame, exception, err)
	} else if err == nil {
		if difference := o.compare(t, fields, message); difference != "" {
			t.Errorf("%.300q: %s", frame, difference)
		}
	}
}

// compare says in what a decoded message differs from the fields that the real
// decoder saw; "" is: in nothing.
func (o oracle) compare(t testing.TB, fields json.RawMessage, m codec.RelayMessage) string {
	t.Helper()
	var real map[string]any
	if err := json.Unmarshal(fields, &real); err != nil {
		t.Fatal(err)
	}
	if len(real) != len(fieldsOf(m)) {
		return fmt.Sprintf("the real decoder sees %s, ours %T", fields, m)
	}
	for key, ours := range fieldsOf(m) {
		if !o.same(t, real[key], ours) {
			return fmt.Sprintf("%s is %q for the real decoder, and %q for ours", key, real[key], ours)
		}
	}
	return ""
}

// same compares a value of the real decoder, as python/peer.py describes it,
// with ours: a flag counts for what Python takes for true, null for "", and an
// odd value for its JSON text.
func (o oracle) same(t testing.TB, real, ours any) bool {
	t.Helper()
	odd, isOdd := real.(map[string]any)
	if flag, ok := ours.(bool); ok {
		return flag == (real != nil && real != "" && (!isOdd || odd["true"] == true))
	}
	text, _ := ours.(string) // else null
	if !isOdd {
		return real == text || real == nil && text == ""
	}
	answer, err := o.call(t.Context(), "value", map[string]any{"json_text": text})
	return err == nil && answer.Text == odd["python"]
}

func TestT38_CodecEncodesByteForByteAsTheRealEncoder(t *testing.T) {
	t.Parallel()
	o := oracle{startDriver(t, "oracle", "oracle")}
	random := rand.New(rand.NewPCG(3, 4))
	text := func() string {
		var s strings.Builder
		for range random.IntN(12) {
			s.WriteRune(oddRunes[random.IntN(len(oddRunes))])
		}
		return s.String()
	}
	for range 1500 {
		for _, m := range []codec.RelayMessage{
			codec.Registration{Name: text(), UUID: uuid.New()},
			codec.Response{Success: random.IntN(2) == 0, Message: text(), Error: random.IntN(2) == 0},
			codec.PeerConnection{
				SourceUUID: uuid.New(), SourceName: text(), PeerUUID: uuid.New(),
				DescriptionType: codec.Offer, Description: text(), Error: text(),
			},
		} {
			o.checkAppend(t, m)
		}
	}
}

// checkAppend has a message encoded by both, and decoded by the real decoder.
func (o oracle) checkAppend(t testing.TB, m codec.RelayMessage) {
	t.Helper()
	frame, err := m.Append(nil)
	if err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	if want := o.encode(t, m); string(frame) != want {
		t.Fatalf("encoded as\n%s, by the real encoder as\n%s", frame, want)
	}
	fields, exception := o.decode(t, frame)
	if exception != nil {
		t.Fatalf("%s: the real decoder: %v", frame, exception)
	}
	if difference := o.compare(t, fields, m); difference != "" {
		t.Fatalf("%s: %s", frame, difference)
	}
}

// What our relay passes on must mean to the real client what it would have
// meant to it without the relay.
func TestT38_CodecPassesAnEnvelopeOnWithoutAChangeOfMeaning(t *testing.T) {
	t.Parallel()
	o := oracle{startDriver(t, "oracle", "oracle")}
	verbatim, rewritten := 0, 0
	for _, frame := range differentialFrames(rand.New(rand.NewPCG(5, 6))) {
		envelope, ok := o.checkEnvelope(t, frame)
		switch {
		case !ok:
		case envelope.Verbatim():
			verbatim++
		default:
			rewritten++
		}
	}
	if t.Logf("%d passed on verbatim, %d rewritten", verbatim, rewritten); verbatim < 100 || rewritten < 100 {
		t.Error("too few of one kind")
	}
}

// checkEnvelope has a frame passed on and given back, and the real decoder say
// whether it still means the same; ok is whether it is such a frame at all.
func (o oracle) checkEnvelope(t testing.TB, frame []byte) (_ codec.Envelope, ok bool) {
	t.Helper()
	envelope, err := codec.DecodeEnvelope(frame)
	if err != nil {
		if _, err := codec.DecodePeerConnection(frame); err == nil {
			t.Errorf("%.300q: refused as an envelope only", frame)
		}
		return envelope, false
	}
	want, exception := o.decode(t, frame)
	if exception != nil {
		t.Errorf("%.300q: accepted as an envelope, the real decoder says %v", frame, exception)
		return envelope, false
	}
	passedOn := frame
	if !envelope.Verbatim() {
		passedOn = envelope.Append(nil)
	}
	if got, exception := o.decode(t, passedOn); exception != nil || !bytes.Equal(got, want) {
		t.Errorf("%.300q is passed on as %.300q, which means\n%.300s (%v), not\n%.300s", frame, passedOn, got, exception, want)
	}
	bounced := envelope.AppendBounce(nil, `no "such" peer`)
	got, exception := o.decode(t, bounced)
	if exception != nil || !bytes.Equal(got, withError(t, want, `no "such" peer`)) {
		t.Errorf("%.300q bounces as %.300q, which means\n%.300s (%v)", frame, bounced, got, exception)
	}
	return envelope, true
}

// withError returns the oracle's fields with another error; the oracle gives
// them in the order of the dataclass, where error is the one before the last.
func withError(t testing.TB, fields json.RawMessage, reason string) []byte {
	t.Helper()
	quoted, err := json.Marshal(reason)
	if err != nil {
		t.Fatal(err)
	}
	const before, after = `, "error": `, `, "message_type": "peer_connection"}`
	head := fields[:bytes.LastIndex(fields, []byte(before))]
	return append(append(append(bytes.Clone(head), before...), quoted...), after...)
}
