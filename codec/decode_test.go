package codec_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed73300619/relay/codec"
)

const (
	peerFrame = `{"source_uuid": "aaaaaaaa-0000-4000-8000-000000000001", "source_name": "alice", ` +
		`"peer_uuid": "bbbbbbbb-0000-4000-8000-000000000002", "description_type": "offer", ` +
		`"description": "hello", "error": null, "message_type": "peer_connection"}`
	registrationFrame = `{"name": "alice", "uuid": "aaaaaaaa-0000-4000-8000-000000000001", "message_type": "relay_registration"}`
	responseFrame     = `{"success": true, "message": null, "error": false, "message_type": "relay_response"}`
)

// edit returns the frame with one text in it replaced, and fails when that is not there.
func edit(t testing.TB, frame, from, to string) string {
	t.Helper()
	if !strings.Contains(frame, from) {
		t.Fatalf("no %s in %s", from, frame)
	}
	return strings.Replace(frame, from, to, 1)
}

// refusals are frames that Decode refuses.
var refusals = []struct {
	name     string
	frame    string // "" stands for peerFrame with from replaced by to
	from, to string
	at       string // the error's Offset is where this starts in the frame, "$" its end
	field    string
	err      error
}{
	{name: "white space only", frame: " \n", at: "$", err: codec.ErrSyntax},
	{name: "a word", frame: "hello", at: "hello", err: codec.ErrSyntax},
	{name: "a frame cut short", from: `n"}`, to: `n"`, at: "$", err: codec.ErrSyntax},
	{name: "a string cut short", from: `n"}`, to: `n`, at: `"peer_connection`, err: codec.ErrSyntax},
	{name: "trailing data", from: `n"}`, to: `n"} x`, at: "x", err: codec.ErrSyntax},
	{name: "two objects", from: `n"}`, to: `n"}{}`, at: "{}", err: codec.ErrSyntax},
	{name: "a byte order mark", from: `{`, to: "\ufeff{", at: "\ufeff", err: codec.ErrSyntax},
	{name: "a comma at the end", from: `n"}`, to: `n",}`, at: "}", err: codec.ErrSyntax},
	{name: "a comma at the start", from: `{`, to: `{,`, at: ",", err: codec.ErrSyntax},
	{name: "no comma", from: `", "peer`, to: `" "peer`, at: `"peer_uuid`, err: codec.ErrSyntax},
	{name: "no colon", from: `"error": `, to: `"error" `, at: "null", err: codec.ErrSyntax},
	{name: "no value", from: `null`, to: ``, at: `, "message_type`, err: codec.ErrSyntax},
	{name: "a key without quotes", from: `"error"`, to: `error`, at: "error", err: codec.ErrSyntax},
	{name: "a key in single quotes", from: `"error"`, to: `'error'`, at: "'error", err: codec.ErrSyntax},
	{name: "a comment", from: `"error"`, to: `/**/"error"`, at: "/**/", err: codec.ErrSyntax},
	{name: "a raw line end in a string", from: `hello`, to: "hel\nlo", at: "\n", err: codec.ErrSyntax},
	{name: "a raw NUL in a string", from: `hello`, to: "hel\x00lo", at: "\x00", err: codec.ErrSyntax},
	{name: "a raw tab in a key", from: `"error"`, to: "\"err\tor\"", at: "\t", err: codec.ErrSyntax},
	{name: "an escape that JSON does not have", from: `hello`, to: `hel\xlo`, at: `\x`, err: codec.ErrSyntax},
	{name: "an escape with a capital U", from: `hello`, to: `\U0041`, at: `\U`, err: codec.ErrSyntax},
	{name: "an escape of three digits", from: `hello`, to: `\u123"`, at: `\u`, err: codec.ErrSyntax},
	{name: "an escape with a sign", from: `hello`, to: `\u+123`, at: `\u`, err: codec.ErrSyntax},
	{name: "a pair whose second half is broken", from: `hello`, to: `\ud83d\ud8g0`, at: `\ud8g`, err: codec.ErrSyntax},
	{name: "a form feed as white space", from: ` "error"`, to: "\f\"error\"", at: "\f", err: codec.ErrSyntax},
	{name: "a no-break space as white space", from: ` "error"`, to: "\u00a0\"error\"", at: "\u00a0", err: codec.ErrSyntax},
	{name: "a word in capitals", from: `null`, to: `NULL`, at: "NULL", err: codec.ErrSyntax},
	{name: "a word cut short", from: `null`, to: `nul`, at: "nul", err: codec.ErrSyntax},
	{name: "a word with a tail", from: `null`, to: `nullx`, at: "x", err: codec.ErrSyntax},
	{name: "+1", from: `null`, to: `+1`, at: "+1", err: codec.ErrSyntax},
	{name: "01", from: `null`, to: `01`, at: "1,", err: codec.ErrSyntax},
	{name: ".5", from: `null`, to: `.5`, at: ".5", err: codec.ErrSyntax},
	{name: "1.", from: `null`, to: `1.`, at: ".,", err: codec.ErrSyntax},
	{name: "1e+", from: `null`, to: `1e+`, at: "e+", err: codec.ErrSyntax},
	{name: "a minus alone", from: `null`, to: `-,`, at: ",,", err: codec.ErrSyntax},
	{name: "-NaN", from: `null`, to: `-NaN`, at: "NaN", err: codec.ErrSyntax},
	{name: "-Inf", from: `null`, to: `-Inf`, at: "-Inf", err: codec.ErrSyntax},
	{name: "an array cut short", from: `null`, to: `[1 2]`, at: "2]", err: codec.ErrSyntax},
	{name: "an array closed by a brace", from: `null`, to: `[1}`, at: "}", err: codec.ErrSyntax},
	{name: "an inner object with a bad key", from: `null`, to: `{1: 2}`, at: "1: 2", err: codec.ErrSyntax},
	{name: "an integer of 4301 digits", from: `null`, to: "-" + strings.Repeat("1", 4301), at: "-11", err: codec.ErrSyntax},
	{name: "arrays nested 951 deep", from: `null`, to: strings.Repeat("[", 951) + strings.Repeat("]", 951), at: "[]", err: codec.ErrSyntax},
	{name: "a million open brackets", from: `null`, to: strings.Repeat("[", 1e6), err: codec.ErrSyntax},
	{name: "a million open objects", from: `null`, to: strings.Repeat(`{"":`, 1e6), err: codec.ErrSyntax},

	{name: "invalid UTF-8 in a string", from: `hello`, to: "hel\xfflo", at: "\xff", err: codec.ErrInvalidUTF8},
	{name: "invalid UTF-8 in the midst of other errors", frame: "{\xc3(", at: "\xc3", err: codec.ErrInvalidUTF8},
	{name: "half a surrogate pair in UTF-8", from: `hello`, to: "\xed\xa0\x80", at: "\xed", err: codec.ErrInvalidUTF8},
	{name: "a rune cut short by the end", frame: "\xe6\xbc", at: "\xe6", err: codec.ErrInvalidUTF8},

	{name: "an array", frame: ` [` + peerFrame + `]`, at: "[", err: codec.ErrNotObject},
	{name: "a string", frame: `"peer_connection"`, at: `"`, err: codec.ErrNotObject},
	{name: "null", frame: `null`, at: `null`, err: codec.ErrNotObject},
	{name: "a number", frame: `12`, at: `12`, err: codec.ErrNotObject},
	{name: "a broken array", frame: `[`, at: `$`, err: codec.ErrSyntax},

	{name: "no message type", frame: ` {"name": "x"}`, at: "{", field: "message_type", err: codec.ErrMissingField},
	{name: "an empty object", frame: `{}`, at: "{", field: "message_type", err: codec.ErrMissingField},
	{name: "the name of a class", from: `peer_connection`, to: `PeerConnectionRequest`, at: `"PeerC`, field: "message_type", err: codec.ErrUnknownType},
	{name: "a type in capitals", from: `peer_connection`, to: `Peer_connection`, at: `"Peer_c`, field: "message_type", err: codec.ErrUnknownType},
	{name: "a number as the type", from: `"peer_connection"`, to: `17`, at: "17", field: "message_type", err: codec.ErrUnknownType},
	{name: "an array as the type", from: `"peer_connection"`, to: `[8]`, at: "[8]", field: "message_type", err: codec.ErrUnknownType},
	{name: "null as the type", from: `"peer_connection"`, to: `null`, at: "null}", field: "message_type", err: codec.ErrUnknownType},

	{name: "an unknown key", from: `"error"`, to: `"x": 1, "error"`, at: `"x"`, field: "x", err: codec.ErrUnknownField},
	{name: "two unknown keys", from: `"error"`, to: `"x": 1, "y": 2, "error"`, at: `"x"`, field: "x", err: codec.ErrUnknownField},
	{name: "a key in capitals", from: `"error"`, to: `"Error"`, at: `"Error"`, field: "Error", err: codec.ErrUnknownField},
	{name: "an empty key", from: `"error"`, to: `""`, at: `""`, field: "", err: codec.ErrUnknownField},
	{name: "an endless key", from: `"error"`, to: `"` + strings.Repeat("é", 5000) + `"`, at: `"éé`, field: strings.Repeat("é", 20) + "…", err: codec.ErrUnknownField},
	{name: "a key of another message", from: `"error"`, to: `"name"`, at: `"name"`, field: "name", err: codec.ErrUnknownField},
	{name: "a name in a response", frame: strings.Replace(responseFrame, `"success"`, `"name"`, 1), at: `"name"`, field: "name", err: codec.ErrUnknownField},
	{name: "an error in a registration", frame: strings.Replace(registrationFrame, `{`, `{"error": null, `, 1), at: `"error"`, field: "error", err: codec.ErrUnknownField},

	{name: "no source UUID", from: `"source_uuid"`, to: `"peer_uuid"`, at: "{", field: "source_uuid", err: codec.ErrMissingField},
	{name: "no peer UUID", from: `"peer_uuid"`, to: `"source_uuid"`, at: "{", field: "peer_uuid", err: codec.ErrMissingField},
	{name: "no source name", from: `"source_name"`, to: `"error"`, at: "{", field: "source_name", err: codec.ErrMissingField},
	{name: "no description type", from: `"description_type"`, to: `"error"`, at: "{", field: "description_type", err: codec.ErrMissingField},
	{name: "no description", from: `"description"`, to: `"error"`, at: "{", field: "description", err: codec.ErrMissingField},
	{name: "a registration without a name", frame: strings.Replace(registrationFrame, `"name": "alice", `, ``, 1), at: "{", field: "name", err: codec.ErrMissingField},
	{name: "a registration without a UUID", frame: strings.Replace(registrationFrame, `"uuid"`, `"name"`, 1), at: "{", field: "uuid", err: codec.ErrMissingField},

	{name: "an empty UUID", from: `"bbbbbbbb-0000-4000-8000-000000000002"`, to: `""`, at: `""`, field: "peer_uuid", err: codec.ErrUUID},
	{name: "null as a UUID", from: `"bbbbbbbb-0000-4000-8000-000000000002"`, to: `null`, at: `null`, field: "peer_uuid", err: codec.ErrUUID},
	{name: "a number of 32 digits as a UUID", from: `"bbbbbbbb-0000-4000-8000-000000000002"`, to: strings.Repeat("7", 32), at: "77", field: "peer_uuid", err: codec.ErrUUID},
	{name: "an array as a UUID", from: `"aaaaaaaa-0000-4000-8000-000000000001"`, to: `[]`, at: `[]`, field: "source_uuid", err: codec.ErrUUID},
	{name: "a UUID that is no hexadecimal number", from: `"bbb`, to: `"bbx`, at: `"bbx`, field: "peer_uuid", err: codec.ErrUUID},
	{name: "a bad UUID after a good one", from: `"error"`, to: `"peer_uuid": 0, "error"`, at: `0, "error`, field: "peer_uuid", err: codec.ErrUUID},
	{name: "a registration with a bad UUID", frame: strings.Replace(registrationFrame, `"aaa`, `"a a`, 1), at: `"a a`, field: "uuid", err: codec.ErrUUID},
}

