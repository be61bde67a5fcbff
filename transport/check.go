package transport

import (
	"encoding/binary"
	"fmt"
)

// A checker follows the headers of the frames that come in, and finds what the
// reader behind it lets pass: a length that is not spelled in the fewest bytes,
// a close frame with half a code, and a message of empty fragments without end,
// which no limit on bytes would ever end. The zero value with a limit stands at
// the start of a frame.
type checker struct {
	limit     int      // of a message, in bytes and in fragments
	fragments int      // of the message that is coming in
	head      [10]byte // of the frame that is coming in, without the mask's key
	have      int      // bytes in head
	skip      uint64   // of the frame: what follows its head
}

// check looks at what was read, and returns how much of it may be passed on.
// With an error that is all but the end of the header that is at fault: the
// reader gets the error where it misses that. Then the checker is of no use.
func (c *checker) check(p []byte) (n int, err error) {
	for n < len(p) {
		if c.skip > 0 {
			step := min(c.skip, uint64(len(p)-n))
			c.skip -= step
			n += int(step)
			continue
		}
		c.head[c.have] = p[n]
		c.have++
		if c.have < 2 || c.have < headBytes(c.head[1]) {
			n++
			continue
		}
		if err := c.frame(); err != nil {
			return n, err
		}
		c.have = 0
		n++
	}
	return n, nil
}

// headBytes is how long a header with this second byte is, without the mask's key.
func headBytes(second byte) int {
	switch second & 0x7f {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// frame judges the header in head.
func (c *checker) frame() error {
	size, least := uint64(c.head[1]&0x7f), uint64(0)
	switch size {
	case 126:
		size, least = uint64(binary.BigEndian.Uint16(c.head[2:])), 126
	case 127:
		size, least = binary.BigEndian.Uint64(c.head[2:]), 1<<16
	}
	c.skip = size
	if c.head[1]&0x80 != 0 {
		c.skip += 4 // a length that makes this overflow is over any limit
	}
	final, op := c.head[0]&0x80 != 0, opcode(c.head[0]&0xf)
	switch {
	case size < least:
		return fmt.Errorf("%w: length not minimal", ErrProtocol)
	case op == opClose && size == 1:
		return fmt.Errorf("%w: close frame of one byte", ErrProtocol)
	case op == opText, op == opBinary:
		c.fragments = 0
	case op != opContinuation:
		return nil
	}
	if c.fragments++; !final && c.fragments > c.limit {
		return ErrFrameTooLarge
	}
	return nil
}
