package codec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// addFrames seeds a fuzz target with frames of the real wire and with odd ones.
func addFrames(f *testing.F) {
	n := 0
	golden(f, func(_ codec.RelayMessage, frame string) {
		if n++; n%20 == 0 {
			f.Add([]byte(frame))
		}
	})
	for _, frame := range []string{
		peerFrame, registrationFrame, responseFrame,
		`{"message_type":"relay_response"}`,
		strings.ReplaceAll(strings.ReplaceAll(peerFrame, " ", ""), "-", ""),
		edit(f, peerFrame, `"error"`, `"error": [1, -2.5e-7, {"x": {}}, NaN, -Infinity], "err\u006fr"`),
		edit(f, peerFrame, `hello`, `\ud83d\ude00\ud83d\\r\\n\"`),
		edit(f, peerFrame, `"offer"`, `7`),
		edit(f, peerFrame, `"bbbbbbbb`, `"urn:uuid:{BBBB_BBB-`),
		edit(f, peerFrame, `hello`, "\xff"),
	} {
		f.Add([]byte(frame))
	}
}

// notJSON are the words for values that Python takes and the standard does not know.
var notJSON = regexp.MustCompile(`-?Infinity|NaN`)

// FuzzT38_CodecDecode holds Decode against encoding/json. Left out, because the two
// differ by design: the words in notJSON, the limits on nesting and digits, and
// UUIDs that are not spelled canonically, for which the oracle is the table of TestUUIDs….
func FuzzT38_CodecDecode(f *testing.F) {
	addFrames(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := bytes.Clone(frame)
		got, err := codec.Decode(frame)
		if !bytes.Equal(before, frame) {
			t.Fatal("the frame was changed")
		}
		var detail *codec.DecodeError
		if err != nil && (!errors.As(err, &detail) || detail.Offset < 0 || detail.Offset > len(frame)) {
			t.Fatalf("%#v", err)
		}
		if utf8.Valid(frame) == errors.Is(err, codec.ErrInvalidUTF8) {
			t.Fatalf("UTF-8: %v", err)
		}
		if err != nil && (errors.Is(err, codec.ErrInvalidUTF8) || limits.MatchString(err.Error())) {
			return
		}
		if !json.Valid(notJSON.ReplaceAll(frame, []byte("null"))) {
			if err == nil || !errors.Is(err, codec.ErrSyntax) {
				t.Fatalf("accepted what is not JSON: %#v, %v", got, err)
			}
			return
		}
		if !json.Valid(frame) {
			return
		}
		want, ok, certain := oracle(frame)
		if certain && ok != (err == nil) || !ok && err == nil {
			t.Fatalf("got %#v, %v; encoding/json has %#v, %v", got, err, want, ok)
		}
		if err == nil && certain && got != want {
			t.Fatalf("got  %#v\nwant %#v", got, want)
		}
	})
}

var limits = regexp.MustCompile(`nested deeper|an integer of more than`)

// keysOf lists the keys of each message besides message_type, the optional ones in brackets.
var keysOf = map[string]string{
	"relay_registration": "name uuid",
	"relay_response":     "[success] [message] [error]",
	"peer_connection":    "source_uuid source_name peer_uuid description_type description [error]",
}

// oracle decodes a frame by way of encoding/json. It is not certain of UUIDs
// in unusual spelling, nor of flags that are no booleans.
func oracle(frame []byte) (m codec.RelayMessage, ok, certain bool) {
	var values map[string]json.RawMessage
	var name string
	if json.Unmarshal(frame, &values) != nil || json.Unmarshal(values["message_type"], &name) != nil {
		return nil, false, true
	}
	keys := keysOf[name]
	if keys == "" {
		return nil, false, true
	}
	certain = true
	text := map[string]string{}
	flags := map[string]bool{"success": true}
	ids := map[string]uuid.UUID{}
	delete(values, "message_type")
	for _, key := range strings.Fields(keys) {
		optional := key[0] == '['
		key = strings.Trim(key, "[]")
		raw, present := values[key]
		if !present && !optional {
			return nil, false, true
		}
		delete(values, key)
		if !present {
			continue
		}
		var s string
		if json.Unmarshal(raw, &s) != nil {
			s = string(raw)
		}
		text[key] = s
		flags[key] = string(raw) == "true"
		switch {
		case name == "relay_response" && key != "message" && string(raw) != "true" && string(raw) != "false" && string(raw) != "null":
			certain = false
		case strings.HasSuffix(key, "uuid") && raw[0] != '"':
			return nil, false, true
		case strings.HasSuffix(key, "uuid"):
			id, err := uuid.Parse(s)
			if err != nil || len(s) != 36 {
				certain = false
			}
			ids[key] = id
		}
	}
	if len(values) > 0 {
		return nil, false, true
	}
	switch name {
	case "relay_registration":
		m = codec.Registration{Name: text["name"], UUID: ids["uuid"]}
	case "relay_response":
		m = codec.Response{Success: flags["success"], Message: text["message"], Error: flags["error"]}
	default:
		m = codec.PeerConnection{
			SourceUUID: ids["source_uuid"], SourceName: text["source_name"], PeerUUID: ids["peer_uuid"],
			DescriptionType: codec.DescriptionType(text["description_type"]), Description: text["description"], Error: text["error"],
		}
	}
	return m, true, certain
}

