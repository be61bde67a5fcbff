package actors

import (
	"context"
	"io"
	"log/slog"

	proto "github.com/asynkron/protoactor-go/actor"

	"github.com/seed73300619/relay/actor"
)

// ours is an actor, as a program has it.
type ours struct {
	actor actor.Actor[*message]
	ended chan error
}

func openActor(bound int) open {
	return func(ctx context.Context, handle func(*message)) (station, error) {
		s := &ours{ended: make(chan error, 1)}
		s.actor.Mailbox.MaxItems = bound
		s.actor.Receive = func(_ context.Context, m *message) error {
			handle(m)
			return nil
		}
		go func() { s.ended <- s.actor.Run(ctx) }() // end waits for it
		return s, nil
	}
}

func (s *ours) tell(ctx context.Context, m *message) error { return s.actor.Tell(ctx, m) }

func (s *ours) end() error {
	s.actor.Mailbox.Close()
	return <-s.ended
}

// channel is bare: no context, no error, no restart.
type channel struct {
	messages chan *message // closed by end
	ended    chan struct{} // closed by the goroutine
}

func openChannel(_ context.Context, handle func(*message)) (station, error) {
	s := &channel{make(chan *message, bound), make(chan struct{})}
	go func() { // end waits for it
		defer close(s.ended)
		for m := range s.messages {
			handle(m)
		}
	}()
	return s, nil
}

func (s *channel) tell(_ context.Context, m *message) error {
	s.messages <- m
	return nil
}

func (s *channel) end() error {
	close(s.messages)
	<-s.ended
	return nil
}

// protoActor is an actor of protoactor-go, in a system of its own.
type protoActor struct {
	system *proto.ActorSystem
	pid    *proto.PID
}

// silent is instead of a log of systems that start.
var silent = proto.WithLoggerFactory(func(*proto.ActorSystem) *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, nil))
})

// openProto takes the mailbox that is there for a bound, and otherwise the
// default one, which its documentation calls faster than the one without a lock.
func openProto(bound int) open {
	return func(_ context.Context, handle func(*message)) (station, error) {
		mailbox := proto.Unbounded()
		if bound > 0 {
			mailbox = proto.Bounded(bound)
		}
		system := proto.NewActorSystem(silent)
		pid := system.Root.Spawn(proto.PropsFromFunc(func(c proto.Context) {
			if m, ok := c.Message().(*message); ok {
				handle(m)
			}
		}, proto.WithMailbox(mailbox)))
		return &protoActor{system, pid}, nil
	}
}

func (s *protoActor) tell(_ context.Context, m *message) error {
	s.system.Root.Send(s.pid, m)
	return nil
}

func (s *protoActor) end() error {
	defer s.system.Shutdown()
	return s.system.Root.PoisonFuture(s.pid).Wait()
}
