package transport

import (
	"crypto/subtle"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"
)

// An opcode of RFC 6455, section 11.8.
type opcode byte

const (
	opContinuation opcode = 0
	opText         opcode = 1
	opBinary       opcode = 2
	opClose        opcode = 8
	opPing         opcode = 9
	opPong         opcode = 10
)

// Close codes that this package sends by itself.
const (
	codeProtocolError = 1002
	codeNoStatus      = 1005
	codeTooLarge      = 1009
)

const (
	maxControlBytes = 125
	maxReasonBytes  = maxControlBytes - 2
)

// appendFrame appends one whole frame. A client's frames are masked.
func appendFrame(dst []byte, op opcode, p []byte, masked bool) []byte {
	var maskBit byte
	if masked {
		maskBit = 0x80
	}
	dst = append(dst, 0x80|byte(op))
	switch n := len(p); {
	case n <= 125:
		dst = append(dst, maskBit|byte(n))
	case n <= 0xffff:
		dst = append(dst, maskBit|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, maskBit|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	if !masked {
		return append(dst, p...)
	}
	key := rand.Uint32()
	dst = binary.LittleEndian.AppendUint32(dst, key)
	start := len(dst)
	dst = slices.Grow(dst, len(p))[:start+len(p)]
	mask(dst[start:], p, key)
	return dst
}

// mask writes p to dst, which is as long, with key applied to it: eight bytes at a time,
// or, of large ones, as many as crypto/subtle can, which is half again as fast.
func mask(dst, p []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	if len(p) >= 2*len(stencil{}) {
		n := maskWide(dst, p, wide)
		dst, p = dst[n:], p[n:]
	}
	for len(p) >= 32 { // four at once keep the processor busy
		d, v := (*[32]byte)(dst), (*[32]byte)(p)
		binary.LittleEndian.PutUint64(d[0:], binary.LittleEndian.Uint64(v[0:])^wide)
		binary.LittleEndian.PutUint64(d[8:], binary.LittleEndian.Uint64(v[8:])^wide)
		binary.LittleEndian.PutUint64(d[16:], binary.LittleEndian.Uint64(v[16:])^wide)
		binary.LittleEndian.PutUint64(d[24:], binary.LittleEndian.Uint64(v[24:])^wide)
		dst, p = dst[32:], p[32:]
	}
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(p)^wide)
		dst, p = dst[8:], p[8:]
	}
	for i := range p {
		dst[i] = p[i] ^ byte(key>>(8*(i&3)))
	}
}

// A stencil is a key again and again.
type stencil [1 << 10]byte

// maskWide is mask for as many whole stencils as there are, and returns how much that is.
// It is a function of its own so that who masks small frames alone, as an idle client
// has, needs no stack for the stencil, which would double it.
//
//go:noinline
func maskWide(dst, p []byte, wide uint64) int {
	var s stencil
	for i := 0; i < len(s); i += 8 {
		binary.LittleEndian.PutUint64(s[i:], wide)
	}
	n := 0
	for ; len(p)-n >= len(s); n += len(s) {
		subtle.XORBytes(dst[n:], p[n:n+len(s)], s[:])
	}
	return n
}

// closePayload is the body of a close frame: empty if code may not be sent.
func closePayload(code int, reason string) []byte {
	if !sendable(code) {
		return nil
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), cutReason(reason)...)
}

// sendable reports whether code may stand in a close frame (RFC 6455, section
// 7.4, and the codes registered since).
func sendable(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}

// cutReason makes reason fit a close frame: valid UTF-8, not cut inside a rune.
func cutReason(reason string) string {
	reason = strings.ToValidUTF8(reason, string(utf8.RuneError))
	if len(reason) <= maxReasonBytes {
		return reason
	}
	end := maxReasonBytes
	for !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}

// parseClose reads the body of a close frame.
func parseClose(p []byte) *CloseError {
	if len(p) < 2 {
		return &CloseError{Code: codeNoStatus}
	}
	return &CloseError{Code: int(binary.BigEndian.Uint16(p)), Reason: string(p[2:])}
}
