// pairs.cu  Strips of squared distances, moments of the negatives, and sums that join what rows found.
//
// v1 one thread a pair, operands from L2             2 loads for 1 fmaf
// v2 (kept) the tiles of product.cuh: 64 sums a thread. A strip is as many rows as fit 16 MB, so it is read from L2
//    again by the kernels that look at whole rows; moments leave the tile as two sums for 32 pairs and need no strip
// Floor: 2 rows columns dim operations; a strip writes 4 rows columns bytes besides. Not tried: tensor cores, see linear.cu
// oracle: core/src/distance.rs, core/src/kernel/rows.rs
#include "pairs.cuh"

#define ROW_WARPS 8
#define TOTAL_THREADS 256
#define FIELDS_MOST 8

// squares[i] = |x_i|²
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    squares(const float *x, float *squares, u32 count, u32 dim) {
    u32 row = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= count) return;
    x += (size_t)row * dim;
    double sum = 0;
    for (u32 k = lane; k < dim; k += 32) sum = fma((double)x[k], (double)x[k], sum);
    sum = warp_sum(sum);
    if (lane == 0) squares[row] = (float)sum;
}

struct Squared {
    float *out;
    Sides sides;
    u32 rows, columns;

    __device__ void store(u32 m, u32 n, const float *sums) const {
        if (m >= rows) return;
        float *row = out + (size_t)m * columns;
#pragma unroll
        for (u32 j = 0; j < 4; ++j)
            if (n + j < columns) row[n + j] = sides.squared(m, n + j, sums[j]);
    }
};

#define DISTANCES(SUFFIX, ALIGNED)                                                                                     \
    extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, BLOCKS)                                              \
        distances_##SUFFIX(const float *x, const float *y, const float *xx, const float *yy, float *out, u32 rows,     \
                           u32 columns, u32 dim) {                                                                     \
        pairs<ALIGNED>(x, y, rows, columns, dim, Squared{out, Sides{x, y, xx, yy, dim}, rows, columns});               \
    }
DISTANCES(wide, true)
DISTANCES(ragged, false)

// Of 32 pairs: sum of cos² and of ln(1 - cos²) over those of two classes; 1 - cos² = s (4 - s) / 4 keeps its digits.
struct Moments {
    float2 *out;
    Sides sides;
    const u32 *labels;
    u32 first, rows, columns;

    __device__ void store(u32 m, u32 n, const float *sums) const {
        u32 label = m < rows ? labels[first + m] : 0;
        float cosines = 0, logs = 0;
#pragma unroll
        for (u32 j = 0; j < 4; ++j) {
            if (m >= rows || n + j >= columns || labels[n + j] == label) continue;
            float s = sides.squared(m, n + j, sums[j]);
            float cosine = 1 - 0.5f * s;
            cosines += fminf(cosine * cosine, 1);
            logs += logf(fmaxf(s * (4 - s) * 0.25f, 1e-12f));
        }
        cosines = octet_sum(cosines);
        logs = octet_sum(logs);
        if (threadIdx.x % 8 == 0 && m < rows && n < columns)
            out[(size_t)m * ((columns + 31) / 32) + n / 32] = make_float2(cosines, logs);
    }
};

#define MOMENTS(SUFFIX, ALIGNED)                                                                                       \
    extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, BLOCKS)                                              \
        moments_##SUFFIX(const float *x, const float *y, const float *xx, const float *yy, const u32 *labels,          \
                         float2 *out, u32 first, u32 rows, u32 columns, u32 dim) {                                     \
        pairs<ALIGNED>(x, y, rows, columns, dim, Moments{out, Sides{x, y, xx, yy, dim}, labels, first, rows, columns});\
    }
MOMENTS(wide, true)
MOMENTS(ragged, false)

// fields[row, 0..2] = sums over the blocks of a row; a warp a row.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    row_moments(const float2 *blocks, double *fields, u32 first, u32 rows, u32 across) {
    u32 row = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    blocks += (size_t)row * across;
    double cosines = 0, logs = 0;
    for (u32 b = lane; b < across; b += 32) {
        cosines += blocks[b].x;
        logs += blocks[b].y;
    }
    cosines = warp_sum(cosines);
    logs = warp_sum(logs);
    if (lane == 0) {
        fields[2 * (size_t)(first + row)] = cosines;
        fields[2 * (size_t)(first + row) + 1] = logs;
    }
}

// totals[f] = sum over i of fields[i, f], for at most eight fields: one block, each thread a fixed share of the rows,
// then a fixed tree.
extern "C" __global__ void __launch_bounds__(TOTAL_THREADS)
    totals(const double *fields, double *totals, u32 count, u32 width) {
    __shared__ double part[FIELDS_MOST][TOTAL_THREADS];
    for (u32 f = 0; f < width; ++f) {
        double sum = 0;
        for (size_t i = threadIdx.x; i < count; i += TOTAL_THREADS) sum += fields[i * width + f];
        part[f][threadIdx.x] = sum;
    }
    for (u32 half = TOTAL_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            for (u32 f = 0; f < width; ++f) part[f][threadIdx.x] += part[f][threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        for (u32 f = 0; f < width; ++f) totals[f] = part[f][0];
}
