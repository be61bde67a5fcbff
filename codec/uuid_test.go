package codec_test

import (
	"encoding/json"
	"testing"

	"github.com/seed73300619/relay/codec"
)

// The verdicts in testdata/uuids.jsonl are those of uuid.UUID of CPython 3.11,
// written down by testdata/make.py.
func TestUUIDsAreReadAsPythonReadsThem(t *testing.T) {
	good, bad := 0, 0
	readLines(t, "uuids.jsonl", func(line [2]*string) {
		text, want := *line[0], ""
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if line[1] != nil {
			want = *line[1]
			good++
		} else {
			bad++
		}
		m, err := codec.Decode([]byte(`{"message_type": "relay_registration", "name": "", "uuid": ` + string(quoted) + `}`))
		got := ""
		if err == nil {
			got = m.(codec.Registration).UUID.String()
		}
		if got != want {
			t.Errorf("%s is %q, want %q (%v)", quoted, got, want, err)
		}
	})
	if good < 500 || bad < 300 {
		t.Errorf("%d good and %d bad ones: the table is incomplete", good, bad)
	}
}
