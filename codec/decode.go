package codec

import (
	"strconv"
	"strings"
)

// Decode decodes a frame, whichever of the three messages it is. It does not
// retain the frame. Its errors are [*DecodeError].
//
// It is as strict as the stock decoder: one JSON object, with all required keys
// and no other ones, and UUIDs in any spelling that Python takes. It is as
// tolerant, too: keys in any order, the last one counting when a key stands
// twice, NaN and Infinity as values, and no look at the types of other values.
// Where a string is due, null becomes "", and any other value its JSON text:
// 5 becomes "5". The two flags of a [Response] are what Python takes for true.
func Decode(frame []byte) (RelayMessage, error) {
	var f fields
	if err := f.parse(frame); err != nil {
		return nil, err
	}
	switch f.messageType {
	case typeRegistration:
		return f.registration(), nil
	case typeResponse:
		return f.response(), nil
	default:
		return f.peerConnection(), nil
	}
}

// DecodePeerConnection decodes a frame that should be a [PeerConnection], just
// as [Decode] does, with a single allocation for all strings of the message. A
// good message of another type is an [ErrUnexpectedType].
func DecodePeerConnection(frame []byte) (PeerConnection, error) {
	var f fields
	if err := f.parsePeerConnection(frame); err != nil {
		return PeerConnection{}, err
	}
	return f.peerConnection(), nil
}

func (f *fields) registration() Registration {
	return Registration{Name: unquote(f.frame, f.values[keyName]), UUID: f.uuids[keyUUID]}
}

func (f *fields) response() Response {
	return Response{
		Success: !f.present.has(keySuccess) || isTrue(f.values[keySuccess].raw(f.frame)),
		Message: unquote(f.frame, f.values[keyMessage]),
		Error:   f.present.has(keyError) && isTrue(f.values[keyError].raw(f.frame)),
	}
}

func (f *fields) peerConnection() PeerConnection {
	m := PeerConnection{SourceUUID: f.uuids[keySourceUUID], PeerUUID: f.uuids[keyPeerUUID]}

	// One piece of memory for all strings, sized beforehand.
	var b strings.Builder
	b.Grow(f.values[keySourceName].size + f.values[keyDescription].size + f.values[keyError].size)
	text := func(k key) string {
		start := b.Len()
		appendText(&b, f.frame, f.values[k])
		return b.String()[start:]
	}
	m.SourceName = text(keySourceName)
	m.Description = text(keyDescription)
	m.Error = text(keyError)

	switch raw := f.values[keyDescriptionType].raw(f.frame); string(raw) {
	case `"offer"`:
		m.DescriptionType = Offer
	case `"answer"`:
		m.DescriptionType = Answer
	default:
		m.DescriptionType = DescriptionType(unquote(f.frame, f.values[keyDescriptionType]))
	}
	return m
}

// isTrue reports whether Python takes the JSON value raw for true.
func isTrue(raw []byte) bool {
	switch c := raw[0]; {
	case c == 'n' || c == 'f': // null, false
		return false
	case c == '"':
		return len(raw) > len(`""`)
	case c == '[' || c == '{':
		return skipSpace(raw, 1) < len(raw)-1
	case c == '-' || '0' <= c && c <= '9':
		x, _ := strconv.ParseFloat(string(raw), 64) // ±Inf when out of range
		return x != 0
	default: // true, NaN, Infinity
		return true
	}
}
