package conform

import "time"

// leavings are cases about the end of a connection, and of its registrations.
func leavings() []Case {
	gone := func(name string, steps ...step) Case {
		return both(name, aliceAndBob(append(steps, tries("bob", "BOB", "ALICE"))...)...)
	}
	back := func(name string, steps ...step) Case {
		return both(name, aliceAndBob(append(steps, opens("again"), registers("again", "ALICE"),
			says("bob", message("BOB", "ALICE")), hears("again", message("BOB", "ALICE")))...)...)
	}
	return []Case{
		gone("after a close with 1000", leaves("alice", 1000, "")),
		gone("after a close with 1001", leaves("alice", 1001, "")),
		gone("after a close without a code", leaves("alice", 0, "")),
		gone("after the end of TCP", drops("alice", false)),
		gone("after a reset of TCP", drops("alice", true)),
		gone("after a violation of the protocol", sends("alice", "a reserved opcode", frame{op: 3}), isClosed("alice", 1002, anyReason)),
		gone("after what is no UTF-8", says("alice", "\xff"), isClosed("alice", 1007, anyReason)),
		gone("after a message over 1 MiB", says("alice", padded("ALICE", maxMessage+1)), isClosed("alice", 1009, anyReason)),
		back("who was closed with 4000 registers again", says("alice", "hello"), isClosed("alice", 4000, unknownType)),
		back("who has left registers again", leaves("alice", 1000, "")),
		slow(both("who does not answer a close is cut off", alice(says("alice", "hello"), isTold("alice", 4000, unknownType), isCutOff("alice"))...)),
		slow(differ("who is silent is pinged", alice(),
			does("after 20 seconds, with 4 random bytes", isPinged("alice", 4), hearsNothing("alice", "ALICE")),
			does("after 10 to 20 seconds, without a payload", isPinged("alice", 0), hearsNothing("alice", "ALICE")),
			"The time is random so that clients that came at once are not pinged at once. A pong is a sign of life, whichever ping it answers.")),
		slow(differ("who answers no ping, but sends", alice(ignoresPings("alice"), talks("alice", "ALICE", 50*time.Second)),
			does("closes with 1011", isClosed("alice", 1011, keepaliveEnded)),
			does("lets it be", hearsNothing("alice", "ALICE")),
			"Whoever sends is alive. A pong can be late behind a large message.")),
		slow(both("who answers no ping is closed", alice(ignoresPings("alice"), isClosed("alice", 1011, keepaliveEnded))...)),
	}
}
