package lanes

import (
	"context"
	_ "embed"
	"errors"

	"github.com/seed73300619/relay/bench/payloads"
	"github.com/seed73300619/relay/bench/servers"
)

// pythonLane is the real ProxyStore: its relay and two of its clients, a process
// each, as they come. They compress what they send, which nobody can turn off.
// Only the relay's logging is turned down. What it takes to give the commands and
// to get the answers is measured with the rest, and is less than a thousandth.
type pythonLane struct {
	relay    *servers.Python
	from, to *script
	payloads *payloads.Set // that the sender has
}

//go:embed python/lane.py
var laneScript string

func openPython(ctx context.Context) (lane, error) {
	l := &pythonLane{}
	var err error
	if l.relay, err = servers.StartPython(ctx); err == nil {
		var to string
		if l.to, err = startScript(ctx, laneScript, &to, "receive", l.relay.Address); err == nil {
			l.from, err = startScript(ctx, laneScript, new(string), "send", l.relay.Address, to)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *pythonLane) send(ctx context.Context, n int, p *payloads.Set) error {
	var sent int
	if l.payloads != p {
		if err := l.from.ask(ctx, p.Text, &sent); err != nil {
			return err
		}
		l.payloads = p
	}
	return l.from.ask(ctx, n, &sent)
}

func (l *pythonLane) receive(ctx context.Context, n int) (s payloads.Sum, err error) {
	err = l.to.ask(ctx, n, &s)
	return s, err
}

func (l *pythonLane) close() error {
	var errs []error
	for _, s := range []*script{l.from, l.to} {
		if s != nil {
			errs = append(errs, s.close())
		}
	}
	if l.relay != nil {
		errs = append(errs, l.relay.Close())
	}
	return errors.Join(errs...)
}
