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

// Numbers of each array that one thread of a pointwise kernel takes, POINTS apart.
#define EACH 4

// A thread's numbers in arrays of `len`: all are read before any is written, so that EACH loads of an array are under
// way at once; with one, a warp waits longer than the memory of a large chip needs to answer.
struct Span {
    u32 first, len;
    __device__ Span(u32 len) : first(blockIdx.x * (POINTS * EACH) + threadIdx.x), len(len) {}
    __device__ u32 at(int k) const { return first + k * POINTS; }
    __device__ void read(const float *array, float (&v)[EACH]) const {
#pragma unroll
        for (int k = 0; k < EACH; ++k) v[k] = at(k) < len ? array[at(k)] : 0;
    }
    __device__ void write(float *array, const float (&v)[EACH]) const {
#pragma unroll
        for (int k = 0; k < EACH; ++k)
            if (at(k) < len) array[at(k)] = v[k];
    }
};

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

// A block of GROUP_X x GROUP_Y threads that joins sums: the first index is a number of the result, the second one of
// GROUP_Y threads that share its terms.
#define GROUP_X 32
#define GROUP_Y 8

// Sum of the values that the GROUP_Y threads of one result hold, in their order; right in the first of them.
__device__ inline double group_sum(double v) {
    __shared__ double part[GROUP_Y][GROUP_X];
    part[threadIdx.y][threadIdx.x] = v;
    __syncthreads();
    double sum = 0;
    if (threadIdx.y == 0) {
#pragma unroll
        for (int y = 0; y < GROUP_Y; ++y) sum += part[y][threadIdx.x];
    }
    // The array may be used again.
    __syncthreads();
    return sum;
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
