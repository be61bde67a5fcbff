package relaytest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A plan is what an address asks for.
type plan struct {
	behaviour *behaviour
	argument  string

	on    string
	n     int
	after time.Duration
	times int // 0: always

	code       int
	reason     string
	reasonSet  bool
	at         int
	with       string
	stall      time.Duration
	delay      time.Duration
	piece      int
	size       int
	kind       string
	message    string
	retryAfter string
	to         string
}

// String is the plan for a log: free text is left out.
func (p plan) String() string {
	s := "/" + p.behaviour.name
	if p.behaviour.argument != nil {
		s += "/" + p.argument
	}
	if p.on != "" {
		s += "?on=" + p.on
	}
	return s
}

// parsePlan finds out what a request asks for. Without a behaviour there is no
// such path; the error says what there is, or what is allowed.
func parsePlan(r *http.Request) (plan, error) {
	if len(r.URL.RequestURI()) > chaosURLBytes {
		return plan{}, fmt.Errorf("the address has more than %d bytes", chaosURLBytes)
	}
	name, argument, twoElements := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	i := slices.IndexFunc(behaviours, func(b behaviour) bool { return b.name == name && (b.argument != nil || !twoElements) })
	if i < 0 {
		return plan{}, errors.New("no such behaviour; this is what there is")
	}
	p := plan{behaviour: &behaviours[i], argument: argument}
	if err := p.read(r.URL.RawQuery); err != nil {
		return p, fmt.Errorf("%s: %w", behaviours[i].path(), err)
	}
	return p, nil
}

func (p *plan) read(rawQuery string) error {
	b := p.behaviour
	if b.argument != nil {
		if err := b.argument.set(p, p.argument); err != nil {
			return err
		}
	}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return errors.New("the query cannot be read")
	}
	for name, values := range query {
		known := slices.ContainsFunc(b.params, func(a param) bool { return a.name == name && !a.hidden })
		switch {
		case !known:
			return fmt.Errorf("no parameter %.64q; there is %s", name, b.parameters())
		case len(values) > 1:
			return fmt.Errorf("%s is given twice", name)
		}
	}
	implied(query)
	for _, a := range b.params {
		value, given := query[a.name]
		if !given {
			value = []string{a.fallback}
		}
		if !given && a.fallback == "" {
			continue
		}
		if err := a.set(p, value[0]); err != nil {
			return err
		}
	}
	return p.check(query)
}

// implied says when, where n or after have said it already.
func implied(query url.Values) {
	switch {
	case query.Has("on"):
	case query.Has("n") && !query.Has("after"):
		query.Set("on", onMessage)
	case query.Has("after") && !query.Has("n"):
		query.Set("on", onAfter)
	}
}

// check refuses what contradicts itself, and fills in what depends on the rest.
func (p *plan) check(query url.Values) error {
	switch {
	case query.Has("n") && p.on != onMessage:
		return errors.New("n is for on=message")
	case query.Has("after") && p.on != onAfter:
		return errors.New("after is for on=after")
	}
	if !p.reasonSet {
		p.reason = reasons[p.code]
	}
	return nil
}

// path is the pattern of the behaviour's path.
func (b *behaviour) path() string {
	if b.argument != nil {
		return "/" + b.name + "/" + b.argument.name
	}
	return "/" + b.name
}

// parameters are the names of all parameters, for an error.
func (b *behaviour) parameters() string {
	var names []string
	for _, a := range b.params {
		if !a.hidden {
			names = append(names, a.name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
