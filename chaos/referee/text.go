package referee

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// filling is what descriptions are filled up with; not of one byte per character,
// so that a cut in the middle of one shows.
const filling = "0123456789 abcdefghijklmnopqrstuvwxyz äöüß \"quoted\" \\ \n€ \U0001F4E8 "

// text is the description of a message: its number, the checksum of what follows,
// and size bytes or a few more of filling.
func text(number, size int) string {
	fill := strings.Repeat(filling, size/len(filling)+1)
	for ; size < len(fill); size++ {
		if fill[size]&0xC0 != 0x80 { // the first byte of a character
			break
		}
	}
	fill = fill[:size]
	return fmt.Sprintf("%d %08x %s", number, crc32.ChecksumIEEE([]byte(fill)), fill)
}

// parse returns the number of a description, which has to be whole.
func parse(description string) (number int, err error) {
	parts := strings.SplitN(description, " ", 3)
	if len(parts) != 3 {
		return 0, errors.New("it is none of ours")
	}
	if number, err = strconv.Atoi(parts[0]); err != nil {
		return 0, errors.New("it has no number")
	}
	if sum := fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(parts[2]))); sum != parts[1] {
		return number, fmt.Errorf("number %d: its %d bytes have the checksum %s, not %s", number, len(parts[2]), sum, parts[1])
	}
	return number, nil
}
