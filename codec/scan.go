package codec

import (
	"unicode/utf16"
	"unicode/utf8"
)

// The scanner checks JSON text and finds where its values stand, without
// building anything. Every scan function takes the position where something
// starts and returns the position after it, or a *DecodeError.

const (
	// maxDepth is how deep arrays and objects may be nested in the message. The
	// stock decoder gives up, depending on its call stack, at 950 to 990.
	maxDepth = 950

	// maxIntDigits is Python's limit on the digits of an integer.
	maxIntDigits = 4300
)

// span is where a value stands in the frame; the zero span stands for an absent one.
type span struct {
	start, end int
	size       int // bytes as decoded: a string unescaped, anything else as it is
}

// raw returns the value as it stands in the frame.
func (s span) raw(frame []byte) []byte { return frame[s.start:s.end] }

// inner is raw without the quotes around a string.
func (s span) inner(frame []byte) []byte {
	if s.isString(frame) {
		return frame[s.start+1 : s.end-1]
	}
	return s.raw(frame)
}

func (s span) isString(frame []byte) bool { return s.end > s.start && frame[s.start] == '"' }

// escaped reports whether s is a string with a backslash in it.
func (s span) escaped() bool { return s.size < s.end-s.start-2 }

func skipSpace(frame []byte, i int) int {
	for i < len(frame) && (frame[i] == ' ' || frame[i] == '\t' || frame[i] == '\n' || frame[i] == '\r') {
		i++
	}
	return i
}

// unexpected reports the character at i, or the end of the frame.
func unexpected(frame []byte, i int, want string) error {
	if i >= len(frame) {
		return syntaxError(len(frame), "the frame ends where %s should be", want)
	}
	r, _ := utf8.DecodeRune(frame[i:])
	return syntaxError(i, "%q where %s should be", r, want)
}

// scanValue scans the value at i, which is in depth arrays and objects.
func scanValue(frame []byte, i, depth int) (span, error) {
	if i >= len(frame) {
		return span{}, unexpected(frame, i, "a value")
	}
	end, err := 0, error(nil)
	switch c := frame[i]; {
	case c == '"':
		var size int
		end, size, err = scanString(frame, i)
		return span{i, end, size}, err
	case c == '{':
		end, err = scanObject(frame, i, depth+1, nil)
	case c == '[':
		end, err = scanArray(frame, i, depth+1)
	case c == '-' || '0' <= c && c <= '9':
		end, err = scanNumber(frame, i)
	default:
		end, err = scanLiteral(frame, i)
	}
	return span{i, end, end - i}, err
}

// scanObject scans the object at i, and gives its keys and values to f unless that is nil.
func scanObject(frame []byte, i, depth int, f *fields) (int, error) {
	if depth > maxDepth {
		return i, syntaxError(i, "nested deeper than %d levels", maxDepth)
	}
	i = skipSpace(frame, i+1)
	if i < len(frame) && frame[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(frame) || frame[i] != '"' {
			return i, unexpected(frame, i, "a key")
		}
		end, size, err := scanString(frame, i)
		if err != nil {
			return i, err
		}
		key := span{i, end, size}
		i = skipSpace(frame, end)
		if i >= len(frame) || frame[i] != ':' {
			return i, unexpected(frame, i, "a colon")
		}
		value, err := scanValue(frame, skipSpace(frame, i+1), depth)
		if err != nil {
			return i, err
		}
		if f != nil {
			f.add(key, value)
		}
		i = skipSpace(frame, value.end)
		switch {
		case i < len(frame) && frame[i] == ',':
			i = skipSpace(frame, i+1)
		case i < len(frame) && frame[i] == '}':
			return i + 1, nil
		default:
			return i, unexpected(frame, i, "a comma or a closing brace")
		}
	}
}

