package conform

import (
	"fmt"
	"slices"
	"strings"
)

// Table returns all cases, in the order in which they are best read.
func Table() []Case {
	return slices.Concat(
		section("Opening handshake", handshakes()),
		section("Frames", frames()),
		section("Closing", closings()),
		section("Decoding", decodings()),
		section("Registration", registrations()),
		section("Forwarding", forwardings()),
		section("Message size", limits()),
		section("Leaving", leavings()),
		section("Faults of ProxyStore's relay", slices.Concat(faults(), unread())),
	)
}

func section(name string, cases []Case) []Case {
	for i := range cases {
		cases[i].Section = name
	}
	return cases
}

// both is a case in which the two relays do the same.
func both(name string, steps ...step) Case { return Case{Name: name, steps: steps} }

// differ is a case in which they do not; steps are what both have in common.
func differ(name string, steps []step, proxyStore, thisRelay end, why string) Case {
	return Case{
		Name: name, steps: steps, Why: why,
		ProxyStore: proxyStore.text, theirs: proxyStore.steps,
		ThisRelay: thisRelay.text, ours: thisRelay.steps,
	}
}

// An end is one of the two ends of a case.
type end struct {
	text  string // what the relay does
	steps []step // that prove it
}

func does(text string, steps ...step) end { return end{text, steps} }

// closes is the end of a connection with a close.
func closes(who string, code int, reason string) end {
	return end{"closes" + goodbye(closeFrame(code, reason).payload), []step{isClosed(who, code, reason)}}
}

func slow(c Case) Case {
	c.Slow = true
	return c
}

func heavy(c Case) Case {
	c.Heavy = true
	return c
}

// The texts of the relay.
const (
	success        = `{"success": true, "message": null, "error": false, "message_type": "relay_response"}`
	unknownType    = "Unknown message type."
	notRegistered  = "ForbiddenError: Client has not registered and authenticated with the relay server."
	takenOver      = "Relay received a registration with the same ID. This might mean that the endpoint is running in multiple locations."
	tooLarge       = "Message length exceeds limit."
	keepaliveEnded = "keepalive ping timeout"
	maxMessage     = 1 << 20
)

// registration registers a person, as Python's client does.
func registration(person string) string {
	return fmt.Sprintf(`{"name": %q, "uuid": %q, "message_type": "relay_registration"}`, strings.ToLower(person), person)
}

// message is one from a person to another, as Python's client sends it.
func message(from, to string) string {
	return fmt.Sprintf(`{"source_uuid": %q, "source_name": %q, "peer_uuid": %q, "description_type": "offer", `+
		`"description": "d", "error": null, "message_type": "peer_connection"}`, from, strings.ToLower(from), to)
}

// described is a message with another value, in JSON, for its description.
func described(from, to, value string) string { return with(message(from, to), `"d"`, value) }

// unknown is the message come back because nobody has registered to.
func unknown(from, to string) string { return bounced(message(from, to), to) }

func bounced(text, to string) string { return with(text, `"error": null`, `"error": "`+noPeer(to)+`"`) }

func noPeer(to string) string {
	return "Cannot forward peer connection message to peer " + to + " because this peer is not registered this relay server."
}

// with replaces a part of a message, which must be there.
func with(text, old, new string) string {
	if !strings.Contains(text, old) {
		panic(fmt.Sprintf("conform: no %s in %s", old, text))
	}
	return strings.Replace(text, old, new, 1)
}

// alice connects and registers, as most cases begin.
func alice(more ...step) []step { return with1("alice", more) }

// aliceAndBob do.
func aliceAndBob(more ...step) []step { return with1("alice", with1("bob", more)) }

func with1(who string, more []step) []step {
	return append([]step{opens(who), registers(who, strings.ToUpper(who))}, more...)
}

// padded is a message to oneself that is as many bytes long on the wire.
func padded(person string, size int) string { return paddedTo(person, person, size) }

func paddedTo(from, to string, size int) string {
	text := message(from, to)
	wire := len(names().Replace(text))
	return with(text, `"d"`, `"`+strings.Repeat("d", size-wire+1)+`"`)
}
