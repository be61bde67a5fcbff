package auth

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestMadeUpTokensDoNotDisplaceRealOnes(t *testing.T) {
	const size = 100
	c := newCache(size)
	asked := 0
	ask := func(name string, n int, err error) {
		c.get(t.Context(), fmt.Sprint(name, n), func(context.Context, string) answer {
			asked++
			return answer{err: err, keep: maxKeep}
		})
		if len(c.good) > size || len(c.bad) > size || len(c.asking) > 0 {
			t.Fatalf("%d good and %d bad answers and %d questions are kept", len(c.good), len(c.bad), len(c.asking))
		}
	}
	for n := range size {
		ask("real", n, nil)
	}
	for n := range 2 * size {
		ask("made-up", n, errors.New("made up"))
	}
	if asked = 0; len(c.bad) != size {
		t.Errorf("%d bad answers are kept", len(c.bad))
	}
	for n := range size {
		ask("real", n, nil)
	}
	if asked != 0 {
		t.Errorf("%d real tokens were displaced", asked)
	}
	for n := range size {
		ask("another", n, nil)
	}
	if asked = 0; len(c.good) != size {
		t.Errorf("%d good answers are kept", len(c.good))
	}
	ask("another", size-1, nil)
	if asked != 0 {
		t.Error("the last one was displaced")
	}
}
