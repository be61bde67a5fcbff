package codec

// hasAVX2 reports whether the processor has what avx2String needs, as most do that were
// made since 2015.
var hasAVX2 = detectAVX2()

// wideString returns how many bytes, in whole blocks, at the start of s stand for
// themselves.
func wideString(s string) int {
	if hasAVX2 {
		return avx2String(s)
	}
	return printableBlocks(s)
}

// wideBytes is wideString for bytes.
func wideBytes(b []byte) int {
	if hasAVX2 {
		return avx2Bytes(b)
	}
	return printableBlocks(b)
}

// avx2String is printableBlocks, 64 bytes at a time.
//
//go:noescape
func avx2String(s string) int

//go:noescape
func avx2Bytes(b []byte) int

func detectAVX2() bool
