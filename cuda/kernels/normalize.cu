// normalize.cu  x = z / |z| for each row, and the gradient through it
//
// v1 one thread a row                          rows apart: each load its own line
// v2 (kept) one warp a row, eight rows a block: z is read from memory once and from cache twice. Floor: 8 bytes a
//    number forward, 16 backward
// The length is formed from the largest number, so nothing overflows; its sum in f64, a fixed tree over the lanes.
// A bad row is reported in one word: the largest report is that of the first bad row.
// oracle: core/src/distance.rs
#include "common.cuh"

#define ROW_WARPS 8

// 0 is "all rows are good"; else the complement of 2 row + kind, kind 1 for not finite, 0 for all zero.
__device__ inline u32 report_of(u32 row, u32 kind) { return ~(2 * row + kind); }

// Largest number of a row, and its length in units of that.
__device__ void length_of(const float *z, u32 dim, float &largest, float &length) {
    u32 lane = threadIdx.x % 32;
    float peak = 0;
    for (u32 i = lane; i < dim; i += 32) peak = fmaxf(peak, fabsf(z[i]));
    largest = warp_max(peak);
    double sum = 0;
    for (u32 i = lane; i < dim; i += 32) {
        double v = z[i] / largest;
        sum = fma(v, v, sum);
    }
    length = (float)sqrt(warp_sum(sum));
}

extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    normalize(const float *z, float *x, u32 *report, u32 count, u32 dim) {
    u32 row = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= count) return;
    z += (size_t)row * dim;
    x += (size_t)row * dim;
    bool finite = true;
    for (u32 i = lane; i < dim; i += 32) finite = finite && is_finite(z[i]);
    finite = __all_sync(FULL_WARP, finite);
    float largest, length;
    length_of(z, dim, largest, length);
    if (!finite || !(largest > 0)) {
        if (lane == 0) atomicMax(report, report_of(row, finite ? 0 : 1));
        return;
    }
    for (u32 i = lane; i < dim; i += 32) x[i] = z[i] / largest / length;
}

extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    normalize_backward(const float *z, const float *x, const float *dx, float *dz, u32 count, u32 dim) {
    u32 row = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= count) return;
    size_t from = (size_t)row * dim;
    float largest, length;
    length_of(z + from, dim, largest, length);
    double sum = 0;
    for (u32 i = lane; i < dim; i += 32) sum = fma((double)x[from + i], (double)dx[from + i], sum);
    float along = (float)warp_sum(sum);
    for (u32 i = lane; i < dim; i += 32) dz[from + i] = (dx[from + i] - along * x[from + i]) / largest / length;
}
