package conform

import (
	"fmt"
	"strings"
)

// forwardings are cases about messages on their way to a peer, or back.
func forwardings() []Case {
	toBob, toNobody := message("ALICE", "BOB"), message("ALICE", "NOBODY")
	stranger := "because its source BOB is not registered on this connection."
	const why = "Messages are passed on as the bytes that came, which every JSON decoder reads alike. Decoding and encoding them again would cost most of the relay's time."
	var many []string
	for i := range 300 {
		many = append(many, described("ALICE", "BOB", fmt.Sprintf(`"%d"`, i)))
	}
	accents := strings.Repeat("é", 200_000)
	return []Case{
		both("a message arrives, byte for byte", aliceAndBob(says("alice", toBob), hears("bob", toBob), hearsNothing("alice", "ALICE"))...),
		both("an answer goes the other way", aliceAndBob(
			says("bob", with(message("BOB", "ALICE"), "offer", "answer")), hears("alice", with(message("BOB", "ALICE"), "offer", "answer")))...),
		both("a message to oneself", alice(says("alice", message("ALICE", "ALICE")), hears("alice", message("ALICE", "ALICE")))...),
		both("300 messages keep their order", aliceAndBob(says("alice", many...), hears("bob", many...))...),
		both("a peer's error text arrives", aliceAndBob(says("alice", with(toBob, "null", `"mine"`)), hears("bob", with(toBob, "null", `"mine"`)))...),
		both("another name than the registered one", aliceAndBob(says("alice", with(toBob, `"alice"`, `"al"`)), hears("bob", with(toBob, `"alice"`, `"al"`)))...),
		both("a message to nobody comes back", alice(says("alice", toNobody), hears("alice", bounced(toNobody, "NOBODY")), hearsNothing("alice", "ALICE"))...),
		both("it comes back with the relay's error in place of its own", alice(
			says("alice", with(toNobody, "null", `"mine"`)), hears("alice", bounced(toNobody, "NOBODY")))...),
		both("all else of it is kept", alice(
			says("alice", with(with(toNobody, `"offer"`, `7`), `"alice"`, `["a", null]`)),
			hears("alice", bounced(with(with(toNobody, `"offer"`, `7`), `"alice"`, `["a", null]`), "NOBODY")))...),
		both("it names the peer in the usual spelling", alice(
			says("alice", with(toNobody, `"NOBODY"`, `"NOBODY.upper"`)), hears("alice", bounced(toNobody, "NOBODY")))...),
		both("a message before the registration", opens("alice"), says("alice", toBob), isClosed("alice", 4002, notRegistered)),
		both("a message before the registration, to nobody", opens("alice"), says("alice", toNobody), isClosed("alice", 4002, notRegistered)),
		differ("a message that Python would have spelled otherwise",
			aliceAndBob(says("alice", `{"message_type":"peer_connection","source_uuid":"ALICE","peer_uuid":"BOB","source_name":"é","description_type":"offer","description":1.50,"error":null}`)),
			does("encodes it anew", hears("bob", `{"source_uuid": "ALICE", "source_name": "\u00e9", "peer_uuid": "BOB", "description_type": "offer", "description": 1.5, "error": null, "message_type": "peer_connection"}`)),
			does("passes it on as it came", hears("bob", `{"message_type":"peer_connection","source_uuid":"ALICE","peer_uuid":"BOB","source_name":"é","description_type":"offer","description":1.50,"error":null}`)),
			why),
		differ("a message without the key error", aliceAndBob(says("alice", with(toBob, `"error": null, `, ""))),
			does("adds it, as null", hears("bob", toBob)),
			does("passes it on as it came", hears("bob", with(toBob, `"error": null, `, ""))),
			why+" A decoder takes an absent error for null."),
		differ("a number that Python's floats do not hold", aliceAndBob(says("alice", described("ALICE", "BOB", "1e400"))),
			does("makes it Infinity", hears("bob", described("ALICE", "BOB", "Infinity"))),
			does("passes it on as it came", hears("bob", described("ALICE", "BOB", "1e400"))), why),
		differ("a description that is an object with equal keys", aliceAndBob(says("alice", described("ALICE", "BOB", `{"a": 1, "a": 2}`))),
			does("keeps the last", hears("bob", described("ALICE", "BOB", `{"a": 2}`))),
			does("passes it on as it came", hears("bob", described("ALICE", "BOB", `{"a": 1, "a": 2}`))), why),
		differ("200,000 times é", aliceAndBob(says("alice", described("ALICE", "BOB", `"`+accents+`"`))),
			does("makes 1.2 MB of 400 kB, more than its own clients take: the receiver closes with 1009",
				hears("bob", described("ALICE", "BOB", `"`+strings.ReplaceAll(accents, "é", `\u00e9`)+`"`))),
			does("passes it on as it came", hears("bob", described("ALICE", "BOB", `"`+accents+`"`))),
			"Any sender could disconnect any peer."),
		differ("a message of 1 MiB to nobody", alice(says("alice", paddedTo("ALICE", "NOBODY", maxMessage))),
			does("sends it back whole, more than its own clients take: the sender closes with 1009",
				hears("alice", bounced(paddedTo("ALICE", "NOBODY", maxMessage), "NOBODY"))),
			does("sends it back without its description",
				hears("alice", bounced(described("ALICE", "NOBODY", `""`), "NOBODY"))),
			"The sender would be disconnected by the news instead of reading it."),
		differ("a message in the name of another", aliceAndBob(says("alice", message("BOB", "BOB"))),
			does("delivers it", hears("bob", message("BOB", "BOB")), hearsNothing("alice", "ALICE")),
			does("sends it back",
				hears("alice", with(message("BOB", "BOB"), `"error": null`, `"error": "Cannot forward peer connection message to peer BOB `+stranger+`"`)),
				hearsNothing("bob", "BOB")),
			"Anybody could pose as anybody: an answer to an offer would come from whoever is first. Real clients always send the UUID that they have registered."),
	}
}
