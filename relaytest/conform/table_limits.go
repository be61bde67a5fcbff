package conform

import (
	"errors"
	"fmt"
	"strings"
)

// limits are cases about max_message_bytes; their messages are as long as the
// target's limit says.
func limits() []Case {
	const why = "ProxyStore's relay counts what Python needs for the string: 49 bytes more for ASCII, and up to four bytes a character for others."
	over := []step{saysSized("alice", 1), isClosed("alice", 4003, tooLarge)}
	cases := []Case{
		both("a message of max_message_bytes less 49 passes", alice(saysSized("alice", -49), hearsSized("alice", -49))...),
		differ("a message of max_message_bytes less 48", alice(saysSized("alice", -48)),
			closes("alice", 4003, tooLarge), does("takes it", hearsSized("alice", -48)), why),
		differ("a message of max_message_bytes", alice(saysSized("alice", 0)),
			closes("alice", 4003, tooLarge), does("takes it", hearsSized("alice", 0)), why),
		both("a message of max_message_bytes and one", alice(over...)...),
		both("a binary message over max_message_bytes", alice(
			sizedStep("alice sends a binary message of max_message_bytes and one", 1, func(r *run, text string) error {
				return r.sockets["alice"].write(frame{op: opBinary, payload: []byte(text)})
			}), isClosed("alice", 4003, tooLarge))...),
		differ("messages to a client that was closed with 4003", aliceAndBob(over...),
			does("leaves the UUID registered: they vanish", vanish("bob", "BOB", "ALICE")),
			does("sends them back", tries("bob", "BOB", "ALICE")), whyStale),
	}
	for i := range cases {
		cases[i].limited = true
	}
	return cases
}

// sizedStep does something with a message of Alice to herself that is some
// bytes longer than the target's limit.
func sizedStep(text string, more int, do func(r *run, text string) error) step {
	return step{text, func(r *run) error {
		size, least := r.target.MaxMessageBytes+more, len(r.fill.Replace(message("ALICE", "ALICE")))
		if size < least || size > maxMessage {
			return fmt.Errorf("MaxMessageBytes should be between %d and %d", least+49, maxMessage-1)
		}
		return do(r, r.fill.Replace(padded("ALICE", size)))
	}}
}

func saysSized(who string, more int) step {
	return sizedStep(fmt.Sprintf("%s sends a message of max_message_bytes %+d", who, more), more, func(r *run, text string) error {
		return r.sockets[who].write(frame{op: opText, payload: []byte(text)})
	})
}

func hearsSized(who string, more int) step {
	return sizedStep(who+" gets it back", more, func(r *run, text string) error { return r.gets(who, text) })
}

// unread are cases about a receiver that does not read.
func unread() []Case {
	const toBob = 300
	padding := strings.Repeat("d", 100_000)
	last := []string{message("ALICE", "CAROL"), message("ALICE", "NOBODY")}
	flood := series{toBob + len(last), func(i int) string {
		if i >= toBob {
			return last[i-toBob]
		}
		return described("ALICE", "BOB", fmt.Sprintf(`"%d %s"`, i, padding))
	}}
	begin := with1("carol", aliceAndBob(
		floods("alice", "300 messages of 100 kB to Bob, who does not read, then one to Carol and one to nobody", flood)))
	ours := does("sends back what finds no room, and goes on with what is for others",
		areSentBack("alice", "NOBODY"), hears("carol", last[0]), leaves("alice", 1000, ""))
	const why = "One client that does not read would silence all that talk to it, with everybody."
	return []Case{
		heavy(differ("a client that does not read", begin,
			does("stalls its senders: what they send to others waits, too, until it reads",
				isStalled("alice", flood), hearsSome("bob", toBob, flood), hears("carol", last[0])),
			ours, why)),
		heavy(slow(differ("the sender to a client that does not read", begin,
			does("closes it, with 1011 `"+keepaliveEnded+"`: its pongs wait behind its messages", isTold("alice", 1011, keepaliveEnded)),
			ours, why))),
	}
}

// areSentBack receives messages come back because their peer does not read, or
// was closed for that, until one comes back that was sent to nobody.
func areSentBack(who, nobody string) step {
	return step{who + " gets messages back", func(r *run) error {
		last := r.fill.Replace(noPeer(nobody))
		for count := 0; ; count++ {
			text, err := r.text(who)
			switch {
			case err != nil:
				return err
			case strings.Contains(text, last) && count == 0:
				return errors.New("all messages were taken")
			case strings.Contains(text, last):
				return nil
			case !strings.Contains(text, "does not read its messages; its queue on this relay server is full.") &&
				!strings.Contains(text, "because this peer is not registered this relay server."):
				return errors.New("what came is " + shorten(text))
			}
		}
	}}
}
