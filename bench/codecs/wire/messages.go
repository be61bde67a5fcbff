package wire

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/codec"
)

// Message is the message as a program would describe it to a package for any
// JSON: the six fields on the wire, and the one that tells its type. The UUIDs
// are UUIDs, as they are in ours: each package reads and writes them by their
// MarshalText and UnmarshalText. null is nil.
type Message struct {
	SourceUUID      uuid.UUID `json:"source_uuid"`
	SourceName      string    `json:"source_name"`
	PeerUUID        uuid.UUID `json:"peer_uuid"`
	DescriptionType string    `json:"description_type"`
	Description     string    `json:"description"`
	Error           *string   `json:"error"`
	MessageType     string    `json:"message_type"`
}

// Of returns m as a Message.
func Of(m codec.PeerConnection) Message {
	w := Message{m.SourceUUID, m.SourceName, m.PeerUUID, string(m.DescriptionType), m.Description, nil, "peer_connection"}
	if m.Error != "" {
		w.Error = &m.Error
	}
	return w
}

// Kinds are the descriptions that are measured.
var Kinds = []string{"64 B", "1 KB", "16 KB", "SDP", NonASCII}

// NonASCII is a text in several scripts, about 1 KB of it.
const NonASCII = "non-ASCII"

// descriptions make the i-th of a kind: all of them differ, and are of one length.
var descriptions = map[string]func(i int) string{
	"64 B":  func(i int) string { return payloads.Text(i, 64) },
	"1 KB":  func(i int) string { return payloads.Text(i, 1<<10) },
	"16 KB": func(i int) string { return payloads.Text(i, 16<<10) },
	"SDP":   offer,
	NonASCII: func(i int) string {
		return fmt.Sprintf("%08d ", i) + strings.Repeat("Grüße aus Köln, 漢字とかな, Ελληνικά, 😀 ", 20)
	},
}

// offer is what a stock peer sends, as it was seen on the wire: JSON in a string,
// so that it is full of quotes and of backslashes, which are escaped again.
func offer(i int) string {
	sdp := fmt.Sprintf(`v=0
o=- %08d 4004364610 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic:WMS *
m=application 54940 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 127.0.0.1
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
a=candidate:16572de626da4e5384a0ce2d0d93678a 1 udp 2130706431 127.0.0.1 54940 typ host
a=end-of-candidates
a=ice-ufrag:xzL4
a=ice-pwd:Oc93cx2URf6CzJCjyTKGDY
a=fingerprint:sha-256 83:0E:5A:55:C7:2E:0D:D0:43:18:4F:2D:E9:A1:1C:7B:20:6C:62:9B:AF:0A:8C:F7:E4:67:9B:03:1D:71:2B:9F
a=setup:actpass
`, i)
	text, err := json.Marshal(map[string]string{"sdp": strings.ReplaceAll(sdp, "\n", "\r\n"), "type": "offer"})
	if err != nil {
		panic(err) // of two strings
	}
	return string(text)
}

// messages are what is encoded and decoded in turn: so many that no branch
// predictor learns them, so few that they stay in the cache, as a frame that was
// read just now does.
func messages(kind string) ([]codec.PeerConnection, error) {
	describe := descriptions[kind]
	if describe == nil {
		return nil, fmt.Errorf("no kind %q", kind)
	}
	all := make([]codec.PeerConnection, min(max(16, (256<<10)/len(describe(0))), 256))
	for i := range all {
		all[i] = codec.PeerConnection{
			SourceUUID:      uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "source %d", i)),
			SourceName:      fmt.Sprintf("client-%03d", i),
			PeerUUID:        uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "peer %d", i)),
			DescriptionType: codec.Offer,
			Description:     describe(i),
		}
	}
	return all, nil
}
