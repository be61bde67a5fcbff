//go:build goexperiment.jsonv2

// Command jsonv2 does one job with encoding/json/v2: it takes the job from its
// standard input and gives the result to its standard output. It is built with
// GOEXPERIMENT=jsonv2.
package main

import (
	"bytes"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"os"

	"github.com/seed73300619/relay/bench/codecs/wire"
)

// codec uses the package in the fastest of the ways that it offers for a slice of
// bytes in memory.
func codec() wire.Codec[wire.Message] {
	var b bytes.Buffer // the package knows its type, and spares a copy
	e := jsontext.NewEncoder(&b)
	return wire.Codec[wire.Message]{
		Of: wire.Of,
		Append: func(dst []byte, m *wire.Message) ([]byte, error) {
			b = *bytes.NewBuffer(dst)
			e.Reset(&b)
			err := json.MarshalEncode(e, m)
			return b.Bytes(), err
		},
		Decode: func(frame []byte, m *wire.Message) error { return json.Unmarshal(frame, m) },
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "jsonv2:", err)
		os.Exit(1)
	}
}

func run() error {
	var job wire.Job
	if err := json.UnmarshalRead(os.Stdin, &job); err != nil {
		return err
	}
	result, err := codec().Do(job)
	if err != nil {
		return err
	}
	return json.MarshalWrite(os.Stdout, result)
}