func TestDecodeRefuses(t *testing.T) {
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			frame := test.frame
			if frame == "" {
				frame = edit(t, peerFrame, test.from, test.to)
			}
			m, err := codec.Decode([]byte(frame))
			var detail *codec.DecodeError
			if !errors.As(err, &detail) || !errors.Is(err, test.err) {
				t.Fatalf("got %T, %v; want %v", m, err, test.err)
			}
			offset := strings.Index(frame, test.at)
			if test.at == "$" {
				offset = len(frame)
			}
			if test.at != "" && detail.Offset != offset || detail.Field != test.field {
				t.Errorf("field %q, offset %d; want %q, %d", detail.Field, detail.Offset, test.field, offset)
			}
			if text := err.Error(); len(text) > 200 || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\t\n") {
				t.Errorf("the message is %q", text)
			}
			for what, decode := range map[string]func([]byte) error{
				"DecodePeerConnection": func(frame []byte) error { _, err := codec.DecodePeerConnection(frame); return err },
				"DecodeEnvelope":       func(frame []byte) error { _, err := codec.DecodeEnvelope(frame); return err },
			} {
				if got := decode([]byte(frame)); got == nil || got.Error() != err.Error() {
					t.Errorf("%s: %v; want %v", what, got, err)
				}
			}
		})
	}
}

