// What every kernel shares. NVRTC has no system headers, so nothing is included here.
//
// All files are compiled with --fmad=false: a product is rounded before it is added, as in the scalar twins, so that
// what works number by number gives their bits. Where one rounding is wanted, the code says fmaf or fma.
//
// Counts are below 2^31 (the caller refuses more), so indices are u32, whose divisions are short; addresses are formed
// in 64 bits.
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;

#define FULL_WARP 0xffffffffu
#define INFINITE __int_as_float(0x7f800000)

// Threads of a block that works number by number.
#define POINTS 256

// Index of this thread in a one-dimensional launch.
__device__ inline u32 thread_index() { return blockIdx.x * blockDim.x + threadIdx.x; }

__device__ inline bool is_finite(float v) { return fabsf(v) < INFINITE; }

// Sum over the 32 lanes of a warp, the same for all; a fixed tree, so the same bits every time.
__device__ inline double warp_sum(double v) {
    for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(FULL_WARP, v, step);
    return v;
}

// Largest of the 32 lanes of a warp.
__device__ inline float warp_max(float v) {
    for (int step = 16; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, step));
    return v;
}

// Numbers at .. at + 3 of a row of `count`, zero past its end. If `count` is a multiple of 4 every row starts on 16
// bytes, as buffers start on 256, and four numbers are one load; ALIGNED promises that, and saves the other way's code.
template <bool ALIGNED> __device__ float4 quad_of(const float *row, u32 at, u32 count) {
    float4 v = make_float4(0, 0, 0, 0);
    if (ALIGNED || (count & 3) == 0) {
        if (at < count) v = __ldg((const float4 *)(row + at));
    } else {
        if (at < count) v.x = __ldg(row + at);
        if (at + 1 < count) v.y = __ldg(row + at + 1);
        if (at + 2 < count) v.z = __ldg(row + at + 2);
        if (at + 3 < count) v.w = __ldg(row + at + 3);
    }
    return v;
}
