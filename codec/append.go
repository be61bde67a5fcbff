package codec

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Append appends the registration to dst as one frame. It fails with an
// [*EncodeError] when Name is not UTF-8, and returns dst as it was then. It
// allocates only to grow dst.
func (m Registration) Append(dst []byte) ([]byte, error) {
	e := encoder{dst: dst}
	e.string(`{"name": "`, keyName, m.Name)
	e.uuid(`", "uuid": "`, m.UUID)
	return e.end(dst, `", "message_type": "`+typeRegistration+`"}`)
}

// Append appends the response to dst as one frame. It fails with an
// [*EncodeError] when Message is not UTF-8, and returns dst as it was then. It
// allocates only to grow dst.
func (m Response) Append(dst []byte) ([]byte, error) {
	e := encoder{dst: dst}
	e.bool(`{"success": `, m.Success)
	e.stringOrNull(`, "message": `, keyMessage, m.Message)
	e.bool(`, "error": `, m.Error)
	return e.end(dst, `, "message_type": "`+typeResponse+`"}`)
}

// Append appends the message to dst as one frame. It fails with an
// [*EncodeError] when a string is not UTF-8 or DescriptionType is neither
// [Offer] nor [Answer], and returns dst as it was then. It allocates only to
// grow dst.
func (m PeerConnection) Append(dst []byte) ([]byte, error) {
	e := encoder{dst: dst}
	e.uuid(beforeSourceUUID, m.SourceUUID)
	e.string(beforeSourceName, keySourceName, m.SourceName)
	e.uuid(beforePeerUUID, m.PeerUUID)
	switch m.DescriptionType {
	case Offer:
		e.string(beforeDescriptionType+string(Offer)+beforeDescription, keyDescription, m.Description)
	case Answer:
		e.string(beforeDescriptionType+string(Answer)+beforeDescription, keyDescription, m.Description)
	default:
		return dst, &EncodeError{keyNames[keyDescriptionType],
			fmt.Errorf("%w: %q", ErrDescriptionType, excerpt(m.DescriptionType))}
	}
	e.stringOrNull(beforeError, keyError, m.Error)
	return e.end(dst, afterError)
}

// What stands before the values of a PeerConnection, and behind the last one. The
// quotes around a string belong to it.
const (
	beforeSourceUUID      = `{"source_uuid": "`
	beforeSourceName      = `", "source_name": "`
	beforePeerUUID        = `", "peer_uuid": "`
	beforeDescriptionType = `", "description_type": "`
	beforeDescription     = `", "description": "`
	beforeError           = `", "error": `
	afterError            = `, "message_type": "` + typePeerConnection + `"}`
)

// encoder appends the fields of one message; after the first error the result is void.
type encoder struct {
	dst []byte
	err *EncodeError
}

func (e *encoder) bool(prefix string, v bool) {
	e.dst = append(e.dst, prefix...)
	if v {
		e.dst = append(e.dst, "true"...)
	} else {
		e.dst = append(e.dst, "false"...)
	}
}

func (e *encoder) uuid(prefix string, id uuid.UUID) {
	e.dst = appendUUID(append(e.dst, prefix...), id)
}

// string appends s without quotes.
func (e *encoder) string(prefix string, k key, s string) {
	var ok bool
	if e.dst, ok = appendEscaped(append(e.dst, prefix...), s); !ok && e.err == nil {
		e.err = &EncodeError{keyNames[k], ErrInvalidUTF8}
	}
}

// stringOrNull appends s with quotes.
func (e *encoder) stringOrNull(prefix string, k key, s string) {
	e.dst = append(e.dst, prefix...)
	if s == "" {
		e.dst = append(e.dst, "null"...)
		return
	}
	e.string(`"`, k, s)
	e.dst = append(e.dst, '"')
}

// end appends the last field, and returns the buffer, or dst as it was before.
func (e *encoder) end(dst []byte, suffix string) ([]byte, error) {
	if e.err != nil {
		return dst, e.err
	}
	return append(e.dst, suffix...), nil
}

// appendEscaped appends s as Python does, all that is not printable ASCII
// escaped. What is not UTF-8 becomes U+FFFD, and valid is false then.
func appendEscaped(dst []byte, s string) (out []byte, valid bool) {
	valid = true
	for s != "" {
		n := printable(s[:min(len(s), nearText)])
		if n == nearText {
			n += printableString(s[n:])
		}
		dst = append(dst, s[:n]...)
		s = s[n:]
		// Escapes come in clusters, so the search for the next one only starts
		// again after the cluster.
		for s != "" && !isPrintable(s[0]) {
			// The end of a line, when JSON stands in JSON.
			if strings.HasPrefix(s, `\r\n`) {
				dst = append(dst, `\\r\\n`...)
				s = s[len(`\r\n`):]
				continue
			}
			if letter := escapeLetter[s[0]]; letter != 0 {
				dst = append(dst, '\\', letter)
				s = s[1:]
				continue
			}
			r, n := utf8.DecodeRuneInString(s)
			valid = valid && (r != utf8.RuneError || n > 1)
			dst = appendRune(dst, r)
			s = s[n:]
		}
	}
	return dst, valid
}

// escapeLetter is the reverse of unescapeLetter. Python leaves the slash alone.
var escapeLetter = [256]byte{
	'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't',
}

// appendRune appends r as \uXXXX, or as two of these when it is beyond U+FFFF.
func appendRune(dst []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		dst = appendHex(dst, high)
		r = low
	}
	return appendHex(dst, r)
}

func appendHex(dst []byte, r rune) []byte {
	return binary.BigEndian.AppendUint32(append(dst, `\u`...), uint32(hexDigits(uint32(r))))
}
