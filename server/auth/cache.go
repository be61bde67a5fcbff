package auth

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/seed73300619/relay/server"
)

// maxAnswers is how many answers of each kind a cache keeps.
const maxAnswers = 10_000

// An answer is what came of asking about a token.
type answer struct {
	user  server.User
	err   error
	keep  time.Duration // how long it may be used again
	until time.Time     // set when it is put into the cache
}

// A cache answers questions about tokens: each is asked once at a time, and not
// again as long as the answer may be kept. It knows tokens by their hash only. It
// has no goroutine of its own: the first who wants to know asks, the others wait.
type cache struct {
	max int

	mu     sync.Mutex // never held over a wait
	asking map[tokenHash]*question
	// A token is in one of them at most. They are apart so that made-up tokens,
	// however many, do not displace real ones.
	good, bad map[tokenHash]answer
}

// A question is under way. Whoever asks it closes done.
type question struct {
	done     chan struct{}
	answered bool // before done; not so if the asker had to leave
	answer   answer
}

func newCache(max int) *cache {
	return &cache{
		max:    max,
		asking: make(map[tokenHash]*question),
		good:   make(map[tokenHash]answer),
		bad:    make(map[tokenHash]answer),
	}
}

// get returns what is known about the token, asking if need be. When the asker's
// ctx ends, one of those who wait for it asks instead.
func (c *cache) get(ctx context.Context, token string, ask func(ctx context.Context, token string) answer) answer {
	hash := tokenHash(sha256.Sum256([]byte(token)))
	for {
		c.mu.Lock()
		a, known := c.good[hash]
		if !known {
			a, known = c.bad[hash]
		}
		if known && time.Now().Before(a.until) {
			c.mu.Unlock()
			return a
		}
		q := c.asking[hash]
		if q == nil {
			q = &question{done: make(chan struct{})}
			c.asking[hash] = q
			c.mu.Unlock()
			defer c.finish(hash, q) // a panic must leave nobody waiting
			a = ask(ctx, token)
			q.answer, q.answered = a, a.err == nil || ctx.Err() == nil
			return a
		}
		c.mu.Unlock()
		select {
		case <-q.done:
			if q.answered {
				return q.answer
			}
		case <-ctx.Done():
			return answer{err: ctx.Err()}
		}
	}
}

// finish puts the answer to q, if there is one, where it belongs.
func (c *cache) finish(hash tokenHash, q *question) {
	c.mu.Lock()
	delete(c.asking, hash)
	delete(c.good, hash)
	delete(c.bad, hash)
	if a := q.answer; q.answered && a.keep > 0 {
		answers := c.good
		if a.err != nil {
			answers = c.bad
		}
		if len(answers) >= c.max {
			for any := range answers {
				delete(answers, any)
				break
			}
		}
		a.until = time.Now().Add(a.keep)
		answers[hash] = a
	}
	c.mu.Unlock()
	close(q.done)
}
