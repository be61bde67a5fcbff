#include "textflag.h"

// func avx2String(s string) int
TEXT ·avx2String(SB), NOSPLIT, $0-24
	MOVQ s_base+0(FP), SI
	MOVQ s_len+8(FP), CX
	LEAQ ret+16(FP), DI
	JMP  wide<>(SB)

// func avx2Bytes(b []byte) int
TEXT ·avx2Bytes(SB), NOSPLIT, $0-32
	MOVQ b_base+0(FP), SI
	MOVQ b_len+8(FP), CX
	LEAQ ret+24(FP), DI
	JMP  wide<>(SB)

// SI: the text, CX: its length, DI: where the result goes.
//
// To each byte 1 is added. Then those that can be seen are, as signed numbers, above
// the space, and no others: 0x7f and what is beyond ASCII have become negative or 0.
TEXT wide<>(SB), NOSPLIT, $0
	MOVQ         $0x0101010101010101, AX
	VMOVQ        AX, X1
	VPBROADCASTQ X1, Y1
	MOVQ         $0x2020202020202020, AX
	VMOVQ        AX, X2
	VPBROADCASTQ X2, Y2
	MOVQ         $0x2323232323232323, AX // the quote, and 1
	VMOVQ        AX, X3
	VPBROADCASTQ X3, Y3
	MOVQ         $0x5d5d5d5d5d5d5d5d, AX // the backslash, and 1
	VMOVQ        AX, X4
	VPBROADCASTQ X4, Y4
	XORQ         AX, AX                  // how many are good
	SUBQ         $64, CX                 // where the last block may begin

loop:
	CMPQ      AX, CX
	JGT       done
	VPADDB    (SI)(AX*1), Y1, Y5
	VPADDB    32(SI)(AX*1), Y1, Y6
	VPCMPGTB  Y2, Y5, Y7
	VPCMPGTB  Y2, Y6, Y8
	VPCMPEQB  Y3, Y5, Y9
	VPCMPEQB  Y3, Y6, Y10
	VPCMPEQB  Y4, Y5, Y5
	VPCMPEQB  Y4, Y6, Y6
	VPOR      Y5, Y9, Y9
	VPOR      Y6, Y10, Y10
	VPOR      Y9, Y10, Y9
	VPAND     Y7, Y8, Y7
	VPANDN    Y7, Y9, Y7
	VPMOVMSKB Y7, DX
	CMPL      DX, $-1
	JNE       done
	ADDQ      $64, AX
	JMP       loop

done:
	VZEROUPPER
	MOVQ AX, (DI)
	RET

// func detectAVX2() bool
TEXT ·detectAVX2(SB), NOSPLIT, $0-1
	MOVB   $0, ret+0(FP)
	XORL   AX, AX
	CPUID
	CMPL   AX, $7
	JLT    no
	MOVL   $1, AX
	XORL   CX, CX
	CPUID
	ANDL   $0x18000000, CX // the operating system can save registers, and there is AVX
	CMPL   CX, $0x18000000
	JNE    no
	XORL   CX, CX
	XGETBV
	ANDL   $6, AX          // it does save those that are used here
	CMPL   AX, $6
	JNE    no
	MOVL   $7, AX
	XORL   CX, CX
	CPUID
	SHRL   $5, BX          // AVX2
	ANDL   $1, BX
	MOVB   BX, ret+0(FP)

no:
	RET
