package codec

import (
	"fmt"
	"math/bits"
	"unicode/utf8"

	"github.com/google/uuid"
)

// key is one of the keys of the three messages. Those that hold a UUID come first.
type key uint8

const (
	keySourceUUID key = iota
	keyPeerUUID
	keyUUID
	numUUIDs
)

const (
	keyMessageType key = iota + numUUIDs
	keySourceName
	keyDescriptionType
	keyDescription
	keyError
	keyName
	keySuccess
	keyMessage
	numKeys
)

var keyNames = [numKeys]string{
	keySourceUUID:      "source_uuid",
	keyPeerUUID:        "peer_uuid",
	keyUUID:            "uuid",
	keyMessageType:     "message_type",
	keySourceName:      "source_name",
	keyDescriptionType: "description_type",
	keyDescription:     "description",
	keyError:           "error",
	keyName:            "name",
	keySuccess:         "success",
	keyMessage:         "message",
}

// keyNamed returns the key of that name, numKeys when there is none.
func keyNamed(name []byte) key {
	switch string(name) {
	case "source_uuid":
		return keySourceUUID
	case "peer_uuid":
		return keyPeerUUID
	case "uuid":
		return keyUUID
	case "message_type":
		return keyMessageType
	case "source_name":
		return keySourceName
	case "description_type":
		return keyDescriptionType
	case "description":
		return keyDescription
	case "error":
		return keyError
	case "name":
		return keyName
	case "success":
		return keySuccess
	case "message":
		return keyMessage
	}
	return numKeys
}

// keySet is a set of keys, a bit for each.
type keySet uint16

func setOf(keys ...key) (s keySet) {
	for _, k := range keys {
		s |= 1 << k
	}
	return s
}

func (s keySet) has(k key) bool { return s>>k&1 != 0 }

// first returns the first key of a set that is not empty.
func (s keySet) first() key { return key(bits.TrailingZeros16(uint16(s))) }

// shape is which keys a message must have, and which it may have besides.
type shape struct{ required, optional keySet }

var (
	registrationShape   = shape{setOf(keyMessageType, keyName, keyUUID), 0}
	responseShape       = shape{setOf(keyMessageType), setOf(keySuccess, keyMessage, keyError)}
	peerConnectionShape = shape{
		setOf(keyMessageType, keySourceUUID, keySourceName, keyPeerUUID, keyDescriptionType, keyDescription),
		setOf(keyError),
	}
)

// fields is what stands in a frame, found and checked, but not decoded yet
// apart from the UUIDs.
type fields struct {
	frame       []byte
	messageType string
	present     keySet
	keys        [numKeys]int // where each key stands
	values      [numKeys]span
	uuids       [numUUIDs]uuid.UUID
	unknown     span // the first key that no message has
	odd         bool // a key stands twice, or a key, the type or a UUID is spelled oddly
}

// parse finds the fields of a frame, and makes sure that they are a message.
func (f *fields) parse(frame []byte) error {
	if f.parseUsual(frame) {
		return nil
	}
	*f = fields{}
	if !utf8.Valid(frame) {
		return &DecodeError{Offset: invalidUTF8(frame), Err: ErrInvalidUTF8}
	}
	f.frame = frame
	start, err := f.scan()
	if err != nil {
		return err
	}
	return f.check(start)
}

// parsePeerConnection is parse, and refuses the other two messages.
func (f *fields) parsePeerConnection(frame []byte) error {
	if err := f.parse(frame); err != nil {
		return err
	}
	if f.messageType != typePeerConnection {
		return &DecodeError{f.values[keyMessageType].start, keyNames[keyMessageType],
			fmt.Errorf("%w: %s", ErrUnexpectedType, f.messageType)}
	}
	return nil
}

// invalidUTF8 returns where the first bytes are that are not UTF-8.
func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// scan makes sure that the frame is one JSON object, finds its fields, and
// returns where the object starts.
func (f *fields) scan() (start int, err error) {
	start = skipSpace(f.frame, 0)
	var end int
	object := start < len(f.frame) && f.frame[start] == '{'
	if object {
		end, err = scanObject(f.frame, start, 0, f)
	} else {
		var value span
		value, err = scanValue(f.frame, start, 0)
		end = value.end
	}
	if err != nil {
		return start, err
	}
	if end = skipSpace(f.frame, end); end < len(f.frame) {
		return start, unexpected(f.frame, end, "the end of the frame")
	}
	if !object {
		return start, &DecodeError{Offset: start, Err: ErrNotObject}
	}
	return start, nil
}

// add notes a key of the message and its value; the last value of a key counts.
func (f *fields) add(name, value span) {
	text := name.inner(f.frame)
	if name.escaped() {
		f.odd = true
		text = []byte(unquote(f.frame, name))
	}
	k := keyNamed(text)
	if k == numKeys {
		if f.unknown.end == 0 {
			f.unknown = name
		}
		return
	}
	f.odd = f.odd || f.present.has(k)
	f.present |= setOf(k)
	f.keys[k], f.values[k] = name.start, value
}

// check makes sure that the fields are those of one of the messages, and reads the UUIDs.
func (f *fields) check(start int) error {
	if !f.present.has(keyMessageType) {
		return &DecodeError{start, keyNames[keyMessageType], ErrMissingField}
	}
	shape, err := f.shape()
	if err != nil {
		return err
	}
	if f.unknown.end != 0 {
		return &DecodeError{f.unknown.start, excerpt(f.unknown.inner(f.frame)), ErrUnknownField}
	}
	if extra := f.present &^ (shape.required | shape.optional); extra != 0 {
		k := extra.first()
		return &DecodeError{f.keys[k], keyNames[k], ErrUnknownField}
	}
	if missing := shape.required &^ f.present; missing != 0 {
		return &DecodeError{start, keyNames[missing.first()], ErrMissingField}
	}
	for k := range numUUIDs {
		if !f.present.has(k) {
			continue
		}
		id, canonical, ok := parseUUID(f.frame, f.values[k])
		if !ok {
			return f.valueError(k, ErrUUID)
		}
		f.uuids[k] = id
		f.odd = f.odd || !canonical
	}
	return nil
}

// shape sets the type of the message, and returns what belongs to it.
func (f *fields) shape() (shape, error) {
	value := f.values[keyMessageType]
	if !value.isString(f.frame) {
		return shape{}, f.valueError(keyMessageType, ErrUnknownType)
	}
	name := value.inner(f.frame)
	if value.escaped() {
		f.odd = true
		name = []byte(unquote(f.frame, value))
	}
	switch string(name) {
	case typePeerConnection:
		f.messageType = typePeerConnection
		return peerConnectionShape, nil
	case typeRegistration:
		f.messageType = typeRegistration
		return registrationShape, nil
	case typeResponse:
		f.messageType = typeResponse
		return responseShape, nil
	}
	return shape{}, f.valueError(keyMessageType, ErrUnknownType)
}

// valueError reports the value of k, with an excerpt of it.
func (f *fields) valueError(k key, err error) error {
	v := f.values[k]
	return &DecodeError{v.start, keyNames[k], fmt.Errorf("%w: %q", err, excerpt(v.inner(f.frame)))}
}
