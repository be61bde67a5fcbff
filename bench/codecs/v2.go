package codecs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/seed73300619/relay/bench/codecs/wire"
)

// v2 has encoding/json/v2 do a job. There is no such package without an
// experiment, and with that encoding/json is another one, built upon it: so it
// takes a program of its own to measure both as they come.
func v2(ctx context.Context, j wire.Job) (r wire.Result, err error) {
	job, err := json.Marshal(j)
	if err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, "go", "run", "github.com/seed73300619/relay/bench/codecs/jsonv2")
	cmd.Env = append(os.Environ(), "GOEXPERIMENT=jsonv2")
	cmd.Stdin = bytes.NewReader(job)
	cmd.WaitDelay = time.Second // killed is only the go command, the program ends after the job
	var said bytes.Buffer
	cmd.Stderr = &said
	result, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("%v: %w: %s", cmd, err, &said)
	}
	return r, json.Unmarshal(result, &r)
}

// v2IsNone says why v2 cannot be built.
func v2IsNone() string {
	if _, err := exec.LookPath("go"); err != nil {
		return "there is no go command to build it with its experiment"
	}
	return ""
}
