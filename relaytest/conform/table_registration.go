package conform

import (
	"fmt"
	"time"
)

// registrations are cases about who is reachable, and through which connection.
func registrations() []Case {
	spelled := func(name, spelling string) Case {
		return both(name, opens("alice"),
			says("alice", with(registration("ALICE"), `"ALICE"`, spelling)), hears("alice", success), hearsNothing("alice", "ALICE"))
	}
	text := registration("ALICE")
	return []Case{
		both("a registration is confirmed", opens("alice"), registers("alice", "ALICE"), hearsNothing("alice", "ALICE")),
		both("each registration is confirmed once", alice(registers("alice", "ALICE"), registers("alice", "ALICE"), hearsNothing("alice", "ALICE"))...),
		both("keys in another order, white space, escapes", opens("alice"),
			says("alice", " {\"message_type\":\"relay_registration\",\n\"uuid\":\"ALICE\",\"name\":\"\\u00e9\"} "), hears("alice", success), hearsNothing("alice", "ALICE")),
		both("the last of equal keys counts", opens("alice"),
			says("alice", with(text, "{", `{"uuid": "BOB", `)), hears("alice", success), hearsNothing("alice", "ALICE")),
		both("a name that is no string", opens("alice"), says("alice", with(text, `"alice"`, "5")), hears("alice", success)),
		both("an empty name", opens("alice"), says("alice", with(text, `"alice"`, `""`)), hears("alice", success)),
		spelled("a registration with a UUID in capitals", `"ALICE.upper"`),
		spelled("a registration with a UUID in braces", `"{ALICE}"`),
		spelled("a registration with a UUID without hyphens", `"ALICE.hex"`),
		both("several UUIDs on one connection", aliceAndBob(
			registers("alice", "CAROL"),
			says("bob", message("BOB", "ALICE"), message("BOB", "CAROL")),
			hears("alice", message("BOB", "ALICE"), message("BOB", "CAROL")),
			hearsNothing("alice", "CAROL"), hearsNothing("alice", "ALICE"))...),
		both("another connection takes a UUID over", with1("old", with1("bob", []step{
			opens("new"), says("new", with(registration("OLD"), "old", "new")),
			isClosed("old", 4004, takenOver), hears("new", success),
			says("bob", message("BOB", "OLD")), hears("new", message("BOB", "OLD")),
		}))...),
		both("who was taken over takes it back", with1("old", []step{
			opens("new"), says("new", registration("OLD")), isClosed("old", 4004, takenOver), hears("new", success),
			opens("back"), says("back", registration("OLD")), isClosed("new", 4004, takenOver), hears("back", success),
			hearsNothing("back", "OLD"),
		})...),
		differ("100 UUIDs on one connection",
			alice(crowd("alice", 1, 64)),
			does("confirms them all", crowd("alice", 64, 100)),
			does("answers those beyond 64 with an error, and goes on",
				says("alice", registration(numbered(64))),
				hears("alice", with(with(with(success, "true", "false"), "null", `"ForbiddenError: Too many clients are registered on this connection."`), `"error": false`, `"error": true`)),
				hearsNothing("alice", "ALICE")),
			"One connection could fill the relay's memory with names."),
		slow(differ("a connection that never registers", []step{opens("alice")},
			does("keeps it", isPinged("alice", 4), registers("alice", "ALICE")),
			does("closes with 1008 `Client has not registered in time.` after 10 seconds", within(9*time.Second, 20*time.Second, isClosed("alice", 1008, "Client has not registered in time."))),
			"Connections that nobody can reach are of no use, and cost memory.")),
	}
}

// crowd registers some of those that are numbered.
func crowd(who string, from, to int) step {
	return step{fmt.Sprintf("%s registers %d UUIDs", who, to-from), func(r *run) error {
		for i := from; i < to; i++ {
			if err := registers(who, numbered(i)).do(r); err != nil {
				return err
			}
		}
		return nil
	}}
}
