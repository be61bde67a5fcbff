package conform

import (
	"slices"
	"strings"
)

// decodings are cases about what is a message, and what it says. Alice is her
// own peer in them.
func decodings() []Case {
	return slices.Concat(accepted(), spellings(), refused(), malformed())
}

// aboutAlice is the value of peer_uuid that spellings and refusals replace.
const aboutAlice = `"peer_uuid": "ALICE"`

func accepted() []Case {
	plain := message("ALICE", "ALICE")
	// Those in Python's spelling are compared as bytes, the others as values.
	same := func(name, text string) Case { return both(name, alice(says("alice", text), hears("alice", text))...) }
	value := func(name, text, value string) Case {
		return both(name, alice(says("alice", text), hearsSame("alice", value))...)
	}
	return []Case{
		same("a message in Python's spelling", plain),
		same("all escapes that Python writes", described("ALICE", "ALICE", `"\u0001\u001f\u007f\u00e9\u6f22\ud83d\ude00\"\\/<>&\r\n\t\b\f"`)),
		value("characters that are not escaped", described("ALICE", "ALICE", `"é漢😀`+"\x7f"+`"`), described("ALICE", "ALICE", `"\u00e9\u6f22\ud83d\ude00\u007f"`)),
		value("an escape that is not needed", described("ALICE", "ALICE", `"\/\u0064"`), described("ALICE", "ALICE", `"/d"`)),
		value("white space around and inside", " \t\r\n"+strings.ReplaceAll(plain, ", ", "\n\t,  ")+" \n", plain),
		value("no white space", strings.NewReplacer(", ", ",", ": ", ":").Replace(plain), plain),
		value("keys in another order", `{"message_type": "peer_connection", "error": null, "description": "d", "description_type": "offer", "peer_uuid": "ALICE", "source_name": "alice", "source_uuid": "ALICE"}`, plain),
		value("a key with escapes", with(plain, `"source_name"`, `"source\u005fname"`), plain),
		value("a type with escapes", with(plain, `"peer_connection"`, `"peer\u005fconnection"`), plain),
		value("equal keys: the last counts", with(plain, "{", `{"peer_uuid": "BOB", "description": 5, `), plain),
		value("equal keys: the last counts, also where the first is wrong", with(plain, "{", `{"message_type": "nonsense", "peer_uuid": 5, `), plain),
		same("a description_type that nobody knows", with(plain, `"offer"`, `"anything"`)),
		same("a description_type that is no string", with(plain, `"offer"`, `7`)),
		same("a name that is null", with(plain, `"alice"`, `null`)),
		same("a description that is an object", described("ALICE", "ALICE", `{"sdp": ["v=0", 1, true, null], "uid": {}}`)),
		same("uuid in a key inside the description", described("ALICE", "ALICE", `{"my_uuid": 5}`)),
		same("NaN and Infinity", described("ALICE", "ALICE", `[NaN, Infinity, -Infinity]`)),
		same("an integer of 4300 digits", described("ALICE", "ALICE", strings.Repeat("9", 4300))),
		same("450 levels of lists in the description", described("ALICE", "ALICE", nested(450))),
		same("half of a surrogate pair", described("ALICE", "ALICE", `"\ud800"`)),
		same("two halves in the wrong order", described("ALICE", "ALICE", `"\ude00\ud83d"`)),
		same("an error that is a text", with(plain, "null", `"mine"`)),
		same("an error that is no text", with(plain, "null", `[1]`)),
	}
}

// spellings are those of a UUID that Python takes, and near misses.
func spellings() []Case {
	plain := message("ALICE", "ALICE")
	taken := func(name, spelling string) Case {
		return both("a UUID "+name, alice(says("alice", with(plain, aboutAlice, `"peer_uuid": `+spelling)), hears("alice", plain))...)
	}
	not := func(name, spelling string) Case {
		return both("a UUID "+name+" is none", alice(says("alice", with(plain, aboutAlice, `"peer_uuid": `+spelling)), isClosed("alice", 4000, unknownType))...)
	}
	return []Case{
		taken("in capitals", `"ALICE.upper"`), taken("without hyphens", `"ALICE.hex"`), taken("in braces", `"{ALICE}"`),
		taken("as a URN", `"urn:uuid:ALICE"`), taken("with hyphens elsewhere", `"ALICE.pairs"`),
		taken("in full-width digits", `"ALICE.wide"`), taken("with a blank for its first digit, 0", `"ALICE.blank"`),
		taken("with an underscore for its second digit, 0", `"ALICE.under"`), taken("with 0x for its first digits, 00", `"ALICE.0x"`),
		taken("with an escape", `"\u0030ALICE.tail"`),
		not("and a blank behind", `"ALICE "`), not("and a blank before", `" ALICE"`), not("that is null", `null`),
		not("that is a number", `5`), not("in a list", `["ALICE"]`), not("without its last digit", `"ALICE.short"`),
		not("with a g", `"ALICE.g"`), not("that is empty", `""`),
	}
}

