package relaytest

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// The moments at which something happens to a connection.
const (
	onUpgrade  = "upgrade"  // the handshake
	onRegister = "register" // the registration has come
	onMessage  = "message"  // the n-th message has come
	onAfter    = "after"    // some time after the registration was answered
)

// A behaviour is what a relay does to a client that dials its path: one row of
// the table that help, index, parser and tests are made of.
type behaviour struct {
	name     string // the first element of the path; empty: the root
	argument *param // the second element; nil: none
	does     string
	params   []param
	example  string // path and query

	// What it does: each of these may be nil.
	answer  func(plan, http.ResponseWriter, *http.Request) // instead of a WebSocket
	instead func(plan, *chaosWire)                         // instead of the upgrade, with on=upgrade
	tamper  func(plan, *chaosWire)                         // with the socket, before the handshake is answered
	act     func(*victim) (handle bool)                    // at the moment that on names; whether all goes on as if nothing were
}

// The codes and words of ProxyStore's relay.
const (
	codeNone     = 1005 // a close frame without a code
	codeTooLarge = 1009
	codeInternal = 1011
	codeTooLong  = 4003
	reasonSilent = "keepalive ping timeout"
)

var reasons = map[int]string{
	codeTooLarge: "frame exceeds limit of 1048576 bytes",
	codeInternal: reasonSilent,
	4000:         "Unknown message type.",
	4001:         "UnauthorizedError: Request headers are missing authorization header.",
	4002:         "ForbiddenError: Token is expired or has been revoked.",
	codeTooLong:  "Message length exceeds limit.",
	4004: "Relay received a registration with the same ID. " +
		"This might mean that the endpoint is running in multiple locations.",
}

// stallTime is when ProxyStore's relay misses the pong of a client that it does
// not read.
const stallTime = 40 * time.Second

