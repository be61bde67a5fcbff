package relaytest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A param is a parameter of a behaviour, in the query or in the path.
type param struct {
	name     string
	takes    string // what is allowed
	fallback string // empty: nothing, or as the help says
	help     string
	set      func(p *plan, value string) error // its error ends with what is allowed
	hidden   bool                              // not for the address: fallback is all there is
	shared   bool                              // explained once, for all rows
}

func (a param) refuse(value string) error {
	return fmt.Errorf("%s should be %s, not %.64q", a.name, a.takes, value)
}

// number is an integer. A fallback below low is none.
func number(name string, low, high, fallback int, help string, set func(*plan, int)) param {
	a := param{name: name, takes: fmt.Sprintf("%d to %d", low, high), help: help}
	if fallback >= low {
		a.fallback = strconv.Itoa(fallback)
	}
	a.set = func(p *plan, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < low || n > high {
			return a.refuse(value)
		}
		set(p, n)
		return nil
	}
	return a
}

func duration(name string, low, high, fallback time.Duration, help string, set func(*plan, time.Duration)) param {
	a := param{name: name, takes: fmt.Sprintf("a duration, %v to %v", low, high), fallback: fallback.String(), help: help}
	a.set = func(p *plan, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < low || d > high {
			return a.refuse(value)
		}
		set(p, d)
		return nil
	}
	return a
}

// choice is one of some words, of which the first is the default.
func choice(name, help string, set func(*plan, string), words ...string) param {
	a := param{name: name, takes: strings.Join(words, ", "), fallback: words[0], help: help}
	a.set = func(p *plan, value string) error {
		if !slices.Contains(words, value) {
			return a.refuse(value)
		}
		set(p, value)
		return nil
	}
	return a
}

// text is free text of up to limit bytes that may stand in a header.
func text(name string, limit int, help string, set func(*plan, string)) param {
	a := param{name: name, takes: fmt.Sprintf("text, up to %d bytes, without control characters", limit), help: help}
	a.set = func(p *plan, value string) error {
		if len(value) > limit || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
			return a.refuse(value)
		}
		set(p, value)
		return nil
	}
	return a
}

// path is a path of this relay: it redirects nobody to anywhere else.
func path(name, help string, set func(*plan, string)) param {
	a := param{name: name, takes: "a path that begins with one slash", fallback: "/", help: help}
	a.set = func(p *plan, value string) error {
		if !strings.HasPrefix(value, "/") || strings.HasPrefix(value, "//") || strings.ContainsFunc(value, unicode.IsControl) || strings.Contains(value, `\`) {
			return a.refuse(value)
		}
		set(p, value)
		return nil
	}
	return a
}

// fixed is the moment of a behaviour that has only one.
func fixed(moment string) param {
	return param{name: "on", fallback: moment, hidden: true, set: func(p *plan, value string) error { p.on = value; return nil }}
}

// The moments, for people.
var momentHelp = []struct{ word, help string }{
	{onUpgrade, "with the handshake"},
	{onRegister, "when the registration has come, in place of its answer"},
	{onMessage, "when the n-th message has come, in place of handling it (cut and garbage: beside that); n is 1 (default) to 1000000, and what a client addresses to itself counts"},
	{onAfter, "so long after the registration was answered; after is 0s (default) to 1h"},
}

// moments are the parameters that say when; the first word is the default.
func moments(words ...string) []param {
	all := []param{choice("on", "see below", func(p *plan, v string) { p.on = v }, words...)}
	if slices.Contains(words, onMessage) {
		all = append(all, nth())
	}
	if slices.Contains(words, onAfter) {
		after := duration("after", 0, time.Hour, 0, "", func(p *plan, d time.Duration) { p.after = d })
		after.shared = true
		all = append(all, after)
	}
	return all
}

// nth says which message is the moment.
func nth() param {
	n := number("n", 1, 1_000_000, 1, "", func(p *plan, n int) { p.n = n })
	n.shared = true
	return n
}

// closeCode are the codes that a relay may send.
func closeCode() *param {
	a := &param{name: "CODE", takes: "1000 to 1003, 1007 to 1014, 3000 to 4999, or none for a close frame without a code"}
	a.set = func(p *plan, value string) error {
		if value == "none" {
			p.code = codeNone
			return nil
		}
		n, err := strconv.Atoi(value)
		if err != nil || !(n >= 1000 && n <= 1003 || n >= 1007 && n <= 1014 || n >= 3000 && n <= 4999) {
			return a.refuse(value)
		}
		p.code = n
		return nil
	}
	return a
}

func statusCode() *param {
	a := &param{name: "CODE", takes: "200 to 599"}
	a.set = func(p *plan, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < http.StatusOK || n > 599 {
			return a.refuse(value)
		}
		p.code = n
		return nil
	}
	return a
}
