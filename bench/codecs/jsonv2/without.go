//go:build !goexperiment.jsonv2

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "jsonv2: built without GOEXPERIMENT=jsonv2")
	os.Exit(1)
}
