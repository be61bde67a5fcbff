//go:build !linux

package process

import "os/exec"

// dieWithParent can do nothing here: the child outlives a parent that is killed.
func dieWithParent(*exec.Cmd) {}
