package logfile

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"
)

// weeks asks the handler that the real relay uses for the ends of weeks.
const weeks = `
import datetime, json, logging.handlers, os, sys, time
ends = []
for zone, moment in json.load(sys.stdin):
    os.environ["TZ"] = zone
    time.tzset()
    handler = logging.handlers.TimedRotatingFileHandler(
        os.devnull, when="W6", atTime=datetime.time(0, 0, 0), delay=True)
    ends.append(handler.computeRollover(moment))
json.dump(ends, sys.stdout)
`

// zones are rules for Python, which may be on a machine without a database of
// time zones.
var zones = map[string]string{
	"UTC":              "UTC0",
	"Asia/Kolkata":     "IST-5:30",
	"Europe/Berlin":    "CET-1CEST,M3.5.0,M10.5.0/3",
	"America/New_York": "EST5EDT,M3.2.0,M11.1.0",
	"Australia/Sydney": "AEST-10AEDT,M10.1.0,M4.1.0/3",
}

func TestWeeksEndWhenTheyDoForPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no python3 here")
	}
	var moments [][2]any
	var want []int64
	for name, rule := range zones {
		location := zone(t, name)
		// 1009 minutes is coprime to the week: every day comes at many times.
		for m := time.Date(2026, 1, 1, 0, 1, 0, 0, location); m.Year() == 2026; m = m.Add(1009 * time.Minute) {
			moments = append(moments, [2]any{rule, m.Unix()})
			want = append(want, nextSunday(m).Unix())
		}
	}
	input, err := json.Marshal(moments)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", weeks)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v: %d here, %d in Python", moments[i], want[i], got[i])
		}
	}
}