func TestDecodeErrorsReadWell(t *testing.T) {
	tests := []struct{ frame, want string }{
		{``, `codec: invalid JSON: the frame ends where a value should be (byte 0)`},
		{`{"a": x}`, `codec: invalid JSON: 'x' where a value should be (byte 6)`},
		{"{\"a\": \"\n\"}", `codec: invalid JSON: a raw control character '\n' in a string (byte 7)`},
		{`[1, 2]`, `codec: not a JSON object (byte 0)`},
		{edit(t, peerFrame, "peer_connection", "ping"), `codec: unknown message type: "ping" (field "message_type", byte 217)`},
		{edit(t, peerFrame, "bbbbbbbb", "\u200e"), `codec: invalid UUID: "\u200e-0000-4000-8000-000000000002" (field "peer_uuid", byte 93)`},
		{edit(t, peerFrame, "error", "err"), `codec: unknown field (field "err", byte 186)`},
		{edit(t, peerFrame, `"error"`, `"description": 5, "error"`) + "secret", `codec: invalid JSON: 's' where the end of the frame should be (byte 253)`},
	}
	for _, test := range tests {
		if _, err := codec.Decode([]byte(test.frame)); err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
}

func TestDecodeTolerates(t *testing.T) {
	deep := strings.Repeat("[", 950) + strings.Repeat("]", 950)
	long := strings.Repeat("1", 4300)
	tests := []struct {
		name, from, to string
		change         func(*codec.PeerConnection)
	}{
		{"no error", `"error": null, `, ``, func(*codec.PeerConnection) {}},
		{"white space of all sorts", `{`, "\r\n\t {\r\n\t ", func(*codec.PeerConnection) {}},
		{"no white space", `"error": null, "m`, `"error":null,"m`, func(*codec.PeerConnection) {}},
		{"a key with escapes", `error": null`, `\u0065rr\u006Fr": "x"`, func(m *codec.PeerConnection) { m.Error = "x" }},
		{"a type with escapes", `peer_c`, `peer\u005fc`, func(*codec.PeerConnection) {}},
		{"a UUID with escapes", `bbbb`, `\u0062bb\u0062`, func(*codec.PeerConnection) {}},
		{"a UUID in capitals", `bbbbbbbb`, `BBBBBBBB`, func(*codec.PeerConnection) {}},
		{"a key twice, the last one counts", `"message_type"`, `"description": "x", "message_type"`, func(m *codec.PeerConnection) { m.Description = "x" }},
		{"a bad UUID before a good one", `{`, `{"peer_uuid": 5, `, func(*codec.PeerConnection) {}},
		{"a bad type before a good one", `{`, `{"message_type": 5, `, func(*codec.PeerConnection) {}},
		{"all escapes", `hello`, `\"\\\/\b\f\n\r\t\u00e9\u00E9\ud83d\uDE00`, func(m *codec.PeerConnection) { m.Description = "\"\\/\b\f\n\r\téé😀" }},
		{"backslashes in a row", `hello`, `\\\\\\n\\\"\\\\r\\n`, func(m *codec.PeerConnection) { m.Description = `\\\n\"\\r\n` }},
		{"a lone high surrogate", `hello`, `\ud83dx`, func(m *codec.PeerConnection) { m.Description = "\ufffdx" }},
		{"a lone low surrogate", `hello`, `\ude00\ud83d`, func(m *codec.PeerConnection) { m.Description = "\ufffd\ufffd" }},
		{"a high surrogate before a pair", `hello`, `\ud83d\ud83d\ude00`, func(m *codec.PeerConnection) { m.Description = "\ufffd😀" }},
		{"an escaped NUL", `hello`, `\u0000`, func(m *codec.PeerConnection) { m.Description = "\x00" }},
		{"raw UTF-8", `hello`, "é漢😀\x7f\u2028", func(m *codec.PeerConnection) { m.Description = "é漢😀\x7f\u2028" }},
		{"another description type", `"offer"`, `"candidate\n"`, func(m *codec.PeerConnection) { m.DescriptionType = "candidate\n" }},
		{"an offer with an escape", `"offer"`, `"\u006fffer"`, func(*codec.PeerConnection) {}},
		{"a number as the description type", `"offer"`, `7`, func(m *codec.PeerConnection) { m.DescriptionType = "7" }},
		{"a number as the name", `"alice"`, `-0.5e+7`, func(m *codec.PeerConnection) { m.SourceName = "-0.5e+7" }},
		{"null as the description", `"hello"`, `null`, func(m *codec.PeerConnection) { m.Description = "" }},
		{"a string null as the description", `"hello"`, `"null"`, func(m *codec.PeerConnection) { m.Description = "null" }},
		{"an object as the description", `"hello"`, `{ "a" : [1, "\u0062", {}], "a":[] }`, func(m *codec.PeerConnection) { m.Description = `{ "a" : [1, "\u0062", {}], "a":[] }` }},
		{"an empty error", `null`, `""`, func(*codec.PeerConnection) {}},
		{"false as the error", `null`, `false`, func(m *codec.PeerConnection) { m.Error = "false" }},
		{"NaN", `null`, `NaN`, func(m *codec.PeerConnection) { m.Error = "NaN" }},
		{"infinities", `null`, `[Infinity,-Infinity]`, func(m *codec.PeerConnection) { m.Error = "[Infinity,-Infinity]" }},
		{"a number out of range", `null`, `1e999`, func(m *codec.PeerConnection) { m.Error = "1e999" }},
		{"an integer of 4300 digits", `null`, "-" + long, func(m *codec.PeerConnection) { m.Error = "-" + long }},
		{"5000 digits with a fraction", `null`, long + long + ".0", func(m *codec.PeerConnection) { m.Error = long + long + ".0" }},
		{"950 levels", `null`, deep, func(m *codec.PeerConnection) { m.Error = deep }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := peerConnection()
			test.change(&want)
			frame := []byte(edit(t, peerFrame, test.from, test.to))
			if got, err := codec.Decode(frame); err != nil || got != want {
				t.Errorf("got  %#v, %v\nwant %#v", got, err, want)
			}
			if got, err := codec.DecodePeerConnection(frame); err != nil || got != want {
				t.Errorf("DecodePeerConnection: %#v, %v", got, err)
			}
		})
	}
}