func FuzzT38_CodecAppend(f *testing.F) {
	golden(f, func(m codec.RelayMessage, _ string) {
		if m, ok := m.(codec.PeerConnection); ok {
			f.Add(m.SourceName, m.Description, m.Error, m.DescriptionType == codec.Answer)
		}
	})
	f.Add("\xff", "\xed\xa0\x80", "\U0010ffff", true)
	f.Fuzz(func(t *testing.T, name, description, reason string, answer bool) {
		m := codec.PeerConnection{
			SourceUUID: alice, SourceName: name, PeerUUID: bob,
			DescriptionType: codec.Offer, Description: description, Error: reason,
		}
		if answer {
			m.DescriptionType = codec.Answer
		}
		frame, err := m.Append(nil)
		if valid := utf8.ValidString(name) && utf8.ValidString(description) && utf8.ValidString(reason); valid != (err == nil) {
			t.Fatalf("valid is %v, the error %v", valid, err)
		}
		if err != nil {
			return
		}
		for i, c := range frame {
			if c < ' ' || c > '~' {
				t.Fatalf("byte %d is %#x", i, c)
			}
		}
		if got, ok, certain := oracle(frame); !ok || !certain || got != m {
			t.Fatalf("encoding/json reads %#v\nout of %#v", got, m)
		}
		if got, err := codec.DecodePeerConnection(frame); err != nil || got != m {
			t.Fatalf("got  %#v, %v\nwant %#v", got, err, m)
		}
	})
}

func FuzzT38_CodecEnvelope(f *testing.F) {
	addFrames(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := codec.Decode(frame)
		e, errEnvelope := codec.DecodeEnvelope(frame)
		want, ok := m.(codec.PeerConnection)
		if err == nil && !ok {
			if !errors.Is(errEnvelope, codec.ErrUnexpectedType) {
				t.Fatalf("%T: %v", m, errEnvelope)
			}
			return
		}
		if (err == nil) != (errEnvelope == nil) || err != nil && err.Error() != errEnvelope.Error() {
			t.Fatalf("Decode says %v, DecodeEnvelope %v", err, errEnvelope)
		}
		if err != nil {
			return
		}
		if e.SourceUUID != want.SourceUUID || e.PeerUUID != want.PeerUUID {
			t.Fatalf("%v to %v, want %v to %v", e.SourceUUID, e.PeerUUID, want.SourceUUID, want.PeerUUID)
		}

		again := e.Append(nil)
		if got, err := codec.DecodePeerConnection(again); err != nil || got != want {
			t.Fatalf("got  %#v, %v\nwant %#v", got, err, want)
		}
		if len(again) > len(frame)+34 {
			t.Fatalf("grown by %d bytes", len(again)-len(frame))
		}
		if e, _ := codec.DecodeEnvelope(again); !e.Verbatim() {
			t.Fatalf("not to be handed on verbatim after it was put in order: %s", again)
		}
		if e.Verbatim() {
			checkVerbatim(t, frame, want)
		}

		want.Error = "no \"é\""
		if got, err := codec.DecodePeerConnection(e.AppendBounce(nil, want.Error)); err != nil || got != want {
			t.Fatalf("got  %#v, %v\nwant %#v", got, err, want)
		}
	})
}

// checkVerbatim makes sure that a decoder for which the first of two equal keys
// counts finds the same UUIDs, and finds them in canonical form.
func checkVerbatim(t *testing.T, frame []byte, m codec.PeerConnection) {
	d := json.NewDecoder(bytes.NewReader(notJSON.ReplaceAll(frame, []byte("null"))))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]json.RawMessage{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		name := key.(string)
		if _, twice := seen[name]; twice {
			t.Fatalf("%q stands twice", name)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
		seen[name] = value
	}
	if got := string(seen["source_uuid"]); got != `"`+m.SourceUUID.String()+`"` {
		t.Fatalf("source_uuid is %s", got)
	}
	if got := string(seen["peer_uuid"]); got != `"`+m.PeerUUID.String()+`"` {
		t.Fatalf("peer_uuid is %s", got)
	}
}
