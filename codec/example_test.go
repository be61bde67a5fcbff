package codec_test

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

func ExampleDecode() {
	m, err := codec.Decode([]byte(`{"success": true, "message": null, "error": false, "message_type": "relay_response"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	switch m := m.(type) {
	case codec.Registration:
		fmt.Println("registers:", m.Name)
	case codec.Response:
		fmt.Println("success:", m.Success)
	case codec.PeerConnection:
		fmt.Println("description:", m.Description)
	}
	// Output: success: true
}

func ExampleDecodeError() {
	_, err := codec.Decode([]byte(`{"name": "alice", "uuid": "12345", "message_type": "relay_registration"}`))
	fmt.Println(err)

	var detail *codec.DecodeError
	if errors.As(err, &detail) && errors.Is(err, codec.ErrUUID) {
		fmt.Println("look at", detail.Field)
	}
	// Output:
	// codec: invalid UUID: "12345" (field "uuid", byte 26)
	// look at uuid
}

func ExamplePeerConnection_Append() {
	m := codec.PeerConnection{
		SourceUUID:      uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000001"),
		SourceName:      "Zoë",
		PeerUUID:        uuid.MustParse("bbbbbbbb-0000-4000-8000-000000000002"),
		DescriptionType: codec.Offer,
		Description:     "hello",
	}
	frame, err := m.Append(nil) // nil, or a buffer to use again
	fmt.Printf("%s\n%v\n", frame, err)
	// Output:
	// {"source_uuid": "aaaaaaaa-0000-4000-8000-000000000001", "source_name": "Zo\u00eb", "peer_uuid": "bbbbbbbb-0000-4000-8000-000000000002", "description_type": "offer", "description": "hello", "error": null, "message_type": "peer_connection"}
	// <nil>
}

// A relay hands a frame on as it came when it can, and gives it back to the
// sender when the peer is not there.
func ExampleDecodeEnvelope() {
	frame := []byte(`{"source_uuid": "aaaaaaaa-0000-4000-8000-000000000001", "source_name": "alice",
		"peer_uuid": "bbbbbbbb-0000-4000-8000-000000000002", "description_type": "offer",
		"description": "hello", "message_type": "peer_connection"}`)
	e, err := codec.DecodeEnvelope(frame)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("to", e.PeerUUID, "verbatim:", e.Verbatim())
	fmt.Printf("%s\n", e.AppendBounce(nil, "not registered"))
	// Output:
	// to bbbbbbbb-0000-4000-8000-000000000002 verbatim: true
	// {"source_uuid": "aaaaaaaa-0000-4000-8000-000000000001", "source_name": "alice", "peer_uuid": "bbbbbbbb-0000-4000-8000-000000000002", "description_type": "offer", "description": "hello", "error": "not registered", "message_type": "peer_connection"}
}
