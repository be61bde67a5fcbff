//go:build !amd64

package codec

func wideString(s string) int { return printableBlocks(s) }

func wideBytes(b []byte) int { return printableBlocks(b) }
