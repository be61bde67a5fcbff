package transport

import (
	"encoding/binary"
	"math/rand/v2"
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
	dst = append(dst, p...)
	mask(dst[start:], key)
	return dst
}

// mask applies key to b, eight bytes at a time.
func mask(b []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(b) >= 32 { // four at once keep the processor busy
		v := (*[32]byte)(b)
		binary.LittleEndian.PutUint64(v[0:], binary.LittleEndian.Uint64(v[0:])^wide)
		binary.LittleEndian.PutUint64(v[8:], binary.LittleEndian.Uint64(v[8:])^wide)
		binary.LittleEndian.PutUint64(v[16:], binary.LittleEndian.Uint64(v[16:])^wide)
		binary.LittleEndian.PutUint64(v[24:], binary.LittleEndian.Uint64(v[24:])^wide)
		b = b[32:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * (i & 3)))
	}
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
