package lanes

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed73300619/relay"
)

// Without an answer to its barriers the client would wait at the end of its
// window, and with each goodbye.
func TestADrainConfirms(t *testing.T) {
	l, err := openDrainedRelay(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := l.(*drainedRelay)
	err = d.end(func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		sent := d.from.Send(ctx, relay.Message{PeerUUID: d.to, Description: "x"})
		return errors.Join(sent, d.from.Flush(ctx), d.from.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
}