// refused are no messages, and are told so by both relays.
func refused() []Case {
	plain := message("ALICE", "ALICE")
	bad := func(name, text string) Case {
		return both(name, alice(says("alice", text), isClosed("alice", 4000, unknownType))...)
	}
	return []Case{
		bad("no JSON", "hello"), bad("no text at all", ""), bad("a blank", " "),
		bad("something behind the message", plain+"x"), bad("two messages in one", plain+plain),
		bad("a byte order mark", "\ufeff"+plain), bad("another white space", "\u00a0"+plain),
		bad("a raw new line in a string", described("ALICE", "ALICE", "\"\n\"")),
		bad("a raw tab in a string", described("ALICE", "ALICE", "\"\t\"")),
		bad("an escape that JSON does not know", described("ALICE", "ALICE", `"\x"`)),
		bad("half an escape", described("ALICE", "ALICE", `"\u00"`)),
		bad("single quotes", strings.ReplaceAll(plain, `"`, "'")),
		bad("a comma too many", with(plain, "}", ",}")), bad("no end", plain[:len(plain)-1]),
		bad("a number that starts with 0", described("ALICE", "ALICE", "01")),
		bad("a number that starts with +", described("ALICE", "ALICE", "+1")),
		bad("nan in small letters", described("ALICE", "ALICE", "nan")),
		bad("a key that nobody knows", with(plain, "{", `{"extra": 1, `)),
		bad("a key that differs in case", with(plain, `"description"`, `"Description"`)),
		bad("no description", with(plain, `"description": "d", `, "")),
		bad("no source_name", with(plain, `"source_name": "alice", `, "")),
		bad("no peer_uuid", with(plain, aboutAlice+", ", "")),
		bad("the name of a Python class for its type", with(plain, "peer_connection", "PeerConnectionRequest")),
		bad("a type in capitals", with(plain, "peer_connection", "PEER_CONNECTION")),
		bad("no type", `{}`), bad("an unknown type", `{"message_type": "hello"}`),
		bad("a type that is null", `{"message_type": null}`), bad("a type that is a number", `{"message_type": 5}`),
		bad("a registration with a key more", with(registration("ALICE"), "{", `{"extra": 1, `)),
		bad("a registration without a name", `{"uuid": "ALICE", "message_type": "relay_registration"}`),
		bad("a registration without a UUID", `{"name": "alice", "message_type": "relay_registration"}`),
		bad("a registration whose UUID is null", `{"name": "alice", "uuid": null, "message_type": "relay_registration"}`),
		bad("a response with a key that nobody knows", `{"message_type": "relay_response", "extra": 1}`),
		both("a binary message", alice(sends("alice", "a good message as binary", frame{op: opBinary, payload: []byte(plain)}), isClosed("alice", 4000, unknownType))...),
		both("an empty binary message", alice(sends("alice", "an empty binary message", frame{op: opBinary}), isClosed("alice", 4000, unknownType))...),
		both("no message before the registration", opens("alice"), says("alice", "hello"), isClosed("alice", 4000, unknownType)),
	}
}

// malformed are messages that ProxyStore's relay stumbles over.
func malformed() []Case {
	const why = "The message is at fault, not the relay, and its sender should learn that, as with any other that is no message."
	crash := func(name, text string) Case {
		return differ(name, alice(says("alice", text)), closes("alice", 1011, ""), closes("alice", 4000, unknownType), why)
	}
	deep := described("ALICE", "ALICE", nested(950))
	return []Case{
		crash("a list", "[]"), crash("a string", `"hello"`), crash("a number", "5"), crash("null", "null"),
		crash("a type that is a list", `{"message_type": []}`), crash("a type that is an object", `{"message_type": {}}`),
		crash("a response from a client", success), crash("the shortest response from a client", `{"message_type": "relay_response"}`),
		crash("an integer of 4301 digits", described("ALICE", "ALICE", strings.Repeat("9", 4301))),
		differ("950 levels of lists in the description", alice(says("alice", deep)),
			closes("alice", 1011, ""), does("passes it on", hears("alice", deep)),
			"ProxyStore's clients take up to 950 levels; the relay's own limit, on CPython 3.11, is 488."),
		crash("951 levels of lists in the description", described("ALICE", "ALICE", nested(951))),
		crash("100,000 levels of lists", strings.Repeat("[", 100_000)),
	}
}

func nested(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
