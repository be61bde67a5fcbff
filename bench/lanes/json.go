package lanes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/bench/payloads"
)

// jsonLane is nats.go with typed messages at both ends, by the standard library,
// in the way of nats.go's own JSON encoder: a Marshal for each message sent, an
// Unmarshal for each received.
type jsonLane struct {
	*natsLane
	source, peer uuid.UUID
}

// wireMessage is relay.Message as encoding/json is told to write it.
type wireMessage struct {
	SourceUUID      uuid.UUID             `json:"source_uuid"`
	SourceName      string                `json:"source_name"`
	PeerUUID        uuid.UUID             `json:"peer_uuid"`
	DescriptionType relay.DescriptionType `json:"description_type"`
	Description     string                `json:"description"`
	Error           *string               `json:"error"`
	MessageType     string                `json:"message_type"`
}

const peerConnection = "peer_connection"

func openNATSWithJSON(ctx context.Context) (lane, error) {
	l, err := openNATS(ctx)
	if err != nil {
		return nil, err
	}
	return &jsonLane{l.(*natsLane), uuid.New(), uuid.New()}, nil
}

func (l *jsonLane) send(ctx context.Context, n int, p *payloads.Set) error {
	for i := range n {
		frame, err := json.Marshal(wireMessage{
			SourceUUID:      l.source,
			SourceName:      "sender",
			PeerUUID:        l.peer,
			DescriptionType: relay.Offer,
			Description:     p.Text[i%payloads.Distinct],
			MessageType:     peerConnection,
		})
		if err != nil {
			return err
		}
		if err := l.from.Publish(subject, frame); err != nil {
			return err
		}
	}
	return l.from.FlushWithContext(ctx)
}

func (l *jsonLane) receive(ctx context.Context, n int) (s payloads.Sum, err error) {
	scratch := []byte(nil)
	for s.Messages < n {
		select {
		case arrived := <-l.arrived:
			m, err := l.decode(arrived)
			if err != nil {
				return s, err
			}
			scratch = append(scratch[:0], m.Description...)
			s.Add(scratch)
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	return s, nil
}

func (l *jsonLane) decode(arrived *nats.Msg) (m wireMessage, err error) {
	if err := json.Unmarshal(arrived.Data, &m); err != nil {
		return m, err
	}
	if m.MessageType != peerConnection {
		return m, fmt.Errorf("a message of type %q", m.MessageType)
	}
	if m.SourceUUID != l.source || m.PeerUUID != l.peer || m.Error != nil {
		return m, errors.New("not from the sender")
	}
	return m, nil
}
