package interop

import (
	"bytes"
	"math/rand/v2"
	"strings"
)

// goldenFrames are messages as they stand on the real wire.
var goldenFrames = []string{
	`{"name": "alice", "uuid": "aaaaaaaa-0000-4000-8000-000000000001", "message_type": "relay_registration"}`,
	`{"success": true, "message": null, "error": false, "message_type": "relay_response"}`,
	`{"success": false, "message": "ForbiddenError: no", "error": true, "message_type": "relay_response"}`,
	`{"source_uuid": "aaaaaaaa-0000-4000-8000-000000000001", "source_name": "alice", ` +
		`"peer_uuid": "bbbbbbbb-0000-4000-8000-000000000002", "description_type": "offer", ` +
		`"description": "{\"sdp\": \"v=0\\r\\no=- 4004364610\", \"type\": \"offer\"}", "error": null, "message_type": "peer_connection"}`,
}

// oddFrames are no objects of fields, or objects spelled oddly.
var oddFrames = []string{
	"", " ", "null", "true", "5", `"peer_connection"`, "[]", "{}", "[[]]", "{]", "\ufeff{}", "{} {}", "{}x", "\x00", "nan", "NaN",
	`{"message_type":"relay_response"}`, " \t\r\n{\"message_type\" :\t\"relay_response\"}\n ", "\v" + `{"message_type":"relay_response"}`,
	`{"message_type":"relay_response",}`, `{,"message_type":"relay_response"}`, `{"message_type":"relay_response" "error":1}`,
	`{"message_type":"RelayResponse"}`, `{"message_type":"relay_response "}`, `{"message_type":"Relay_response"}`, `{"Message_Type":"relay_response"}`,
	`{"message_type":null}`, `{"message_type":1}`, `{"message_type":[]}`, `{"message_type":{}}`, `{"message_type":""}`, `{"message_type":"name"}`,
	`{"message_type":"relay\u005fresponse"}`, `{"message\u005ftype":"relay_response"}`, `{"message_type":"x","message_type":"relay_response"}`,
	`{"message_type":"relay_response","message_type":"x"}`, `{"message_type":"relay_response","self":1}`, `{'message_type':'relay_response'}`,
	`{"message_type":"relay_response","uuid":"aaaaaaaa-0000-4000-8000-000000000001"}`, `{"message_type":"relay_response","":""}`,
	`{"name":"a","message_type":"relay_registration"}`, `{"uuid":"aaaaaaaa-0000-4000-8000-000000000001","message_type":"relay_registration"}`,
	`{"name":"a","UUID":"aaaaaaaa-0000-4000-8000-000000000001","message_type":"relay_registration"}`,
	`{"name":"a","uuid":"no","uuid":"aaaaaaaa-0000-4000-8000-000000000001","message_type":"relay_registration"}`,
	`{"name":"a","uuid":"aaaaaaaa-0000-4000-8000-000000000001","uuid":"no","message_type":"relay_registration"}`,
	"{\"message_type\":\"relay_response\",\"message\":\"\xff\"}", "{\"message_type\":\"relay_response\",\"message\":\"\xed\xa0\x80\"}",
	"{\"message_type\":\"relay_response\",\"message\":\"\xc0\x80\"}", "{\"message_type\":\"relay_response\",\"message\":\"\xf4\x90\x80\x80\"}",
}

// oddValues are JSON values, and near misses, to stand where others are due.
var oddValues = []string{
	"null", "true", "false", "0", "-0", "1", "-1", "1.5", "1e2", "1E+2", "1e-7", "-0.0", "1e400", "-1e400", "5e-324", "0.1e1", "100000000000000000000000",
	"NaN", "Infinity", "-Infinity", "-NaN", "+1", "01", "1.", ".5", "1e", "-", "0x10", "1_000", "nul", "True", "infinity",
	`""`, `"x"`, `"offer"`, `"answer"`, `"\u0000"`, `"\ud83d\ude00"`, `"\ud800"`, `"\ude00\ud83d"`, `"\ud83d\ud83d\ude00"`, `"\uD83D\uDE00"`, `"\ud83dx"`,
	`"\/\b\f\n\r\t\"\\"`, `"\v"`, `"\x41"`, `"\u12"`, `"\u12g4"`, `"\u+123"`, `"\u 123"`, `"\u1_23"`, `"\`, `"`, `"\"`, "\"\n\"", "\"\t\"", "\"\x7f\"", "\"\u2028\u00e9漢😀\"",
	"[]", "{}", "[1,2]", "[1 2]", "[1,]", `{"a":1}`, `{"a":1,}`, `{"a"}`, `{a:1}`, `{"a":{"uuid":5}}`, `{"a":1,"a":2}`, "[[[[[[]]]]]]", "[", "]", "{", "}",
	strings.Repeat("[", 900) + strings.Repeat("]", 900), strings.Repeat("[", 1100) + strings.Repeat("]", 1100),
	strings.Repeat(`{"a":`, 900) + "1" + strings.Repeat("}", 900), strings.Repeat(`{"a":`, 1100) + "1" + strings.Repeat("}", 1100),
	strings.Repeat("1", 4300), strings.Repeat("1", 4301), "-" + strings.Repeat("1", 4300), "-" + strings.Repeat("1", 4301), strings.Repeat("1", 5000) + ".0",
}

