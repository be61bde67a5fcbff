package actors

import (
	"context"
	"testing"
)

func TestAllHandleWhatTheyAreTold(t *testing.T) {
	for name, o := range map[string]open{
		"actor": openActor(bound), "actor without a bound": openActor(0), "channel": openChannel,
		"protoactor": openProto(bound), "protoactor without a bound": openProto(0),
	} {
		for _, producers := range []int{1, 4} {
			if took, err := turn(o, 5000, producers)(t.Context()); err != nil || took[0] <= 0 {
				t.Errorf("%s, %d producers: %v, %v", name, producers, took, err)
			}
		}
	}
}

// careless is a channel that handles one message in place of another one.
type careless struct {
	station
	told int
}

func (s *careless) tell(ctx context.Context, m *message) error {
	if s.told++; s.told == 700 {
		m = &message{m.number + 1}
	}
	return s.station.tell(ctx, m)
}

func TestTheWrongMessageIsNoticed(t *testing.T) {
	open := func(ctx context.Context, handle func(*message)) (station, error) {
		s, err := openChannel(ctx, handle)
		return &careless{station: s}, err
	}
	if took, err := turn(open, 1000, 1)(t.Context()); err == nil {
		t.Error(took)
	}
}
