package codec

import (
	"encoding/hex"
	"fmt"
	"math/bits"
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
	e.string(`{"name": `, keyName, m.Name)
	e.uuid(`, "uuid": `, m.UUID)
	return e.end(dst, `, "message_type": "`+typeRegistration+`"}`)
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
	if m.DescriptionType != Offer && m.DescriptionType != Answer {
		return dst, &EncodeError{keyNames[keyDescriptionType],
			fmt.Errorf("%w: %q", ErrDescriptionType, excerpt(m.DescriptionType))}
	}
	e := encoder{dst: dst}
	e.uuid(`{"source_uuid": `, m.SourceUUID)
	e.string(`, "source_name": `, keySourceName, m.SourceName)
	e.uuid(`, "peer_uuid": `, m.PeerUUID)
	e.string(`, "description_type": `, keyDescriptionType, string(m.DescriptionType))
	e.string(`, "description": `, keyDescription, m.Description)
	e.stringOrNull(`, "error": `, keyError, m.Error)
	return e.end(dst, `, "message_type": "`+typePeerConnection+`"}`)
}

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

func (e *encoder) string(prefix string, k key, s string) {
	var ok bool
	if e.dst, ok = appendString(append(e.dst, prefix...), s); !ok && e.err == nil {
		e.err = &EncodeError{keyNames[k], ErrInvalidUTF8}
	}
}

func (e *encoder) stringOrNull(prefix string, k key, s string) {
	if s == "" {
		e.dst = append(append(e.dst, prefix...), "null"...)
		return
	}
	e.string(prefix, k, s)
}

// end appends the last field, and returns the buffer, or dst as it was before.
func (e *encoder) end(dst []byte, suffix string) ([]byte, error) {
	if e.err != nil {
		return dst, e.err
	}
	return append(e.dst, suffix...), nil
}

const hexDigits = "0123456789abcdef"

// appendUUID appends the canonical spelling of id, in quotes.
func appendUUID(dst []byte, id uuid.UUID) []byte {
	dst = append(dst, `"00000000-0000-0000-0000-000000000000"`...)
	text := dst[len(dst)-1-uuidBytes : len(dst)-1]
	hex.Encode(text[0:], id[0:4])
	hex.Encode(text[9:], id[4:6])
	hex.Encode(text[14:], id[6:8])
	hex.Encode(text[19:], id[8:10])
	hex.Encode(text[24:], id[10:16])
	return dst
}

// appendString appends s in quotes as Python does, all that is not printable
// ASCII escaped. What is not UTF-8 becomes U+FFFD, and valid is false then.
func appendString(dst []byte, s string) (out []byte, valid bool) {
	dst = append(dst, '"')
	if strings.IndexByte(s, '"') < 0 && strings.IndexByte(s, '\\') < 0 && isVisible(s) && strings.IndexByte(s, '\x7f') < 0 {
		return append(append(dst, s...), '"'), true
	}
	valid = true
	for s != "" {
		n := printable(s)
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
	return append(dst, '"'), valid
}

// printable returns how many bytes at the start of s stand for themselves.
func printable(s string) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if hits := unprintable(load64(s[i : i+8])); hits != 0 {
			return i + bits.TrailingZeros64(hits)/8
		}
	}
	for i < len(s) && isPrintable(s[i]) {
		i++
	}
	return i
}

// isPrintable reports whether c stands for itself in a string of plain ASCII.
func isPrintable(c byte) bool { return ' ' <= c && c <= '~' && c != '"' && c != '\\' }

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
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