// oddUUIDs are spellings that Python's UUID takes, and near misses.
var oddUUIDs = []string{
	"AAAAAAAA-0000-4000-8000-00000000000F", "aaaaaaaa00004000800000000000000f", "{aaaaaaaa-0000-4000-8000-000000000001}", "urn:uuid:aaaaaaaa-0000-4000-8000-000000000001",
	"{urn:uuid:aaaaaaaa-0000-4000-8000-000000000001}", "urn:{aaaaaaaa-0000-4000-8000-000000000001}", "URN:UUID:aaaaaaaa-0000-4000-8000-000000000001",
	"uuid:urn:aaaaaaaa-0000-4000-8000-000000000001", "urn:urn:aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaaurn:00004000800000000000000f", "aaaaaaaauurn:uid:00004000800000000000000f",
	"{{aaaaaaaa-0000-4000-8000-000000000001}}", "}aaaaaaaa-0000-4000-8000-000000000001{", "{aaaaaaaa-0000-4000-8000-000000000001", "aaaa{aaaa-0000-4000-8000-000000000001", "-{aaaaaaaa-0000-4000-8000-000000000001}-",
	"a-a-a-a-a-a-a-a-0000-4000-8000-000000000001", "----aaaaaaaa000040008000000000000001", "aaaaaaaa000040008000000000000001-", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
	"0xaaaaaa000040008000000000000001", "0Xaaaaaa000040008000000000000001", "0x_aaaaa000040008000000000000001", "0xaaaaaaaa000040008000000000000001", "+aaaaaaa000040008000000000000001", "+ aaaaaa000040008000000000000001", "+0xaaaaa000040008000000000000001",
	"aaaaaaaa_0000_4000_8000_00000000", "_aaaaaaa000040008000000000000001", "aaaaaaaa00004000800000000000001_", "aaaa__aa000040008000000000000001", " aaaaaaa000040008000000000000001", "aaaaaaa000040008000000000000001 ",
	"  aaaaaa000040008000000000000001", "\u00a0aaaaaaa000040008000000000000001", "\u2003aaaaaaa00004000800000000000000\u3000", "\u200baaaaaaa000040008000000000000001", "\ufeffaaaaaaa000040008000000000000001",
	"１２３４５６７８９０１２３４５６７８９０１２３４５６７８９０１２", "１aaaaaaa000040008000000000000001", "\u0661aaaaaaa000040008000000000000001", "\U0001d7ceaaaaaaa000040008000000000000001", "²aaaaaaa000040008000000000000001", "ａaaaaaaa000040008000000000000001",
	"", "a", "aaaaaaaa-0000-4000-8000-00000000000", "aaaaaaaa-0000-4000-8000-0000000000012", "gaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000001 ", " aaaaaaaa-0000-4000-8000-000000000001",
	"\taaaaaaa000040008000000000000001", "\\taaaaaaa000040008000000000000001", "\\u0061aaaaaaa-0000-4000-8000-000000000001", "\\u001caaaaaaa000040008000000000000001", "\\u001faaaaaaa000040008000000000000001", "\\u0085aaaaaaa000040008000000000000001",
	"\\u000baaaaaaa000040008000000000000001", "\\u0000aaaaaaa000040008000000000000001", "\\ud800aaaaaaa000040008000000000000001", "−aaaaaaa000040008000000000000001", "aaaaaaa\\u0000000040008000000000000001",
}