// behaviours is the table. The first row is what is healthy.
var behaviours = []behaviour{
	{
		name: "",
		does: "a healthy relay: all clients here reach each other through it",
	},
	{
		name:     "close",
		argument: closeCode(),
		does:     "says goodbye with this close code, and waits up to 5 s for the client's close frame",
		params: append(moments(onRegister, onMessage, onAfter, onUpgrade),
			text("reason", 123, "without it, what ProxyStore's relay says with the code", func(p *plan, v string) { p.reason, p.reasonSet = v, true })),
		example: "/close/1011?on=message&n=3&times=1",
		act:     func(v *victim) bool { v.say(v.plan.code, v.plan.reason); return false },
	},
	{
		name: "cut",
		does: "breaks the connection without a close frame once so many bytes were written more, so in the middle of a frame, or of the HTTP answer; what has come is handled",
		params: append(moments(onRegister, onMessage, onAfter, onUpgrade),
			number("at", 0, 1<<20, 0, "bytes that get out first", func(p *plan, n int) { p.at = n }),
			choice("with", "a reset may take the last bytes along", func(p *plan, v string) { p.with = v }, "fin", "reset")),
		example: "/cut?on=register&at=10",
		tamper: func(p plan, w *chaosWire) {
			if p.on == onUpgrade {
				w.cutAt(p.at, p.with == "reset")
			}
		},
		act: func(v *victim) bool {
			if v.plan.on != onUpgrade {
				v.wire.cutAt(v.plan.at, v.plan.with == "reset")
			}
			return true
		},
	},
	{
		name:    "half-open",
		does:    "leaves the connection open and dead: whatever the client sends is swallowed, pings too, nothing comes, and nobody is told; ends when the client ends it",
		params:  moments(onAfter, onRegister, onMessage, onUpgrade),
		example: "/half-open?after=2s",
		instead: func(_ plan, w *chaosWire) { w.die(); w.hold() },
		act:     func(v *victim) bool { v.wire.die(); return false },
	},
	{
		name:    "no-reply",
		does:    "never answers the registration; pings are answered",
		example: "/no-reply?times=1",
		params:  []param{fixed(onRegister)},
		act:     func(v *victim) bool { v.deaf.Store(true); return false },
	},
	{
		name:    "deaf",
		does:    "reads everything and handles nothing more: no delivery, no bounce; pings are answered, and others' messages still come",
		params:  moments(onAfter, onMessage),
		example: "/deaf?on=message&n=2",
		act:     func(v *victim) bool { v.deaf.Store(true); return false },
	},
	{
		name: "stall",
		does: "stalls a sender whose peer does not read, as ProxyStore's relay does: from the n-th message on nothing is handled, 16 messages later not even read, pongs included, until it closes with 1011 because the pong is missing; what others send still comes",
		params: []param{fixed(onMessage), nth(),
			duration("for", time.Millisecond, time.Hour, stallTime, "until the 1011", func(p *plan, d time.Duration) { p.stall = d })},
		example: "/stall?for=5s",
		act:     (*victim).stall,
	},
	{
		name: "slow",
		does: "writes everything in pieces, the handshake's answer too, each of which waits before it goes",
		params: []param{
			duration("delay", time.Millisecond, time.Minute, 200*time.Millisecond, "of each piece", func(p *plan, d time.Duration) { p.delay = d }),
			number("bytes", 1, 1<<20, 1<<20, "in a piece", func(p *plan, n int) { p.piece = n }),
		},
		example: "/slow?delay=50ms&bytes=16",
		tamper:  func(p plan, w *chaosWire) { w.delay, w.piece = p.delay, p.piece },
	},
	{
		name: "limit",
		does: "closes when a message is larger than size, as relays with a limit do; the registration is a message, too",
		params: []param{
			number("size", 1, 1<<20, 1024, "in bytes", func(p *plan, n int) { p.size = n }),
			choice("code", "1009 is said by the WebSocket layer, 4003 by the relay", func(p *plan, v string) {
				p.code = codeTooLarge
				if v == "4003" {
					p.code = codeTooLong
				}
			}, "1009", "4003"),
		},
		example: "/limit?size=4096",
	},
	{
		name: "refuse",
		does: "answers the registration with an error, and leaves the connection open",
		params: []param{fixed(onRegister),
			text("message", 200, "without it, \"ForbiddenError: Not here.\"", func(p *plan, v string) { p.message = v })},
		example: "/refuse?message=No.",
		act:     (*victim).refuse,
	},
	{
		name: "garbage",
		does: "sends what is no message, or no HTTP answer; a message that has come is handled",
		params: append(moments(onRegister, onMessage, onAfter, onUpgrade),
			choice("kind", "text that is no JSON, a JSON list, a message_type that nobody knows, a binary message, text that is no UTF-8, a frame that is no WebSocket", func(p *plan, v string) { p.kind = v },
				"text", "list", "type", "binary", "utf8", "frame")),
		example: "/garbage?on=after&kind=binary",
		instead: func(_ plan, w *chaosWire) { _ = w.inject([]byte("garbage, and no HTTP\r\n\r\n")) },
		act:     func(v *victim) bool { v.inject(garbage[v.plan.kind]); return v.plan.on != onRegister },
	},
	{
		name:     "status",
		argument: statusCode(),
		does:     "answers the handshake with an HTTP status",
		params:   []param{text("retry-after", 64, "the header Retry-After, in any form", func(p *plan, v string) { p.retryAfter = v })},
		example:  "/status/503?retry-after=7",
		answer: func(p plan, w http.ResponseWriter, _ *http.Request) {
			if p.retryAfter != "" {
				w.Header().Set("Retry-After", p.retryAfter)
			}
			http.Error(w, http.StatusText(p.code), p.code)
		},
	},
	{
		name: "redirect",
		does: "answers the handshake with a redirect",
		params: []param{
			choice("code", "the HTTP status", func(p *plan, v string) { _, _ = fmt.Sscan(v, &p.code) }, "302", "301", "303", "307", "308"),
			path("to", "on this relay", func(p *plan, v string) { p.to = v }),
		},
		example: "/redirect?to=/close/4001",
		answer:  func(p plan, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, p.to, p.code) },
	},
}

func init() {
	for i := range everywhere {
		everywhere[i].shared = true
	}
	for i := range behaviours[1:] {
		b := &behaviours[i+1]
		b.params = append(slices.Clip(b.params), everywhere...)
	}
}

// everywhere are the parameters of all rows but the healthy one.
var everywhere = []param{
	number("times", 1, 1_000_000, 0, "only the first so many connections to this very address suffer, and then it is healthy", func(p *plan, n int) { p.times = n }),
	text("key", 64, "makes another address of it, with a count of its own", func(*plan, string) {}),
}

// garbage are frames that no relay should send, by kind.
var garbage = map[string][]byte{
	"text":   shortFrame(0x81, "this is not JSON"),
	"list":   shortFrame(0x81, "[]"),
	"type":   shortFrame(0x81, `{"message_type": "greeting"}`),
	"binary": shortFrame(0x82, "\x00\x01\x02\x03"),
	"utf8":   shortFrame(0x81, "\xff\xfe\xff"),
	"frame":  shortFrame(0x83, "opcode 3 is reserved"),
}

// shortFrame makes a frame of a server with a payload of less than 126 bytes.
func shortFrame(head byte, payload string) []byte {
	return append([]byte{head, byte(len(payload))}, payload...)
}
