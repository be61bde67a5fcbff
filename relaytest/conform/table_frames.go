package conform

import (
	"fmt"
	"slices"
	"strings"
)

// frames are cases about frames and how messages are made of them.
func frames() []Case {
	whole, large := message("ALICE", "ALICE"), padded("ALICE", maxMessage)
	return slices.Concat([]Case{
		both("a message in fragments, a ping between them", alice(
			sends("alice", "a message in three fragments, one of them empty, with a ping between",
				frame{op: opText, more: true, payload: []byte(whole[:10])},
				frame{op: opPing, payload: []byte("between")},
				frame{op: opContinuation, more: true},
				frame{op: opContinuation, payload: []byte(whole[10:])}),
			isPonged("alice", "between"), hears("alice", whole))...),
		both("a ping is answered with its payload", alice(
			sends("alice", "a ping of 125 bytes", frame{op: opPing, payload: []byte(strings.Repeat("p", 125))}),
			isPonged("alice", strings.Repeat("p", 125)))...),
		both("a ping without a payload is answered", alice(sends("alice", "an empty ping", frame{op: opPing}), isPonged("alice", ""))...),
		both("a ping is answered before the registration, too", opens("alice"),
			sends("alice", "a ping", frame{op: opPing, payload: []byte("early")}), isPonged("alice", "early")),
		both("a pong that nobody asked for is ignored", alice(sends("alice", "a pong", frame{op: opPong, payload: []byte("?")}), hearsNothing("alice", "ALICE"))...),
		both("a message of exactly 1 MiB passes", alice(says("alice", large), hears("alice", large))...),
		both("a message of exactly 1 MiB in fragments passes", alice(fragments("alice", large), hears("alice", large))...),
		both("a message of 1 MiB and a byte closes", alice(says("alice", padded("ALICE", maxMessage+1)), isClosed("alice", 1009, anyReason))...),
		both("a message of 1 MiB and a byte in fragments closes", alice(fragments("alice", padded("ALICE", maxMessage+1)), isClosed("alice", 1009, anyReason))...),
		differ("a message of 10,000 empty fragments", alice(sends("alice", "10,001 fragments", slices.Concat(
			[]frame{{op: opText, more: true}}, slices.Repeat([]frame{{op: opContinuation, more: true}}, 9999),
			[]frame{{op: opContinuation, payload: []byte(whole)}})...)),
			closes("alice", 1009, "too many fragments"),
			does("handles the message", hears("alice", whole)),
			"An empty fragment costs no memory here: a message is put together in one buffer, which ends at 1 MiB."),
		differ("a length spelled in more bytes than it needs", alice(sends("alice", "a message with a length of 64 bits", frame{op: opText, wide: true, payload: []byte(whole)})),
			does("takes it", hears("alice", whole)), closes("alice", 1002, "length not minimal"),
			"RFC 6455, section 5.2, has the sender use the fewest bytes. Whatever is read in two ways, here and in a proxy, can hide something from one of them."),
	}, violations(whole), reasons(whole))
}

// fragments sends a text in pieces of 64 KiB.
func fragments(who, text string) step {
	var list []frame
	op := opText
	for piece := range slices.Chunk([]byte(text), 64<<10) {
		list = append(list, frame{op: op, more: true, payload: piece})
		op = opContinuation
	}
	list[len(list)-1].more = false
	return sends(who, fmt.Sprintf("a message in %d fragments", len(list)), list...)
}

