//go:build !linux

package main

import "net"

// goesFirst is for Linux.
func goesFirst(l net.Listener, _ int) net.Listener { return l }
