package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// claims are what an OAuth2 server says about a token (RFC 7662, section 2.2).
type claims struct {
	active   bool
	sub      string
	name     string
	aud      []string
	exp, nbf float64 // seconds since 1970
}

// clockSkew is how far a token's beginning may lie ahead. A new token begins now
// by the OAuth2 server's clock, and a refusal would be for good.
const clockSkew = 60

func (c *claims) isFor(audience string) bool { return slices.Contains(c.aud, audience) }
func (c *claims) expired(now time.Time) bool { return c.exp <= unix(now) }
func (c *claims) early(now time.Time) bool   { return c.nbf > unix(now)+clockSkew }

// left returns how long a token that has not expired is good for, as far as that
// fits.
func (c *claims) left(now time.Time) time.Duration {
	return time.Duration(min((c.exp-unix(now))*1e9, math.MaxInt64/2))
}

func unix(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// parseClaims reads an answer strictly: what another reader could read
// differently is an error. Errors quote nothing of it, as it may quote the token.
func parseClaims(body []byte) (*claims, error) {
	fields, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	c := &claims{exp: math.Inf(1)}
	var username, name, email string
	for _, field := range []struct {
		name   string
		into   any
		always bool // rather than only for active tokens
	}{
		{"active", &c.active, true},
		{"sub", &c.sub, false},
		{"exp", &c.exp, false},
		{"nbf", &c.nbf, false},
		{"username", &username, false},
		{"name", &name, false},
		{"email", &email, false},
	} {
		value := fields[field.name]
		if !c.active && !field.always || string(value) == "null" || value == nil {
			continue
		}
		if json.Unmarshal(value, field.into) != nil {
			return nil, fmt.Errorf("its answer has a %s of the wrong type", field.name)
		}
	}
	if value := string(fields["active"]); value != "true" && value != "false" {
		return nil, errors.New("its answer does not say whether the token is active; is it an introspection endpoint (RFC 7662)?")
	}
	if !c.active {
		return c, nil // and nothing else is known
	}
	if !validID(c.sub) {
		return nil, fmt.Errorf("its answer has no sub, or an unusable one: it must have 1 to %d bytes, and no control characters", maxID)
	}
	if c.aud, err = parseAudience(fields["aud"]); err != nil {
		return nil, err
	}
	for _, c.name = range []string{username, name, email} {
		if c.name != "" {
			break
		}
	}
	c.name = strings.ToValidUTF8(c.name[:min(len(c.name), maxID)], "")
	return c, nil
}

// parseAudience reads a string, or a list of them.
func parseAudience(value json.RawMessage) (list []string, err error) {
	var elements []json.RawMessage
	switch {
	case value == nil || string(value) == "null":
	case json.Unmarshal(value, &elements) != nil:
		elements = []json.RawMessage{value}
	}
	for _, element := range elements {
		var one string
		if element[0] != '"' || json.Unmarshal(element, &one) != nil {
			return nil, errors.New("its answer has an aud that is neither a string nor a list of strings")
		}
		list = append(list, one)
	}
	return list, nil
}

// parseObject reads one JSON object and nothing else. Unlike for a struct, names
// must be exact, and occur once: {"active": false, "Active": true} is not active.
func parseObject(body []byte) (map[string]json.RawMessage, error) {
	errNoObject := errors.New("its answer is not one JSON object; is it an introspection endpoint (RFC 7662)?")
	if !utf8.Valid(body) || !json.Valid(body) {
		return nil, errNoObject
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, errNoObject
	}
	fields := make(map[string]json.RawMessage)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errNoObject
		}
		key, _ := name.(string) // json.Valid has seen to it
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errNoObject
		}
		if _, twice := fields[key]; twice {
			return nil, errors.New("its answer has a name twice, so that it can be read in two ways")
		}
		fields[key] = value
	}
	return fields, nil
}
