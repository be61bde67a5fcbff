package conform

import "time"

const whyStale = "Whoever sends to such a UUID waits for an answer that cannot come."

// faults are what nobody would want to be the same.
func faults() []Case {
	stale := func(name string, code int, reason, text string) Case {
		return differ(name, aliceAndBob(says("alice", text)),
			does("leaves the UUID registered: messages to it vanish", isClosed("alice", code, reason), vanish("bob", "BOB", "ALICE")),
			does("unregisters it: messages to it come back", isClosed("alice", 4000, unknownType), tries("bob", "BOB", "ALICE")),
			whyStale)
	}
	return []Case{
		stale("messages to a client that was closed with 4000", 4000, unknownType, "hello"),
		stale("messages to a client that was closed with 1011", 1011, "", "[]"),
		differ("messages to the first of two UUIDs, after its connection has ended",
			aliceAndBob(registers("alice", "CAROL"), leaves("alice", 1000, ""), tries("bob", "BOB", "CAROL")),
			does("leaves it registered for ever", vanish("bob", "BOB", "ALICE")),
			does("unregisters all that belong to a connection", tries("bob", "BOB", "ALICE")),
			whyStale),
		differ("messages to one of two UUIDs, after the other was taken over",
			aliceAndBob(registers("alice", "CAROL"), opens("new"), says("new", registration("CAROL")),
				isClosed("alice", 4004, takenOver), hears("new", success)),
			does("leaves it registered for ever", vanish("bob", "BOB", "ALICE")),
			does("unregisters it", tries("bob", "BOB", "ALICE")),
			whyStale),
		differ("a UUID that is being taken over", with1("old", with1("bob", []step{opens("new"), says("new", registration("OLD"))})),
			does("has it unreachable until the old connection has answered its close",
				tries("bob", "BOB", "OLD"), isClosed("old", 4004, takenOver), hears("new", success)),
			does("confirms at once, and closes the old connection in its own time",
				hears("new", success), says("bob", message("BOB", "OLD")), hears("new", message("BOB", "OLD")), isClosed("old", 4004, takenOver)),
			"A peer that has lost its network answers no close."),
		slow(differ("a UUID of a connection that is dead is taken over", with1("old", with1("bob", []step{opens("new"), says("new", registration("OLD"))})),
			does("confirms after 10 seconds, which is when its own client gives up", within(9*time.Second, 20*time.Second, hears("new", success))),
			does("confirms at once", within(0, 5*time.Second, hears("new", success)), hearsNothing("new", "OLD")),
			"A client whose network has changed could not come back.")),
		differ("two connections take a UUID over at the same time",
			with1("old", with1("bob", []step{opens("one"), says("one", registration("OLD"))})),
			does("confirms to both and closes neither; when the loser leaves, the winner is unreachable",
				tries("bob", "BOB", "OLD"), opens("two"), registers("two", "OLD"),
				isClosed("old", 4004, takenOver), hears("one", success),
				says("bob", message("BOB", "OLD")), hears("one", message("BOB", "OLD")),
				leaves("two", 1000, ""), tries("bob", "BOB", "OLD")),
			does("has one owner at any time: the one that asked last",
				hears("one", success), opens("two"), registers("two", "OLD"),
				isClosed("one", 4004, takenOver), isClosed("old", 4004, takenOver),
				says("bob", message("BOB", "OLD")), hears("two", message("BOB", "OLD"))),
			"A client that believes that it is registered, and is not, waits for ever."),
		slow(differ("messages to a dead client, once it has been found dead",
			alice(ignoresPings("alice"), isTold("alice", 1011, keepaliveEnded), opens("bob"), registers("bob", "BOB")),
			does("loses them for 10 seconds more, and stalls their senders",
				says("bob", message("BOB", "ALICE")), within(5*time.Second, 30*time.Second, hearsNothing("bob", "BOB"))),
			does("sends them back", within(0, 5*time.Second, tries("bob", "BOB", "ALICE"))),
			whyStale)),
	}
}
