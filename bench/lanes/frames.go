package lanes

import (
	"bytes"

	"github.com/google/uuid"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/bench/payloads"
)

// frames are messages that have been encoded before the clock starts.
type frames struct {
	head []byte        // what stands before the description in each
	of   *payloads.Set // what has been encoded
	all  [][]byte
}

// tail is what stands behind the description in each message.
const tail = `", "error": null, "message_type": "peer_connection"}`

func newFrames(source uuid.UUID, name string, peer uuid.UUID) *frames {
	frame, err := relay.Message{SourceUUID: source, SourceName: name, PeerUUID: peer, DescriptionType: relay.Offer}.Append(nil)
	if err != nil {
		panic(err) // a constant name, or one that came through the decoder
	}
	return &frames{head: bytes.TrimSuffix(frame, []byte(tail))}
}

// frame returns message i of p. The first call with p, in the warm-up, encodes all.
func (f *frames) frame(i int, p *payloads.Set) []byte {
	if f.of != p {
		f.of, f.all = p, nil
		for _, text := range p.Text {
			f.all = append(f.all, []byte(string(f.head)+text+tail))
		}
	}
	return f.all[i%payloads.Distinct]
}

// description returns the description in a frame with a head of the same length,
// or false.
func (f *frames) description(frame []byte) ([]byte, bool) {
	if len(frame) < len(f.head)+len(tail) || !bytes.HasSuffix(frame, []byte(tail)) {
		return nil, false
	}
	return frame[len(f.head) : len(frame)-len(tail)], true
}
