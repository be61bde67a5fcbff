package ops

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// number writes a figure as people read it: 0.4, 12, 3,456, 1.23 M.
func number(v float64) string {
	switch {
	case v == math.Trunc(v) && v < 1e6:
		return count(uint64(v))
	case v < 0.1:
		return "< 0.1"
	case v < 9.95:
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	case v < 1e6:
		return count(uint64(math.Round(v)))
	}
	return scaled(v, "MGTP")
}

// byteCount writes a number of bytes: 0 B, 612 B, 4.56 kB.
func byteCount(v float64) string {
	if v < 999.5 {
		return strconv.FormatFloat(math.Round(v), 'f', 0, 64) + " B"
	}
	return scaled(v*1e3, "kMGTP") + "B"
}

// scaled writes v, of at least 1e6, in three digits; the first of prefixes is
// for 1e6.
func scaled(v float64, prefixes string) string {
	v /= 1e6
	for v >= 999.5 && len(prefixes) > 1 {
		v, prefixes = v/1e3, prefixes[1:]
	}
	decimals := 2
	if v >= 99.95 {
		decimals = 0
	} else if v >= 9.995 {
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + " " + prefixes[:1]
}

// count writes an exact number, its thousands apart.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// duration writes the two largest units of d.
func duration(d time.Duration) string {
	s := int(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm %02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh %02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd %02dh", s/86400, s/3600%24)
}

// maxName is how many characters of a name are shown.
const maxName = 48

// visible makes a client's word for itself harmless to look at: what does not
// print, or turns the direction of text around, stands there by its number.
func visible(name string) string {
	var b strings.Builder
	n := 0
	for _, r := range name {
		if n++; n > maxName {
			b.WriteString("…")
			break
		}
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}
