package server

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// A second goroutine would be half of what an idle connection costs.
func TestAnIdleConnectionIsOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		const n = 20
		for range n {
			id := uuid.New()
			p := join(t, s).register(id)
			p.send(id, id, "hello")
			p.receive()
		}
		for _, last := range []string{"a message", "a ping"} {
			synctest.Wait()
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			busy := 0
			for goroutine := range strings.SplitSeq(string(stacks), "\n\n") {
				if strings.Contains(goroutine, "server.(*conn)") {
					busy++
				}
			}
			if busy != n {
				t.Errorf("after %s there are %d goroutines for %d connections", last, busy, n)
			}
			time.Sleep(25 * time.Second) // no answer is missed yet
		}
	})
}
