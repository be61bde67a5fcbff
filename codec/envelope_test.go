package codec_test

import (
	"testing"

	"github.com/seed73300619/relay/codec"
)

func TestEnvelopeHasTheUUIDs(t *testing.T) {
	e, err := codec.DecodeEnvelope([]byte(peerFrame))
	if err != nil || e.SourceUUID != alice || e.PeerUUID != bob {
		t.Errorf("got %v to %v, %v", e.SourceUUID, e.PeerUUID, err)
	}
}

func TestVerbatim(t *testing.T) {
	tests := []struct {
		name, from, to string
		verbatim       bool
	}{
		{"as Python writes it", "", "", true},
		{"no error", `"error": null, `, ``, true},
		{"other white space", `"error": null, `, "\n\"error\":null , ", true},
		{"raw UTF-8 and escapes in a description", `hello`, `é\u00e9\n`, true},
		{"a lone surrogate in a description", `hello`, `\ud800`, true},
		{"NaN as the error", `null`, `NaN`, true},
		{"an object with a key twice as the description", `"hello"`, `{"a": 1, "a": 2}`, true},
		{"a key twice", `"error"`, `"error": null, "error"`, false},
		{"the type twice", `"error"`, `"message_type": "peer_connection", "error"`, false},
		{"a key with an escape", `"error"`, `"err\u006fr"`, false},
		{"the type with an escape", `peer_connection`, `peer\u005fconnection`, false},
		{"a UUID with an escape", `"bbb`, `"\u0062bb`, false},
		{"a UUID in capitals", `"bbb`, `"Bbb`, false},
		{"the source in braces", `aaaaaaaa-0000-4000-8000-000000000001`, `{aaaaaaaa-0000-4000-8000-000000000001}`, false},
		{"a UUID without hyphens", `bbbbbbbb-0000-4000-8000-000000000002`, `bbbbbbbb000040008000000000000002`, false},
		{"a UUID with hyphens elsewhere", `bbbbbbbb-0000-`, `bbbbbbb-b0000-`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, err := codec.DecodeEnvelope([]byte(edit(t, peerFrame, test.from, test.to)))
			if err != nil || e.Verbatim() != test.verbatim {
				t.Errorf("got %v, %v", e.Verbatim(), err)
			}
		})
	}
}

func TestEnvelopeAppend(t *testing.T) {
	tests := []struct{ name, frame, want, bounced string }{
		{
			"a frame of Python's comes out as it went in",
			peerFrame, peerFrame, edit(t, peerFrame, "null", `"no \"\u00e9\ufffd"`),
		},
		{
			"keys are put in order, once each, and UUIDs are made canonical",
			`{"message_type":"peer_connection","error":"old","description":{"a" : "\u00e9"},"description_type":"offer","description_type":"x\/",` +
				`"peer_uuid":"{BBBBBBBB-0000-4000-8000-000000000002}","source_name":"é","source_uuid":"aaaaaaaa000040008000000000000001"}`,
			`{"source_uuid": "aaaaaaaa-0000-4000-8000-000000000001", "source_name": "é", ` +
				`"peer_uuid": "bbbbbbbb-0000-4000-8000-000000000002", "description_type": "x\/", ` +
				`"description": {"a" : "\u00e9"}, "error": "old", "message_type": "peer_connection"}`,
			`{"source_uuid": "aaaaaaaa-0000-4000-8000-000000000001", "source_name": "é", ` +
				`"peer_uuid": "bbbbbbbb-0000-4000-8000-000000000002", "description_type": "x\/", ` +
				`"description": {"a" : "\u00e9"}, "error": "no \"\u00e9\ufffd", "message_type": "peer_connection"}`,
		},
		{
			"an error that is absent becomes null",
			edit(t, peerFrame, `"error": null, `, ``), peerFrame, edit(t, peerFrame, "null", `"no \"\u00e9\ufffd"`),
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, err := codec.DecodeEnvelope([]byte(test.frame))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(e.Append([]byte("x"))); got != "x"+test.want {
				t.Errorf("got  %s\nwant x%s", got, test.want)
			}
			if got := string(e.AppendBounce([]byte("x"), "no \"é\xff")); got != "x"+test.bounced {
				t.Errorf("got  %s\nwant x%s", got, test.bounced)
			}
		})
	}
}

// The documented bound, met exactly: a frame without any space and with UUIDs of 32 digits.
func TestEnvelopeAppendGrowsTheFrameByAtMost34Bytes(t *testing.T) {
	frame := `{"source_uuid":"aaaaaaaa000040008000000000000001","source_name":"","peer_uuid":"bbbbbbbb000040008000000000000002",` +
		`"description_type":"","description":"","message_type":"peer_connection"}`
	e, err := codec.DecodeEnvelope([]byte(frame))
	if err != nil {
		t.Fatal(err)
	}
	if grown := len(e.Append(nil)) - len(frame); grown != 34 {
		t.Errorf("grown by %d bytes", grown)
	}
}
