package relaytest

import (
	"fmt"
	"strings"
)

// ChaosIndex lists all that a [Chaos] does, for people: paths, parameters, what
// they take, and an example each. Base is the address that the examples begin
// with, such as "ws://127.0.0.1:8765".
func ChaosIndex(base string) string {
	var s strings.Builder
	s.WriteString("The address that a client dials says what the relay does to it.\n")
	for _, b := range behaviours {
		fmt.Fprintf(&s, "\n%s\n%s", b.path(), wrapped("    ", "    ", b.does))
		if b.argument != nil {
			s.WriteString(row(b.argument.name, b.argument.takes))
		}
		for _, a := range b.params {
			if !a.hidden && !a.shared {
				s.WriteString(row(a.name+"=", a.describe()))
			}
		}
		fmt.Fprintf(&s, "    %s%s\n", base, b.addressOfExample())
	}
	s.WriteString("\nWhen it happens is said by on=, where that is a parameter; n= and after= alone\nsay it, too:\n")
	for _, m := range momentHelp {
		s.WriteString(row(m.word, m.help))
	}
	s.WriteString("\nAll but the first path take these:\n")
	for _, a := range everywhere {
		s.WriteString(row(a.name+"=", a.describe()))
	}
	return s.String()
}

func (b *behaviour) addressOfExample() string {
	if b.example == "" {
		return b.path()
	}
	return b.example
}

// describe tells what a parameter takes, its default, and what it does.
func (a param) describe() string {
	takes, found := a.takes, false
	if a.fallback != "" {
		if takes, found = strings.CutPrefix(a.takes, a.fallback+", "); found {
			takes = a.fallback + " (default), " + takes
		} else {
			takes = a.takes + " (default " + a.fallback + ")"
		}
	}
	if a.help == "" {
		return takes
	}
	return takes + ": " + a.help
}

// row is a word and its explanation.
func row(word, help string) string {
	return wrapped(fmt.Sprintf("      %-13s", word), strings.Repeat(" ", 19), help)
}

// wrapped breaks a text into lines: the first begins with one margin, the
// others with the next.
func wrapped(first, next, text string) string {
	const width = 80
	var s strings.Builder
	line := first
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > width:
			s.WriteString(line + "\n")
			line = next + word
		default:
			line += " " + word
		}
	}
	s.WriteString(line + "\n")
	return s.String()
}
