package codecs

import (
	"testing"

	"github.com/seed73300619/relay/bench/codecs/wire"
)

// encoding/json/v2 is left to the program: to build it may take a minute.
func TestAllDoTheSame(t *testing.T) {
	if reason := sonicIsNone(); reason != "" {
		t.Error("sonic:", reason)
	}
	for name, do := range map[string]do{
		"relay/codec": here(ours), "encoding/json": here(standard()), "goccy/go-json": here(goccy()), "sonic": here(byteDance),
	} {
		for _, kind := range wire.Kinds {
			for _, decode := range []bool{false, true} {
				r, err := do(t.Context(), wire.Job{Decode: decode, Kind: kind, Messages: 1})
				if err != nil || r.Nanoseconds <= 0 {
					t.Errorf("%s, %s, decode %v: %+v, %v", name, kind, decode, r, err)
				}
			}
		}
	}
}

func TestNamesOfCasesAreTheirs(t *testing.T) {
	names := map[string]bool{}
	for _, c := range PerMessage(true).Cases {
		if names[c.Name] || len(c.Figures) != len(c.Units) || len(c.Sides) != 5 {
			t.Errorf("%+v", c)
		}
		names[c.Name] = true
	}
}
