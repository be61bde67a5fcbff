package fleet

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// payloads are what is said: all different, all of one length, in both forms so
// that no side pays for the conversion. Each member begins at another of them.
type payloads struct {
	text  []string
	bytes [][]byte
}

const distinct = 1 << 10

func newPayloads(size int) *payloads {
	p := &payloads{}
	for i := range distinct {
		text := fmt.Sprintf("%08d ", i)
		text = (text + strings.Repeat("v=0 o=- 46117317 2 IN IP4 127.0.0.1 ", size/36+1))[:size]
		p.text = append(p.text, text)
		p.bytes = append(p.bytes, []byte(text))
	}
	return p
}

// A sum tells whether what has arrived is what was sent, in the same order.
type sum struct {
	messages, bytes int
	crc             uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *sum) add(payload []byte) {
	s.messages++
	s.bytes += len(payload)
	s.crc = crc32.Update(s.crc, castagnoli, payload)
}

// of returns the sum of n payloads, beginning with a member's first.
func (p *payloads) of(member, n int) (s sum) {
	for i := range n {
		s.add(p.bytes[(member+i)%distinct])
	}
	return s
}
