package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed73300619/relay/supervisor"
)

// A feed fails twice before it works; the supervisor tries again, a little
// later each time.
func Example() {
	attempts := 0
	feed := func(ctx context.Context) error {
		attempts++
		if attempts < 3 {
			return errors.New("connection refused")
		}
		fmt.Println("read the feed")
		return nil // done
	}

	s := supervisor.Supervisor{
		Backoff: supervisor.Backoff{Min: 10 * time.Millisecond, Max: time.Second},
		OnFailure: func(f supervisor.Failure) {
			fmt.Printf("%s, attempt %d: %v\n", f.Service, f.Attempt, f.Err)
		},
	}
	err := s.Run(context.Background(), supervisor.Service{Name: "feed", Serve: feed})
	fmt.Println("error:", err)
	// Output:
	// feed, attempt 1: connection refused
	// feed, attempt 2: connection refused
	// read the feed
	// error: <nil>
}

// One service cannot go on, and says so: the other is stopped, and Run returns
// why.
func ExamplePermanent() {
	errPassword := errors.New("wrong password")
	var s supervisor.Supervisor
	err := s.Run(context.Background(),
		supervisor.Service{Name: "cache", Serve: func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println("cache stopped")
			return nil
		}},
		supervisor.Service{Name: "login", Serve: func(ctx context.Context) error {
			return supervisor.Permanent(fmt.Errorf("log in: %w", errPassword))
		}},
	)
	fmt.Println(err, errors.Is(err, errPassword))
	// Output:
	// cache stopped
	// log in: wrong password true
}

// A Backoff is useful in a loop of one's own, too.
func ExampleBackoff() {
	backoff := supervisor.Backoff{Min: time.Second, Max: 10 * time.Second}
	var longest time.Duration
	for range 100 {
		longest = max(longest, backoff.Next())
	}
	fmt.Println(longest > 5*time.Second, longest <= 10*time.Second)

	backoff.Reset() // it worked
	fmt.Println(backoff.Next() < time.Second)
	// Output:
	// true true
	// true
}

// The session needs the link: when the link fails both are restarted, the link
// first. When the session fails, it alone is.
func ExampleSupervisor_Run_restForOne() {
	ctx, cancel := context.WithCancel(context.Background())
	starts := 0
	s := supervisor.Supervisor{
		Strategy: supervisor.RestForOne,
		Backoff:  supervisor.Backoff{Min: time.Millisecond},
		OnStart: func(name string) {
			fmt.Println(name, "starts")
			if starts++; starts == 4 {
				cancel() // the example ends here
			}
		},
	}
	unplugged := make(chan error, 1)
	unplugged <- errors.New("unplugged")
	wait := func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}
	err := s.Run(ctx,
		supervisor.Service{Name: "link", Serve: func(ctx context.Context) error {
			select {
			case err := <-unplugged:
				return err
			case <-ctx.Done():
				return nil
			}
		}},
		supervisor.Service{Name: "session", Serve: wait},
	)
	fmt.Println("error:", err)
	// Output:
	// link starts
	// session starts
	// link starts
	// session starts
	// error: <nil>
}
