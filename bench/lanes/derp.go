package lanes

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/derp/derpserver"
	"tailscale.com/envknob"
	"tailscale.com/net/netmon"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"

	"github.com/seed73300619/relay/bench/payloads"
)

// derpLane is Tailscale's DERP, over plain HTTP as ours is. Its server keeps a
// queue for each client, and drops the oldest packet of a full one.
type derpLane struct {
	stop     func() error
	from, to *derphttp.Client
	window   chan struct{} // has room for what may be under way; nil: no bound
}

// derpQueue is how many packets DERP's server queues for a client. A window of
// as many is the largest in which nothing can be lost: all of them may be in the
// queue at once. With one more, each run has lost some. Tailscale's own prober
// measures bandwidth with 30.
const derpQueue = 32

// deepDERPQueue is where a longer queue stopped being faster. Only a debugging
// variable of the server's environment asks for one.
const deepDERPQueue = 1 << 10

// openDERP opens a lane that waits while queue packets are under way. They are
// given back one by one and inside this process, which costs DERP the least: it
// has no such message of its own.
func openDERP(queue int) func(context.Context) (lane, error) {
	return func(ctx context.Context) (lane, error) {
		return dialDERPLane(ctx, queue, make(chan struct{}, queue))
	}
}

func dialDERPLane(ctx context.Context, queue int, window chan struct{}) (*derpLane, error) {
	envknob.Setenv("TS_DEBUG_DERP_PER_CLIENT_SEND_QUEUE_DEPTH", strconv.Itoa(queue)) // read by New
	s := derpserver.New(key.NewNode(), logger.Discard)
	url, stop, err := serve(derpserver.Handler(s), func() { s.Close() })
	if err != nil {
		return nil, err
	}
	url = "http" + strings.TrimPrefix(url, "ws") + "derp"
	l := &derpLane{stop: stop, window: window}
	if l.to, err = dialDERP(ctx, url); err == nil {
		l.from, err = dialDERP(ctx, url)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// dialDERP returns a client when the server knows it: before that, what is sent
// to it is dropped.
func dialDERP(ctx context.Context, url string) (*derphttp.Client, error) {
	// With a dialer of its own, it asks the monitor nothing.
	c, err := derphttp.NewClient(key.NewNode(), url, logger.Discard, new(netmon.Monitor))
	if err != nil {
		return nil, err
	}
	c.SetURLDialer(new(net.Dialer).DialContext)
	defer context.AfterFunc(ctx, func() { c.Close() })()
	err = c.Connect(ctx)
	for err == nil {
		var m derp.ReceivedMessage
		if m, err = c.Recv(); err == nil {
			if _, ok := m.(derp.ServerInfoMessage); ok {
				return c, nil
			}
		}
	}
	c.Close()
	return nil, err
}

func (l *derpLane) send(ctx context.Context, n int, p *payloads.Set) error {
	defer context.AfterFunc(ctx, func() { l.from.Close() })()
	to := l.to.SelfPublicKey()
	for i := range n {
		if l.window != nil {
			select {
			case l.window <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := l.from.Send(to, p.Bytes[i%payloads.Distinct]); err != nil {
			return err
		}
	}
	return nil
}

func (l *derpLane) receive(ctx context.Context, n int) (s payloads.Sum, err error) {
	defer context.AfterFunc(ctx, func() { l.to.Close() })()
	for s.Messages < n {
		packet, err := l.next()
		if err != nil {
			return s, err
		}
		s.Add(packet)
		<-l.window
	}
	return s, nil
}

// next returns the next packet, which is valid until the next call.
func (l *derpLane) next() ([]byte, error) {
	for {
		m, err := l.to.Recv()
		if err != nil {
			return nil, err
		}
		if packet, ok := m.(derp.ReceivedPacket); ok {
			return packet.Data, nil
		}
	}
}

func (l *derpLane) close() error {
	for _, c := range []*derphttp.Client{l.from, l.to} {
		if c != nil {
			c.Close()
		}
	}
	return l.stop()
}
