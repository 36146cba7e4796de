// conv.cu  3x3 convolution, padding 1, as products over patches that are never written down (implicit GEMM):
//   y[pixel, o]      = sum over (tap, i) of x[pixel + tap, i] w[tap, i, o]
//   dx[pixel, i]     = sum over (tap, o) of dy[pixel - tap, o] w[tap, i, o]
//   dw[(tap, i), o]  = sum over pixels of x[pixel + tap, i] dy[pixel, o]
//
// v1 one thread a result                     9 inputs loads of x and of w each
// v2 patches written to memory, then a product: 9 times the bytes of x, twice
// v3 (kept) product.cuh with operands that find their pixel; where channels are a multiple of 4 a quad stays inside
//    one tap and is one 128-bit load
// Floor: 18 pixels inputs outputs operations; x, w and y once. For dw each pixel's place costs two divisions a quad.
// oracle: core/src/kernel/scalar/layers.rs
#include "conv.cuh"

CONV(wide, true, product<WIDE>)
CONV(slim, true, product<SLIM>)
CONV(ragged, false, product<SLIM>)