func TestResponseFlagsAreWhatPythonTakesForTrue(t *testing.T) {
	tests := map[string]bool{
		`true`: true, `false`: false, `null`: false,
		`1`: true, `0`: false, `-0`: false, `0.0`: false, `-0.0e5`: false, `0.1`: true, `1e-400`: false, `1e999`: true,
		`NaN`: true, `Infinity`: true, `-Infinity`: true,
		`""`: false, `" "`: true, `"false"`: true, `"\u0000"`: true,
		`[]`: false, `[ ]`: false, `[0]`: true, `[[]]`: true,
		`{}`: false, "{\n}": false, `{"": 0}`: true,
	}
	for value, want := range tests {
		frame := `{"message_type": "relay_response", "success": ` + value + `, "error": ` + value + `}`
		got, err := codec.Decode([]byte(frame))
		if err != nil || got != (codec.Response{Success: want, Error: want}) {
			t.Errorf("%s: %#v, %v", value, got, err)
		}
	}
}

func TestAResponseMayLackEverything(t *testing.T) {
	got, err := codec.Decode([]byte(`{"message_type":"relay_response"}`))
	if err != nil || got != (codec.Response{Success: true}) {
		t.Errorf("got %#v, %v", got, err)
	}
}

func TestGoodMessagesOfAnotherTypeAreUnexpected(t *testing.T) {
	for _, frame := range []string{registrationFrame, responseFrame} {
		_, err := codec.DecodePeerConnection([]byte(frame))
		_, err2 := codec.DecodeEnvelope([]byte(frame))
		var detail *codec.DecodeError
		if !errors.Is(err, codec.ErrUnexpectedType) || !errors.As(err, &detail) || detail.Field != "message_type" {
			t.Errorf("DecodePeerConnection: %v", err)
		}
		if !errors.Is(err2, codec.ErrUnexpectedType) {
			t.Errorf("DecodeEnvelope: %v", err2)
		}
	}
}
