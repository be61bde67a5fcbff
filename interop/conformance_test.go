package interop

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/seed73300619/relay/relaytest/conform"
)

// Every difference that the table lists is shown on the real relay, and its
// absence on ours. In all else they are the same.
func TestConformance(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a minute")
	}
	for _, test := range []struct {
		kind      relayKind
		differing conform.Outcome
	}{
		{realKind, conform.LikeProxyStore},
		{ourCommandKind, conform.LikeThisRelay},
	} {
		t.Run(test.kind.name, func(t *testing.T) {
			t.Parallel()
			check := func(target conform.Target, cases []conform.Case) (skipped []conform.Case) {
				for c, result := range conform.Run(t.Context(), target, cases) {
					want := conform.Agreed
					if c.Differs() {
						want = test.differing
					}
					switch result.Outcome {
					case want:
					case conform.Skipped:
						skipped = append(skipped, c)
					default:
						t.Errorf("%s, %s: %v instead of %v\n%s", c.Section, c.Name, result.Outcome, want, result.Account)
					}
				}
				return skipped
			}
			r := startRelay(t, test.kind)
			left := check(conform.Target{URL: r.URL(), Patience: patience}, conform.Table())
			const limit = 2000
			r = startLimited(t, test.kind, limit)
			left = check(conform.Target{URL: r.URL(), Patience: patience, MaxMessageBytes: limit}, left)
			for _, c := range left {
				t.Errorf("%s, %s: it was not run", c.Section, c.Name)
			}
		})
	}
}

// startLimited starts a relay that takes messages of so many bytes.
func startLimited(t testing.TB, kind relayKind, maxMessageBytes int) testRelay {
	t.Helper()
	r := kind.new(t, nil)
	switch r := r.(type) {
	case *realRelay:
		config, err := os.ReadFile(r.config)
		if err == nil {
			config = fmt.Appendf(config, "max_message_bytes = %d\n", maxMessageBytes)
			err = os.WriteFile(r.config, config, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	case *commandRelay:
		r.args = append(r.args, "--max-message-bytes", strconv.Itoa(maxMessageBytes))
	default:
		t.Fatalf("%s has no such limit", kind.name)
	}
	r.Start(t)
	return r
}
