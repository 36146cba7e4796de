// linear.cu  y = x w + b, and a ReLU if one follows;  dw = xᵀ dy;  dx = dy wᵀ;  db = column sums of dy
//
// v1 one thread a result, operands from L2          2 loads for 1 fmaf
// v2 tiles in shared memory, one sum a thread        2 shared loads for 1 fmaf
// v3 (kept) product.cuh: 64 sums a thread, 4 shared loads of 128 bits for 64 fmaf, next step fetched meanwhile
// Floor: 2 rows inputs outputs operations, and each operand read once: 4 (rows inputs + inputs outputs + rows outputs)
// bytes. Tensor cores: linear_tf32.cu and linear_bf16.cu, by choice; their operands fail this file's tolerance. Three
// tf32 products would pass.
// oracle: core/src/kernel/scalar/layers.rs
#include "linear.cuh"

LINEAR(wide, true, product<WIDE>)
LINEAR(slim, true, product<SLIM>)
LINEAR(ragged, false, product<SLIM>)

// out[i] = sum over the chunks of k of partial[chunk, i], plus the bias of its column, and a ReLU: each thread of a
// group takes every eighth chunk, in order, and the group joins them in order.
extern "C" __global__ void __launch_bounds__(GROUP_X *GROUP_Y)
    join(const float *partial, const float *bias, float *out, u32 with_bias, u32 relu, u32 chunks, u32 count,
         u32 columns) {
    u32 i = blockIdx.x * GROUP_X + threadIdx.x;
    double sum = 0;
    if (i < count)
        for (u32 chunk = threadIdx.y; chunk < chunks; chunk += GROUP_Y) sum += partial[(size_t)chunk * count + i];
    sum = group_sum(sum);
    if (threadIdx.y > 0 || i >= count) return;
    float v = (float)(with_bias ? sum + bias[i % columns] : sum);
    out[i] = relu && !(v > 0) ? 0 : v;
}

// sums[c] = sum over r of x[r, c]: each thread of a group takes every eighth row.
extern "C" __global__ void __launch_bounds__(GROUP_X *GROUP_Y)
    column_sums(const float *x, float *sums, u32 rows, u32 columns) {
    u32 column = blockIdx.x * GROUP_X + threadIdx.x;
    double sum = 0;
    if (column < columns)
        for (u32 r = threadIdx.y; r < rows; r += GROUP_Y) sum += x[(size_t)r * columns + column];
    sum = group_sum(sum);
    if (threadIdx.y == 0 && column < columns) sums[column] = (float)sum;
}
