// conv_bf16.cu  The products of conv.cu by product_bf16.cuh: x, w and dy rounded to bf16, sums in f32.
//
// v1 (kept) two forms, as in linear_tf32.cu
// Floor: as conv.cu in bytes; 18 pixels inputs outputs operations of the tensor cores, at twice the rate of tf32.
// oracle: core/src/kernel/scalar/layers.rs on rounded operands
#include "conv.cuh"
#include "product_bf16.cuh"

CONV(bf16_wide, true, product_bf16<64>)
CONV(bf16_ragged, false, product_bf16<32>)
