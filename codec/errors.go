package codec

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// What can be wrong with a message. A [*DecodeError] or [*EncodeError] is or
// wraps one of these: test for them with [errors.Is].
var (
	// ErrSyntax means that the frame is not JSON. So are, here, values that end
	// the stock decoder with an exception of another kind: nesting deeper than
	// 950 levels, and integers of more than 4300 digits.
	ErrSyntax = errors.New("codec: invalid JSON")

	// ErrNotObject means that the frame is JSON, but not an object.
	ErrNotObject = errors.New("codec: not a JSON object")

	// ErrUnknownType means that message_type is none of the three known ones.
	ErrUnknownType = errors.New("codec: unknown message type")

	// ErrUnexpectedType means that the frame is a good message, but not of the
	// type that was asked for.
	ErrUnexpectedType = errors.New("codec: unexpected message type")

	// ErrUnknownField means that a key does not belong to the message.
	ErrUnknownField = errors.New("codec: unknown field")

	// ErrMissingField means that a required key is absent, message_type included.
	ErrMissingField = errors.New("codec: missing field")

	// ErrUUID means that a value is none of the spellings that Python takes for a UUID.
	ErrUUID = errors.New("codec: invalid UUID")

	// ErrInvalidUTF8 means that a frame, or a string to be encoded, is not
	// UTF-8. A WebSocket that carried such a frame is closed with code 1007.
	ErrInvalidUTF8 = errors.New("codec: invalid UTF-8")

	// ErrBinary is for those who read frames: all messages are text. No
	// function of this package returns it.
	ErrBinary = errors.New("codec: binary frame")

	// ErrDescriptionType means that a message was not encoded because its
	// DescriptionType is neither [Offer] nor [Answer].
	ErrDescriptionType = errors.New("codec: description type is neither offer nor answer")
)

// DecodeError says why a frame was refused.
type DecodeError struct {
	Offset int    // where in the frame, in bytes from 0; of a missing field, where the object starts
	Field  string // the key that it is about, cut when it is long; "" when it is about none
	Err    error  // is or wraps one of the sentinels
}

// Error describes the problem in one line, with at most a short, quoted excerpt
// of the frame.
func (e *DecodeError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%v (byte %d)", e.Err, e.Offset)
	}
	return fmt.Sprintf("%v (field %q, byte %d)", e.Err, e.Field, e.Offset)
}

// Unwrap returns Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// EncodeError says why a message could not be encoded.
type EncodeError struct {
	Field string // the key on the wire, such as "description"
	Err   error  // is or wraps [ErrInvalidUTF8] or [ErrDescriptionType]
}

// Error describes the problem in one line.
func (e *EncodeError) Error() string { return fmt.Sprintf("%v (field %q)", e.Err, e.Field) }

// Unwrap returns Err.
func (e *EncodeError) Unwrap() error { return e.Err }

// syntaxError reports that the frame is not JSON at byte i.
func syntaxError(i int, format string, args ...any) error {
	return &DecodeError{Offset: i, Err: fmt.Errorf("%w: "+format, append([]any{ErrSyntax}, args...)...)}
}

// excerptBytes bounds what an error keeps of a peer's text.
const excerptBytes = 40

// excerpt returns the beginning of text for an error, cut at a rune.
func excerpt[T ~string | []byte](text T) string {
	if len(text) <= excerptBytes {
		return string(text)
	}
	n := excerptBytes
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return string(text[:n]) + "…"
}
