package main

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/codec"
	"github.com/seed73300619/relay/transport"
)

// A rawClient is a client that does nothing by itself, so that everything that it does
// can be counted.
type rawClient struct {
	transport.Conn
	id          uuid.UUID
	sent, bytes int // messages of all kinds; of the goroutine that writes
}

// connectRaw connects, and registers nothing. It is cut off at the end of the test.
func connectRaw(t *testing.T, url string) (*rawClient, error) {
	t.Helper()
	conn, err := new(transport.Dialer).Dial(t.Context(), url)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Abort() })
	return &rawClient{Conn: conn, id: uuid.New()}, nil
}

// registerRaw connects and registers.
func registerRaw(t *testing.T, url string) (*rawClient, error) {
	t.Helper()
	p, err := connectRaw(t, url)
	if err != nil {
		return nil, err
	}
	return p, p.register()
}

func (p *rawClient) register() error {
	if err := p.write(codec.Registration{Name: "raw", UUID: p.id}); err != nil {
		return err
	}
	_, _, err := p.ReadFrame()
	return err
}

// send sends a message.
func (p *rawClient) send(to uuid.UUID, text string) error {
	return p.write(codec.PeerConnection{SourceUUID: p.id, SourceName: "raw", PeerUUID: to, DescriptionType: codec.Offer, Description: text})
}

func (p *rawClient) write(m codec.RelayMessage) error {
	frame, err := m.Append(nil)
	p.sent++
	p.bytes += len(frame)
	return errors.Join(err, p.WriteFrame(frame), p.Flush())
}

// receive returns the next message.
func (p *rawClient) receive() (codec.PeerConnection, error) {
	frame, _, err := p.ReadFrame()
	if err != nil {
		return codec.PeerConnection{}, err
	}
	return codec.DecodePeerConnection(frame)
}
