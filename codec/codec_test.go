package codec_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

var (
	alice = uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000001")
	bob   = uuid.MustParse("bbbbbbbb-0000-4000-8000-000000000002")
)

func peerConnection() codec.PeerConnection {
	return codec.PeerConnection{
		SourceUUID: alice, SourceName: "alice", PeerUUID: bob,
		DescriptionType: codec.Offer, Description: "hello",
	}
}

// readLines calls f with each line of a file of testdata, decoded into a new T.
func readLines[T any](t testing.TB, name string, f func(T)) {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var line T
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		f(line)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// golden calls f with the messages of testdata/golden.jsonl and the frames that
// ProxyStore's own encoder, run by testdata/make.py, made of them.
func golden(t testing.TB, f func(m codec.RelayMessage, frame string)) {
	t.Helper()
	readLines(t, "golden.jsonl", func(line [3]string) {
		name, text, frame := line[0], line[1], line[2]
		switch name {
		case "registration":
			f(codec.Registration{Name: text, UUID: alice}, frame)
		case "response":
			f(codec.Response{Success: true, Message: text}, frame)
		case "refusal":
			f(codec.Response{Message: "error " + text, Error: true}, frame)
		case "offer":
			m := peerConnection()
			m.SourceName, m.Description = text, text
			f(m, frame)
		case "answer":
			m := peerConnection()
			m.SourceName, m.DescriptionType, m.Description, m.Error = "a", codec.Answer, "", "error "+text
			f(m, frame)
		default:
			t.Fatalf("a line for %q", name)
		}
	})
}

func TestFramesAreByteForByteThoseOfPython(t *testing.T) {
	golden(t, func(m codec.RelayMessage, frame string) {
		got, err := m.Append(nil)
		if err != nil || string(got) != frame {
			t.Errorf("got  %s, %v\nwant %s", got, err, frame)
		}
	})
}

func TestFramesOfPythonDecode(t *testing.T) {
	golden(t, func(want codec.RelayMessage, frame string) {
		got, err := codec.Decode([]byte(frame))
		if err != nil || got != want {
			t.Errorf("got  %#v, %v\nwant %#v\nfrom %s", got, err, want, frame)
		}
	})
}

func TestAppendKeepsWhatIsInTheBuffer(t *testing.T) {
	for _, m := range []codec.RelayMessage{codec.Registration{}, codec.Response{}, peerConnection()} {
		alone, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.Append([]byte("before")); err != nil || string(got) != "before"+string(alone) {
			t.Errorf("got %s, %v", got, err)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	peer := func(change func(*codec.PeerConnection)) codec.RelayMessage {
		m := peerConnection()
		change(&m)
		return m
	}
	tests := []struct {
		name, field string
		message     codec.RelayMessage
		err         error
	}{
		{"half a rune in a name", "name", codec.Registration{Name: "caf\xc3"}, codec.ErrInvalidUTF8},
		{"Latin-1 in a message", "message", codec.Response{Message: "caf\xe9"}, codec.ErrInvalidUTF8},
		{"half a surrogate pair", "source_name", peer(func(m *codec.PeerConnection) { m.SourceName = "\xed\xa0\x80" }), codec.ErrInvalidUTF8},
		{"an overlong slash", "description", peer(func(m *codec.PeerConnection) { m.Description = "\xc0\xaf" }), codec.ErrInvalidUTF8},
		{"a rune beyond the last", "error", peer(func(m *codec.PeerConnection) { m.Error = "\xf4\x90\x80\x80" }), codec.ErrInvalidUTF8},
		{"no description type", "description_type", peer(func(m *codec.PeerConnection) { m.DescriptionType = "" }), codec.ErrDescriptionType},
		{"another description type", "description_type", peer(func(m *codec.PeerConnection) { m.DescriptionType = "Offer" }), codec.ErrDescriptionType},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.message.Append([]byte("before"))
			var detail *codec.EncodeError
			if !errors.As(err, &detail) || detail.Field != test.field || !errors.Is(err, test.err) {
				t.Errorf("got %v; want %v in %s", err, test.err, test.field)
			}
			if string(got) != "before" {
				t.Errorf("the buffer is %q afterwards", got)
			}
		})
	}
}

func TestUndelivered(t *testing.T) {
	m := peerConnection()
	if m.Undelivered() {
		t.Error("a message without an error counts as undelivered")
	}
	m.Error = "unknown peer"
	if !m.Undelivered() {
		t.Error("a message with an error counts as delivered")
	}
}

func TestAllocations(t *testing.T) {
	m := peerConnection()
	m.Description = sdp(1 << 10)
	m.SourceName = "Zoë"
	escaped, _ := m.Append(nil)
	m.Description = plain(1 << 10)
	m.Error = "unknown peer"
	unescaped, _ := m.Append(nil)
	envelope, err := codec.DecodeEnvelope(escaped)
	if err != nil {
		t.Fatal(err)
	}
	registration := codec.Registration{Name: "Zoë", UUID: alice}
	response := codec.Response{Message: "ForbiddenError", Error: true}
	exact := make([]byte, len(unescaped)) // no byte more than the frame needs
	large := make([]byte, 8<<10)

	tests := []struct {
		name string
		want float64
		run  func()
	}{
		{"a peer connection is appended", 0, func() { _, _ = m.Append(exact[:0]) }},
		{"a registration is appended", 0, func() { _, _ = registration.Append(large[:0]) }},
		{"a response is appended", 0, func() { _, _ = response.Append(large[:0]) }},
		{"escaped text is decoded", 1, func() { _, _ = codec.DecodePeerConnection(escaped) }},
		{"plain text is decoded", 1, func() { _, _ = codec.DecodePeerConnection(unescaped) }},
		{"an envelope is decoded", 0, func() { _, _ = codec.DecodeEnvelope(escaped) }},
		{"an envelope is appended", 0, func() { envelope.Append(large[:0]) }},
		{"an envelope is bounced", 0, func() { envelope.AppendBounce(large[:0], "unknown peer") }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := testing.AllocsPerRun(100, test.run); got != test.want {
				t.Errorf("%v allocations, want %v", got, test.want)
			}
		})
	}
}

// The room for a text is counted before it is made, and each character by its length.
func TestTheFirstAndTheLastCharacterOfEachLengthAreCounted(t *testing.T) {
	for _, r := range "\x7f\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff" {
		m := peerConnection()
		m.Description = strings.Repeat(string(r), 300)
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := codec.DecodePeerConnection(frame); err != nil || got != m {
			t.Errorf("%U: got %+v, %v", r, got, err)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = codec.DecodePeerConnection(frame) }); n != 1 {
			t.Errorf("%U: %v allocations", r, n)
		}
	}
}

func TestDecodedStringsDoNotChangeWithTheFrame(t *testing.T) {
	frame, _ := peerConnection().Append(nil)
	m, err := codec.DecodePeerConnection(frame)
	if err != nil {
		t.Fatal(err)
	}
	copy(frame, bytes.Repeat([]byte("x"), len(frame)))
	if m != peerConnection() {
		t.Errorf("got %#v", m)
	}
}
