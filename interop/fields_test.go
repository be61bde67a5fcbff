package interop

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// fieldsOf gives a message as the fields of the dataclass in the real
// ProxyStore, by way of encoding/json: our own codec is what is under test.
func fieldsOf(m codec.RelayMessage) map[string]any {
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	switch m := m.(type) {
	case codec.Registration:
		return map[string]any{
			"name": m.Name, "uuid": m.UUID.String(), "message_type": "relay_registration",
		}
	case codec.Response:
		return map[string]any{
			"success": m.Success, "message": orNull(m.Message), "error": m.Error, "message_type": "relay_response",
		}
	case codec.PeerConnection:
		return map[string]any{
			"source_uuid": m.SourceUUID.String(), "source_name": m.SourceName, "peer_uuid": m.PeerUUID.String(),
			"description_type": string(m.DescriptionType), "description": m.Description,
			"error": orNull(m.Error), "message_type": "peer_connection",
		}
	}
	panic(fmt.Sprintf("a message of type %T", m))
}

// fromFields is the inverse of fieldsOf for the message that peers exchange.
func fromFields(fields []byte) (codec.PeerConnection, error) {
	var m struct {
		SourceUUID      uuid.UUID             `json:"source_uuid"`
		SourceName      string                `json:"source_name"`
		PeerUUID        uuid.UUID             `json:"peer_uuid"`
		DescriptionType codec.DescriptionType `json:"description_type"`
		Description     string                `json:"description"`
		Error           string                `json:"error"`
		MessageType     string                `json:"message_type"`
	}
	if err := json.Unmarshal(fields, &m); err != nil {
		return codec.PeerConnection{}, err
	}
	if m.MessageType != "peer_connection" {
		return codec.PeerConnection{}, fmt.Errorf("received a message of type %s", m.MessageType)
	}
	return codec.PeerConnection{
		SourceUUID:      m.SourceUUID,
		SourceName:      m.SourceName,
		PeerUUID:        m.PeerUUID,
		DescriptionType: m.DescriptionType,
		Description:     m.Description,
		Error:           m.Error,
	}, nil
}