func violations(whole string) []Case {
	refuse := func(code int, name string, frames ...frame) Case {
		return both(name+" closes", alice(sends("alice", name, frames...), isClosed("alice", code, anyReason))...)
	}
	text := func(s string) frame { return frame{op: opText, payload: []byte(s)} }
	return []Case{
		refuse(1002, "an unmasked frame", frame{op: opText, unmasked: true, payload: []byte(whole)}),
		refuse(1002, "reserved opcode 3", frame{op: 3}),
		refuse(1002, "reserved opcode 11", frame{op: 11}),
		refuse(1002, "RSV1 without an extension", frame{op: opText, rsv: 4, payload: []byte(whole)}),
		refuse(1002, "RSV2", frame{op: opText, rsv: 2, payload: []byte(whole)}),
		refuse(1002, "RSV3", frame{op: opText, rsv: 1, payload: []byte(whole)}),
		refuse(1002, "a ping of 126 bytes", frame{op: opPing, payload: make([]byte, 126)}),
		refuse(1002, "a ping in fragments", frame{op: opPing, more: true}),
		refuse(1002, "a close in fragments", frame{op: opClose, more: true}),
		refuse(1002, "a continuation of nothing", frame{op: opContinuation, payload: []byte(whole)}),
		refuse(1002, "a message inside a fragmented one", frame{op: opText, more: true}, text(whole)),
		refuse(1007, "text that is no UTF-8", text(described("ALICE", "ALICE", "\"\xff\""))),
		refuse(1007, "text with a surrogate as UTF-8 cannot have it", text(described("ALICE", "ALICE", "\"\xed\xa0\x80\""))),
		refuse(1007, "text with an overlong character", text(described("ALICE", "ALICE", "\"\xc0\xaf\""))),
		refuse(1007, "text that ends inside a character", text(whole+"\xc3")),
		refuse(1007, "text that is neither UTF-8 nor JSON", text("\xff")),
	}
}

// reasons are about the words that come with the codes of RFC 6455. All other
// cases take any.
func reasons(whole string) []Case {
	const why = "The words are for people who read logs, and change from one version of the library websockets to the next; only the code means something to a program."
	return []Case{
		differ("the reason of 1002", alice(sends("alice", "an unmasked frame", frame{op: opText, unmasked: true, payload: []byte(whole)})),
			closes("alice", 1002, "incorrect masking"), closes("alice", 1002, "bad MASK"), why),
		differ("the reason of 1007", alice(says("alice", "\xff")),
			closes("alice", 1007, "invalid start byte at position 0"), closes("alice", 1007, ""), why),
		differ("the reason of 1009", alice(says("alice", padded("ALICE", maxMessage+1))),
			closes("alice", 1009, "frame with 1048577 bytes exceeds limit of 1048576 bytes"),
			closes("alice", 1009, "frame exceeds limit of 1048576 bytes"), why),
	}
}

// closings are cases about the closing handshake.
func closings() []Case {
	bye := func(code int, reason string) Case {
		return both("a close"+goodbye(closeFrame(code, reason).payload)+" is answered", alice(leaves("alice", code, reason))...)
	}
	bad := func(code int) Case {
		return both(fmt.Sprintf("a close with %d, which must not be sent", code),
			alice(sends("alice", "it", closeFrame(code, "")), isClosed("alice", 1002, anyReason))...)
	}
	const why = "Either way the connection ends, and the code is for a client that has broken the protocol while leaving."
	return []Case{
		bye(1000, ""), bye(1000, "bye"), bye(1001, ""), bye(1012, ""), bye(1014, ""), bye(3001, ""), bye(4567, "é"), bye(0, ""),
		bye(4999, strings.Repeat("r", 123)),
		both("a close before the registration is answered", opens("alice"), leaves("alice", 1000, "")),
		bad(0xffff), bad(999), bad(1004), bad(1005), bad(1006), bad(1015), bad(1016), bad(2999), bad(5000),
		both("a close with half a code", alice(sends("alice", "a close of one byte", frame{op: opClose, payload: []byte{3}}), isClosed("alice", 1002, anyReason))...),
		differ("a close with a reason that is no UTF-8", alice(sends("alice", "it", closeFrame(1000, "\xff"))),
			does("closes with 1007", isClosed("alice", 1007, anyReason)),
			does("closes with 1002", isClosed("alice", 1002, anyReason)), why),
	}
}
