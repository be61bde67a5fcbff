package server

import (
	"runtime"
	"strings"
	"testing"
)

// JSON nested a million levels deep is refused for the memory of its bytes: a
// decoder that recursed would take a hundred times as much, on its stack.
func TestT37_ANestingBombCostsNoMemory(t *testing.T) {
	levels := func(open string) string {
		return strings.Repeat(open, (maxFrameBytes-1000)/len(open))
	}
	inside := func(bomb string) string {
		return strings.Replace(message(carol, carol, "HERE"), `"HERE"`, bomb, 1)
	}
	s := newServer(t)
	url := listen(t, s)
	others := newBystanding(t, url)
	for name, bomb := range map[string]string{
		"lists":                         levels("["),
		"lists that close":              strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000),
		"objects":                       levels(`{"a":`),
		"objects that close":            strings.Repeat(`{"":`, 200_000) + "0" + strings.Repeat("}", 200_000),
		"both, in a description":        inside(levels(`[{"a":`)),
		"lists for a type":              `{"message_type": ` + levels("["),
		"lists for a name":              `{"message_type": "relay_registration", "uuid": "` + carol.String() + `", "name": ` + levels("["),
		"lists under a key of no use":   strings.Replace(inside(`"d"`), "{", `{"extra": `+levels("["), 1),
		"lists in a value that is late": inside(`"d", "description": ` + levels("[")),
	} {
		t.Run(name, func(t *testing.T) {
			frame := []byte(masked(fin|1, bomb))
			const rounds = 5
			var before, after runtime.MemStats
			var took uint64
			for range rounds {
				p := dialRaw(t, url).register(carol)
				runtime.ReadMemStats(&before)
				if _, err := p.Write(frame); err != nil {
					t.Fatal(err)
				}
				if _, code, reason := p.verdict(""); code != codeUnknown || reason != reasonUnknown {
					t.Fatalf("closed with %d %q", code, reason)
				}
				runtime.ReadMemStats(&after)
				took = max(took, after.TotalAlloc-before.TotalAlloc)
				if stack := int64(after.StackInuse) - int64(before.StackInuse); stack > 1<<20 {
					t.Errorf("the stacks have grown by %d bytes", stack)
				}
				p.Close()
				eventually(t, "it is gone", func() bool { return s.Stats().Clients == 2 })
			}
			others.served()
			// The frame is put together in a buffer that doubles: twice its size.
			if took > 3*maxFrameBytes {
				t.Errorf("%d bytes allocated", took)
			}
			t.Logf("%d bytes of JSON, at most %d allocated", len(bomb), took)
		})
	}
}
