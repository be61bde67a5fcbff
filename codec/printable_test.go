package codec

import (
	"bytes"
	"testing"
)

// Which of them is used depends on the processor; what they find does not.
func TestBlocksEndBeforeWhatIsNotPrintable(t *testing.T) {
	for name, f := range map[string]struct {
		blocks func([]byte) int
		block  int // at most
	}{
		"bytes, as here":   {wideBytes, 64},
		"a string as here": {func(b []byte) int { return wideString(string(b)) }, 64},
		"anywhere":         {printableBlocks[[]byte], 32},
	} {
		t.Run(name, func(t *testing.T) {
			text := bytes.Repeat([]byte("x"), 3*64+7)
			for i := range text {
				for c := range 256 {
					text[i] = byte(c)
					good := i
					if isPrintable(byte(c)) {
						good = len(text)
					}
					if n := f.blocks(text); n > good || n <= good-f.block {
						t.Errorf("%#x at %d: %d bytes", c, i, n)
					}
				}
				text[i] = 'x'
			}
		})
	}
}
