package codec_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
)

// sizes are the lengths of the descriptions that are measured.
var sizes = []struct {
	name  string
	bytes int
}{{"64B", 64}, {"1KB", 1 << 10}, {"16KB", 16 << 10}}

// sdp returns a description of about n bytes that looks like a stock peer's:
// JSON in a string, so that the frame is full of escapes.
func sdp(n int) string {
	text := "v=0\r\no=- 4004364610 4004364610 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
	for i := 0; len(text) < n-40; i++ {
		text += fmt.Sprintf("a=candidate:%d 1 udp 2130706431 127.0.0.1 54940 typ host\r\n", i)
	}
	description, _ := json.Marshal(map[string]string{"sdp": text[:max(n-40, 8)], "type": "offer"})
	return string(description)
}

// plain returns a description of n bytes without anything to escape.
func plain(n int) string { return strings.Repeat("0123456789abcdef", n/16) }

// wire is the message as a program without this package would describe it to encoding/json.
type wire struct {
	SourceUUID      uuid.UUID `json:"source_uuid"`
	SourceName      string    `json:"source_name"`
	PeerUUID        uuid.UUID `json:"peer_uuid"`
	DescriptionType string    `json:"description_type"`
	Description     string    `json:"description"`
	Error           *string   `json:"error"`
	MessageType     string    `json:"message_type"`
}

// benchmark runs ours and encoding/json's way for each kind and size of description.
func benchmark(b *testing.B, ours, theirs func(b *testing.B, m codec.PeerConnection, frame []byte)) {
	for _, kind := range []struct {
		name string
		make func(int) string
	}{{"plain", plain}, {"sdp", sdp}} {
		for _, size := range sizes {
			m := peerConnection()
			m.Description = kind.make(size.bytes)
			frame, err := m.Append(nil)
			if err != nil {
				b.Fatal(err)
			}
			run := func(who string, f func(*testing.B, codec.PeerConnection, []byte)) {
				b.Run(kind.name+"/"+size.name+"/"+who, func(b *testing.B) {
					b.SetBytes(int64(len(frame)))
					b.ReportAllocs()
					f(b, m, frame)
				})
			}
			run("codec", ours)
			run("encoding-json", theirs)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	benchmark(b, func(b *testing.B, m codec.PeerConnection, frame []byte) {
		buf := make([]byte, 0, 2*len(frame))
		for b.Loop() {
			buf, _ = m.Append(buf[:0])
		}
	}, func(b *testing.B, m codec.PeerConnection, _ []byte) {
		w := wire{m.SourceUUID, m.SourceName, m.PeerUUID, string(m.DescriptionType), m.Description, nil, "peer_connection"}
		for b.Loop() {
			if _, err := json.Marshal(&w); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecodePeerConnection(b *testing.B) {
	benchmark(b, func(b *testing.B, _ codec.PeerConnection, frame []byte) {
		for b.Loop() {
			if _, err := codec.DecodePeerConnection(frame); err != nil {
				b.Fatal(err)
			}
		}
	}, benchmarkUnmarshal)
}

func BenchmarkDecodeEnvelope(b *testing.B) {
	benchmark(b, func(b *testing.B, _ codec.PeerConnection, frame []byte) {
		for b.Loop() {
			if _, err := codec.DecodeEnvelope(frame); err != nil {
				b.Fatal(err)
			}
		}
	}, benchmarkUnmarshal)
}

func benchmarkUnmarshal(b *testing.B, _ codec.PeerConnection, frame []byte) {
	for b.Loop() {
		var w wire
		if err := json.Unmarshal(frame, &w); err != nil {
			b.Fatal(err)
		}
	}
}