var oddRunes = []rune("ab \"\\/<>&'\x00\x01\b\t\n\v\f\r\x1b\x1f\x7f\u0080\u00a0éß\u07ff\u0800\u2028\u2029漢\ud7ff\ue000\ufeff\ufffd\uffff\U00010000😀\U0010ffff")

// differentialFrames returns some thousand frames around the edge between what
// is a message and what is none.
func differentialFrames(random *rand.Rand) [][]byte {
	var frames [][]byte
	add := func(s string) { frames = append(frames, []byte(s)) }
	for _, frame := range append(goldenFrames, oddFrames...) {
		add(frame)
	}
	for _, golden := range goldenFrames {
		members := members(golden)
		for i := range members {
			for _, value := range oddValues {
				add(object(replaced(members, i, value)))
			}
			if strings.Contains(members[i].key, "uuid") {
				for _, spelling := range oddUUIDs {
					add(object(replaced(members, i, `"`+spelling+`"`)))
				}
			}
		}
	}
	for range 1500 {
		golden := goldenFrames[random.IntN(len(goldenFrames))]
		add(object(rearranged(random, members(golden))))
	}
	for range 2500 {
		golden := []byte(goldenFrames[random.IntN(len(goldenFrames))])
		for range 1 + random.IntN(3) {
			golden = mutated(random, golden)
		}
		frames = append(frames, golden)
	}
	return frames
}

type member struct{ key, value string } // value: JSON text

// members takes a golden frame apart. None holds `, "` inside a string but
// after a backslash.
func members(golden string) []member {
	var all []member
	for _, part := range strings.Split(strings.Trim(golden, "{}"), `, "`) {
		key, value, found := strings.Cut(part, `": `)
		if last := len(all) - 1; !found || strings.HasSuffix(key, `\`) {
			all[last].value += `, "` + part
			continue
		}
		all = append(all, member{strings.TrimPrefix(key, `"`), value})
	}
	return all
}

func object(members []member) string {
	var s strings.Builder
	for i, m := range members {
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(`"` + m.key + `": ` + m.value)
	}
	return "{" + s.String() + "}"
}

func replaced(members []member, i int, value string) []member {
	members = append([]member(nil), members...)
	members[i].value = value
	return members
}

// rearranged shuffles, repeats, drops, renames and escapes some members.
func rearranged(random *rand.Rand, members []member) []member {
	members = append([]member(nil), members...)
	random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	i := random.IntN(len(members))
	switch random.IntN(8) {
	case 0: // stays as shuffled
	case 1:
		members = append(members, members[i])
	case 2: // the last one counts
		members = append(members, member{members[i].key, oddValues[random.IntN(len(oddValues))]})
	case 3: // an earlier one does not count
		members = append([]member{{members[i].key, oddValues[random.IntN(len(oddValues))]}}, members...)
	case 4:
		members = append(members[:i], members[i+1:]...)
	case 5:
		extra := []string{"uuid", "x_uuid", "UuId", "extra", "error", "name", "message", "description", "self"}[random.IntN(9)]
		members = append(members, member{extra, `"aaaaaaaa-0000-4000-8000-000000000001"`})
	case 6:
		members[i].key = strings.ReplaceAll(members[i].key, "e", `\u0065`)
	case 7:
		members[i].value = "\n\t " + members[i].value + " \r"
	}
	return members
}

// mutated changes one place of a frame.
func mutated(random *rand.Rand, frame []byte) []byte {
	i := random.IntN(len(frame))
	switch random.IntN(5) {
	case 0: // another byte
		frame = bytes.Clone(frame)
		frame[i] = byte(random.IntN(256))
		return frame
	case 1: // a byte that means something
		const telling = "{}[]:,\"\\ \n\x00truefalsn0-_.eE"
		return bytes.Join([][]byte{frame[:i], frame[i:]}, []byte{telling[random.IntN(len(telling))]})
	case 2: // a gap
		return append(bytes.Clone(frame[:i]), frame[min(len(frame), i+1+random.IntN(3)):]...)
	case 3: // a rune, raw
		return bytes.Join([][]byte{frame[:i], frame[i:]}, []byte(string(oddRunes[random.IntN(len(oddRunes))])))
	default: // an escape
		const escapes = `\u0041\u00e9\ud83d\ude00\n\"\\\/`
		j := random.IntN(len(escapes))
		return bytes.Join([][]byte{frame[:i], frame[i:]}, []byte(escapes[j:min(len(escapes), j+6)]))
	}
}
