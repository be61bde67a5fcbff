package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"

	"github.com/seed73300619/relay/bench/turns"
)

// profiled has each turn of ours leave a CPU profile in a folder, in place of that of
// the turn before: where our own time goes, without the competitors'. What a child
// process does is not in it.
func profiled(measurements []turns.Measurement, folder string) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	for _, m := range measurements {
		for _, c := range m.Cases {
			ours := &c.Sides[0]
			name := strings.NewReplacer(" ", "_", "/", "_").Replace(m.ID + "_" + c.Name)
			ours.Turn = profile(ours.Turn, filepath.Join(folder, name+".prof"))
		}
	}
	return nil
}

func profile(turn func(context.Context) ([]float64, error), path string) func(context.Context) ([]float64, error) {
	return func(ctx context.Context) (_ []float64, err error) {
		file, err := os.Create(path)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		if err := pprof.StartCPUProfile(file); err != nil {
			return nil, err
		}
		defer pprof.StopCPUProfile()
		return turn(ctx)
	}
}
