// conv_tf32.cu  The products of conv.cu by product_tf32.cuh: x, w and dy rounded to tf32, sums in f32.
//
// v1 (kept) two forms, as in linear_tf32.cu
// Floor: as conv.cu in bytes; 18 pixels inputs outputs operations of the tensor cores.
// oracle: core/src/kernel/scalar/layers.rs on rounded operands
#include "conv.cuh"
#include "product_tf32.cuh"

CONV(tf32_wide, true, product_tf32<64>)
CONV(tf32_ragged, false, product_tf32<32>)
