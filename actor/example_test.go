package actor_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed73300619/relay/actor"
)

// A box of two that prefers fresh news.
func ExampleMailbox() {
	ctx := context.Background()
	box := actor.Mailbox[string]{
		MaxItems: 2,
		Overflow: actor.DropOldest,
		OnDrop:   func(m string) { fmt.Println("dropped", m) },
	}
	for _, m := range []string{"monday", "tuesday", "wednesday"} {
		_ = box.Put(ctx, m)
	}
	box.Close()
	for {
		m, err := box.Get(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(m)
	}
	// Output:
	// dropped monday
	// tuesday
	// wednesday
	// actor: closed
}

// A consumer that selects over a mailbox and other channels.
func ExampleMailbox_Ready() {
	var box actor.Mailbox[int]
	go func() {
		for n := range 1000 {
			box.TryPut(n)
		}
		box.Close()
	}()
	sum, stop := 0, make(chan struct{})
	var batch []int
	for {
		select {
		case _, open := <-box.Ready():
			batch = box.Drain(batch[:0])
			for _, n := range batch {
				sum += n
			}
			if !open {
				fmt.Println(sum)
				return
			}
		case <-stop:
			return
		}
	}
	// Output: 499500
}

// An account is a goroutine: no lock guards the balance.
func ExampleAsk() {
	type withdrawal struct {
		amount int
		reply  chan<- error
	}
	balance := 100
	account := actor.Actor[withdrawal]{
		Name: "account",
		Receive: func(ctx context.Context, w withdrawal) error {
			if w.amount > balance {
				w.reply <- errors.New("not enough")
				return nil
			}
			balance -= w.amount
			w.reply <- nil
			return nil
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- account.Run(ctx) }()

	for range 3 {
		answer, err := actor.Ask(ctx, &account, func(reply chan<- error) withdrawal {
			return withdrawal{40, reply}
		})
		fmt.Println(answer, err)
	}
	cancel()
	fmt.Println("ended:", <-done, balance)
	// Output:
	// <nil> <nil>
	// <nil> <nil>
	// not enough <nil>
	// ended: <nil> 20
}
