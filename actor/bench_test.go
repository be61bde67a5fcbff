package actor

import (
	"context"
	"testing"
)

// The two halves of one comparison: tell and handle one message, against a bare
// channel and a goroutine. Run both together: -bench TellAndHandle -count 5.

func BenchmarkTellAndHandle(b *testing.B) {
	b.Run("channel", func(b *testing.B) {
		ch, done := make(chan int, 1024), make(chan struct{})
		sum := 0
		go func() { // ends when ch is closed; done says so
			defer close(done)
			for v := range ch {
				sum += v
			}
		}()
		for i := range b.N {
			ch <- i
		}
		close(ch)
		<-done
	})
	for _, bound := range []struct {
		name  string
		items int
	}{{"actor", 0}, {"actor bounded", 1024}} {
		b.Run(bound.name, func(b *testing.B) {
			b.ReportAllocs()
			ctx := context.Background()
			sum := 0
			a := Actor[int]{Receive: func(_ context.Context, v int) error {
				sum += v
				return nil
			}}
			a.Mailbox.MaxItems = bound.items
			done := make(chan error)
			go func() { done <- a.Run(ctx) }()
			for i := range b.N {
				_ = a.Tell(ctx, i)
			}
			a.Mailbox.Close()
			<-done
		})
	}
}

func BenchmarkMailboxPutAndGet(b *testing.B) {
	b.ReportAllocs()
	var box Mailbox[int]
	ctx := context.Background()
	for i := range b.N {
		_ = box.Put(ctx, i)
		_, _ = box.TryGet()
	}
}

func BenchmarkAsk(b *testing.B) {
	type question struct{ reply chan<- int }
	ctx := context.Background()
	a := Actor[question]{Receive: func(_ context.Context, q question) error {
		q.reply <- 1
		return nil
	}}
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	for range b.N {
		_, _ = Ask(ctx, &a, func(reply chan<- int) question { return question{reply} })
	}
	a.Mailbox.Close()
	<-done
}
