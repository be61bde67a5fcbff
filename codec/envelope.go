package codec

import "github.com/google/uuid"

// Envelope is a [PeerConnection] that was checked but not decoded: what a relay
// needs to route it. It refers to its frame, and is valid for as long as that
// is not changed. It is safe for concurrent use. The zero Envelope is of no
// use: [DecodeEnvelope] makes them.
type Envelope struct {
	SourceUUID, PeerUUID uuid.UUID

	frame                                []byte
	name, descriptionType, descr, errors span
	verbatim                             bool
}

// DecodeEnvelope checks a frame that should be a [PeerConnection], with the
// same verdict and the same errors as [DecodePeerConnection]. It allocates
// nothing, unless the frame spells a key or UUID in an unusual way or is refused.
func DecodeEnvelope(frame []byte) (Envelope, error) {
	var f fields
	if err := f.parsePeerConnection(frame); err != nil {
		return Envelope{}, err
	}
	return Envelope{
		SourceUUID:      f.uuids[keySourceUUID],
		PeerUUID:        f.uuids[keyPeerUUID],
		frame:           frame,
		name:            f.values[keySourceName],
		descriptionType: f.values[keyDescriptionType],
		descr:           f.values[keyDescription],
		errors:          f.values[keyError],
		verbatim:        !f.odd,
	}, nil
}

// Verbatim reports whether the frame may be handed on as it came, because every
// JSON decoder sees the same keys and UUIDs in it: no key twice, none of them
// nor the message type written with an escape, both UUIDs in canonical form.
//
// Values that are odd only in themselves are no reason against it: NaN, half of
// a surrogate pair, a number where a string is due. The stock relay hands them
// on as well, and so does Append.
func (e *Envelope) Verbatim() bool { return e.verbatim }

// Append appends the message to dst: every key once, in the usual order, the
// UUIDs in canonical form, the other values as they came. That is at most 34
// bytes longer than the frame.
func (e *Envelope) Append(dst []byte) []byte {
	dst = e.appendUntilError(dst)
	if e.errors.end == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, e.errors.raw(e.frame)...)
	}
	return append(dst, afterError...)
}

// AppendBounce appends the message as Append does, with reason as its error, to
// be given back to the sender. What is not UTF-8 in reason becomes U+FFFD.
func (e *Envelope) AppendBounce(dst []byte, reason string) []byte {
	dst = append(e.appendUntilError(dst), '"')
	dst, _ = appendEscaped(dst, reason)
	return append(append(dst, '"'), afterError...)
}

func (e *Envelope) appendUntilError(dst []byte) []byte {
	dst = appendUUID(append(dst, beforeSourceUUID...), e.SourceUUID)
	dst = append(append(dst, `", "source_name": `...), e.name.raw(e.frame)...)
	dst = appendUUID(append(dst, `, "peer_uuid": "`...), e.PeerUUID)
	dst = append(append(dst, `", "description_type": `...), e.descriptionType.raw(e.frame)...)
	dst = append(append(dst, `, "description": `...), e.descr.raw(e.frame)...)
	return append(dst, `, "error": `...)
}
