package codec

// Most of most texts is ASCII that stands for itself, in JSON as Python writes it, too:
// from the space to the tilde, but for the quote and the backslash. How far that goes is
// what is asked most: 16 KB are looked at when they are encoded, when the relay forwards
// them, and when they are decoded.

// nearText is how much printable is given, since most texts are short, and what stands
// between two escapes, too. If all of it is good, printableString or printableBytes
// looks at the rest.
const nearText = 96

// printableString returns how many bytes at the start of a long s stand for themselves.
func printableString(s string) int {
	n := wideString(s)
	return n + printable(s[n:])
}

// printableBytes is printableString for bytes.
func printableBytes(b []byte) int {
	n := wideBytes(b)
	return n + printable(b[n:])
}

// printable is printableString for what is short: eight bytes at a time.
func printable[T string | []byte](s T) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if hits := unprintable(load64(s[i : i+8])); hits != 0 {
			return i + first(hits)
		}
	}
	for i < len(s) && isPrintable(s[i]) {
		i++
	}
	return i
}

// printableBlocks returns how many bytes, in whole blocks, at the start of s stand for
// themselves. One decision for 32 bytes is faster than four.
func printableBlocks[T string | []byte](s T) int {
	i := 0
	for ; i+32 <= len(s); i += 32 {
		w := s[i : i+32]
		if unprintable(load64(w))|unprintable(load64(w[8:]))|unprintable(load64(w[16:]))|unprintable(load64(w[24:])) != 0 {
			break
		}
	}
	return i
}

// isPrintable reports whether c stands for itself in a string of plain ASCII.
func isPrintable(c byte) bool { return ' ' <= c && c <= '~' && c != '"' && c != '\\' }
