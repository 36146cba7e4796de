// linear_bf16.cu  The products of linear.cu by product_bf16.cuh: x, w and dy rounded to bf16, sums in f32. Bias, ReLU,
// the join of chunks and db are those of linear.cu.
//
// v1 (kept) two forms, as in linear_tf32.cu
// Floor: as linear.cu in bytes; 2 rows inputs outputs operations of the tensor cores, at twice the rate of tf32.
// oracle: core/src/kernel/scalar/layers.rs on rounded operands
#include "linear.cuh"
#include "product_bf16.cuh"

LINEAR(bf16_wide, true, product_bf16<64>)
LINEAR(bf16_ragged, false, product_bf16<32>)