func scanArray(frame []byte, i, depth int) (int, error) {
	if depth > maxDepth {
		return i, syntaxError(i, "nested deeper than %d levels", maxDepth)
	}
	i = skipSpace(frame, i+1)
	if i < len(frame) && frame[i] == ']' {
		return i + 1, nil
	}
	for {
		value, err := scanValue(frame, i, depth)
		if err != nil {
			return i, err
		}
		i = skipSpace(frame, value.end)
		switch {
		case i < len(frame) && frame[i] == ',':
			i = skipSpace(frame, i+1)
		case i < len(frame) && frame[i] == ']':
			return i + 1, nil
		default:
			return i, unexpected(frame, i, "a comma or a closing bracket")
		}
	}
}

func scanNumber(frame []byte, i int) (int, error) {
	start := i
	if frame[i] == '-' {
		i++
	}
	if i < len(frame) && frame[i] == 'I' {
		return scanLiteral(frame, start)
	}
	first := i
	i = skipDigits(frame, i)
	if i == first {
		return i, unexpected(frame, i, "a digit")
	}
	if frame[first] == '0' {
		i = first + 1 // digits after a leading zero are refused as the wrong separator
	}
	digits, integer := i-first, true
	if n := skipDigits(frame, i+1); i < len(frame) && frame[i] == '.' && n > i+1 {
		i, integer = n, false
	}
	if i < len(frame) && (frame[i] == 'e' || frame[i] == 'E') {
		exp := i + 1
		if exp < len(frame) && (frame[exp] == '+' || frame[exp] == '-') {
			exp++
		}
		if n := skipDigits(frame, exp); n > exp {
			i, integer = n, false
		}
	}
	if integer && digits > maxIntDigits {
		return i, syntaxError(start, "an integer of more than %d digits", maxIntDigits)
	}
	return i, nil
}

func skipDigits(frame []byte, i int) int {
	for i < len(frame) && '0' <= frame[i] && frame[i] <= '9' {
		i++
	}
	return i
}

// literals are the words that Python takes for values; the last three are not JSON.
var literals = [...]string{"null", "true", "false", "NaN", "Infinity", "-Infinity"}

func scanLiteral(frame []byte, i int) (int, error) {
	for _, word := range literals {
		if len(frame)-i >= len(word) && string(frame[i:i+len(word)]) == word {
			return i + len(word), nil
		}
	}
	return i, unexpected(frame, i, "a value")
}

// scanString scans the string whose opening quote is at i, and counts the bytes
// that it has when it is unescaped.
func scanString(frame []byte, i int) (end, size int, err error) {
	start := i
	i++
	size = -i
	for {
		i = skipPlain(frame, i)
		switch {
		case i >= len(frame):
			return i, 0, syntaxError(start, "a string without end")
		case frame[i] == '"':
			return i + 1, size + i, nil
		case frame[i] != '\\':
			return i, 0, syntaxError(i, "a raw control character %q in a string", frame[i])
		}
		n, decoded := scanEscape(frame, i)
		if n == 0 {
			return i, 0, syntaxError(i, "an escape that JSON does not know in a string")
		}
		i, size = i+n, size-n+decoded
	}
}

// scanEscape returns the length of the escape at i, 0 when it is none, and that
// of what it stands for.
func scanEscape(frame []byte, i int) (n, decoded int) {
	// What most are where there are many: without a call for each, a quarter less time.
	if i+6 <= len(frame) && frame[i+1] == 'u' {
		if r, ok := hex4(frame[i+2:]); ok && !utf16.IsSurrogate(r) {
			return 6, utf8.RuneLen(r)
		}
	}
	if i+1 < len(frame) && unescapeLetter[frame[i+1]] != 0 {
		return 2, 1
	}
	r, n := unescape(frame[i:])
	return n, utf8.RuneLen(r)
}

// skipPlain returns the position of the first quote, backslash or control
// character from i on. It looks at eight bytes at a time.
func skipPlain(frame []byte, i int) int {
	for ; i+8 <= len(frame); i += 8 {
		if hits := special(load64(frame[i : i+8])); hits != 0 {
			return i + first(hits)
		}
	}
	for i < len(frame) && frame[i] != '"' && frame[i] != '\\' && frame[i] >= ' ' {
		i++
	}
	return i
}
