// Package payloads are what the competitors carry, and how it is checked that they
// have.
package payloads

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// Distinct is how many different payloads a Set has.
const Distinct = 1 << 10

// A Set is what is sent, one after the other and again from the first: all of one
// length, in both forms so that no side pays for the conversion.
type Set struct {
	Text  []string
	Bytes [][]byte
}

// New returns the payloads of size bytes.
func New(size int) *Set {
	s := &Set{}
	for i := range Distinct {
		text := Text(i, size)
		s.Text = append(s.Text, text)
		s.Bytes = append(s.Bytes, []byte(text))
	}
	return s
}

// Text returns payload i of size bytes, in which nothing must be escaped.
func Text(i, size int) string {
	return (fmt.Sprintf("%08d ", i) + strings.Repeat("v=0 o=- 46117317 2 IN IP4 127.0.0.1 ", size/36+1))[:size]
}

// Has reports whether payload is in s. It begins with its number.
func (s *Set) Has(payload []byte) bool {
	const digits = 8
	if len(payload) < digits {
		return false
	}
	i, err := strconv.Atoi(string(payload[:digits]))
	return err == nil && i >= 0 && i < Distinct && bytes.Equal(payload, s.Bytes[i])
}

// Sum returns the sum of n payloads from first on.
func (s *Set) Sum(first, n int) (sum Sum) {
	for i := range n {
		sum.Add(s.Bytes[(first+i)%Distinct])
	}
	return sum
}

// A Sum tells whether what has arrived is what was sent, in the same order. The
// zero value is that of nothing.
type Sum struct {
	Messages, Bytes int
	CRC             uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Add adds what came next.
func (s *Sum) Add(payload []byte) {
	s.Messages++
	s.Bytes += len(payload)
	s.CRC = crc32.Update(s.CRC, castagnoli, payload)
}
