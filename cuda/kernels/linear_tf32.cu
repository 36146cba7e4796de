// linear_tf32.cu  The products of linear.cu by product_tf32.cuh: x, w and dy rounded to tf32, sums in f32. Bias, ReLU, the
// join of chunks and db are those of linear.cu.
//
// v1 (kept) two forms: tiles of 128 x 64, also for results of at most 32 columns, whose grid is the same; of 128 x 32
//    for rows that are no multiple of 4
// Floor: as linear.cu in bytes; 2 rows inputs outputs operations of the tensor cores.
// oracle: core/src/kernel/scalar/layers.rs on rounded operands
#include "linear.cuh"
#include "product_tf32.cuh"

LINEAR(tf32_wide, true, product_tf32<64>)
LINEAR(tf32_ragged, false, product_tf32<32>)
