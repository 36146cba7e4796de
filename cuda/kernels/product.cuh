// product.cuh  out[m, n] = sum over k of a(m, k) b(k, n), the loop behind every linear and convolution kernel.
//
// A block holds a TileM x TileN tile of the result and walks k in steps of DEPTH: both operands go to shared memory
// with k as the slow axis, the next step's numbers wait in registers meanwhile, and there are two copies of the shared
// tiles, so one barrier a step is enough. A thread keeps ThreadM x ThreadN sums, in quads TileM / (ThreadM / 4) apart,
// so that its shared loads are 128 bits wide and neighbours read neighbouring banks.
//
// Each sum runs over k in order, one fmaf a term, in f32. Where the tiles alone would not fill a device, blockIdx.z
// cuts k into chunks and `join` adds them in order in f64. The cut depends on the shape only: same bytes everywhere.
//
// An operand says how it is laid out (along_k: four numbers of consecutive k lie together; else four of consecutive
// m or n), prepares what depends on m or n alone once (outer), and gives four numbers at a time (quad), zeros outside.
#pragma once
#include "common.cuh"

// Numbers of k in one step.
#define DEPTH 16
// Threads of a block of every product.
#define PRODUCT_THREADS 128
// Blocks of a product that a multiprocessor should hold at once: bounds the registers.
#define BLOCKS 2

// value(m, k) = p[m * depth + k]
template <bool ALIGNED> struct Rows {
    static constexpr bool along_k = true;
    typedef const float *Outer;
    const float *p;
    u32 rows, depth;
    __device__ Outer outer(u32 m) const { return m < rows ? p + (size_t)m * depth : 0; }
    __device__ float4 quad(Outer row, u32 k) const {
        return row ? quad_of<ALIGNED>(row, k, depth) : make_float4(0, 0, 0, 0);
    }
};

// value(m, k) = p[k * columns + m]
template <bool ALIGNED> struct Columns {
    static constexpr bool along_k = false;
    typedef u32 Outer;
    const float *p;
    u32 columns, depth;
    __device__ Outer outer(u32 m) const { return m; }
    __device__ float4 quad(Outer m, u32 k) const {
        return k < depth ? quad_of<ALIGNED>(p + (size_t)k * columns, m, columns) : make_float4(0, 0, 0, 0);
    }
};

// Where a tile goes: rows of `columns` numbers, a bias added if there is one, then a ReLU if one follows.
template <bool ALIGNED> struct Result {
    float *out;
    const float *bias;
    u32 rows, columns;
    bool relu = false;

    __device__ float finish(float sum, u32 n) const {
        if (bias) sum += bias[n];
        return relu && !(sum > 0) ? 0 : sum;
    }

    __device__ void store(u32 m, u32 n, const float *sums) const {
        if (m >= rows) return;
        float *row = out + (size_t)m * columns;
        if (ALIGNED || (columns & 3) == 0) {
            if (n < columns) {
                *(float4 *)(row + n) = make_float4(finish(sums[0], n), finish(sums[1], n + 1),
                                                   finish(sums[2], n + 2), finish(sums[3], n + 3));
            }
        } else {
#pragma unroll
            for (u32 j = 0; j < 4; ++j)
                if (n + j < columns) row[n + j] = finish(sums[j], n + j);
        }
    }
};

// One operand's share of a thread: which quads it fetches, the registers they wait in, and the way to shared memory.
template <class Operand, int TILE> struct Stage {
    static constexpr int QUADS = TILE * DEPTH / 4 / PRODUCT_THREADS;
    static constexpr int ACROSS = Operand::along_k ? DEPTH / 4 : TILE / 4;
    // Distance between the quads of one thread, along the slow axis.
    static constexpr int STRIDE = PRODUCT_THREADS / ACROSS;
    static constexpr int OUTERS = Operand::along_k ? QUADS : 1;
    // Four numbers of padding keep rows on 16 bytes and spread them over the banks.
    static constexpr int PITCH = TILE + 4;
    static_assert(QUADS >= 1 && PRODUCT_THREADS % ACROSS == 0, "tile does not fit the threads");

    typename Operand::Outer outers[OUTERS];
    float4 waiting[QUADS];
    u32 fast, slow;

    __device__ void open(const Operand &operand, u32 first) {
        fast = threadIdx.x % ACROSS * 4;
        slow = threadIdx.x / ACROSS;
#pragma unroll
        for (int i = 0; i < OUTERS; ++i)
            outers[i] = operand.outer(first + (Operand::along_k ? slow + i * STRIDE : fast));
    }

    __device__ void fetch(const Operand &operand, u32 k) {
#pragma unroll
        for (int i = 0; i < QUADS; ++i)
            waiting[i] = Operand::along_k ? operand.quad(outers[i % OUTERS], k + fast)
                                          : operand.quad(outers[0], k + slow + i * STRIDE);
    }

    __device__ void put(float *shared) const {
#pragma unroll
        for (int i = 0; i < QUADS; ++i) {
            float4 v = waiting[i];
            u32 at = slow + i * STRIDE;
            if (Operand::along_k) {
                shared[(fast + 0) * PITCH + at] = v.x;
                shared[(fast + 1) * PITCH + at] = v.y;
                shared[(fast + 2) * PITCH + at] = v.z;
                shared[(fast + 3) * PITCH + at] = v.w;
            } else {
                *(float4 *)(shared + at * PITCH + fast) = v;
            }
        }
    }
};

// The tile of this block; `chunk` (a multiple of DEPTH) numbers of k belong to one blockIdx.z.
template <int TILE_M, int TILE_N, int THREAD_M, int THREAD_N, class A, class B, class Result>
__device__ void product(const A a, const B b, Result result, u32 depth, u32 chunk) {
    typedef Stage<A, TILE_M> StageA;
    typedef Stage<B, TILE_N> StageB;
    constexpr int ACROSS = TILE_N / THREAD_N;
    constexpr int GROUPS_M = THREAD_M / 4, GROUPS_N = THREAD_N / 4;
    constexpr int JUMP_M = TILE_M / GROUPS_M, JUMP_N = TILE_N / GROUPS_N;
    static_assert(TILE_M / THREAD_M * ACROSS == PRODUCT_THREADS, "threads do not cover the tile");
    __shared__ __align__(16) float shared_a[2][DEPTH * StageA::PITCH];
    __shared__ __align__(16) float shared_b[2][DEPTH * StageB::PITCH];

    u32 first_m = blockIdx.x * TILE_M, first_n = blockIdx.y * TILE_N;
    u32 begin = blockIdx.z * chunk, end = min(begin + chunk, depth);
    u32 m = threadIdx.x / ACROSS * 4, n = threadIdx.x % ACROSS * 4;

    StageA stage_a;
    StageB stage_b;
    stage_a.open(a, first_m);
    stage_b.open(b, first_n);
    float sums[THREAD_M][THREAD_N];
#pragma unroll
    for (int i = 0; i < THREAD_M; ++i)
#pragma unroll
        for (int j = 0; j < THREAD_N; ++j) sums[i][j] = 0;

    stage_a.fetch(a, begin);
    stage_b.fetch(b, begin);
    stage_a.put(shared_a[0]);
    stage_b.put(shared_b[0]);
    __syncthreads();
    u32 now = 0;
    for (u32 k = begin; k < end; k += DEPTH) {
        bool more = k + DEPTH < end;
        if (more) {
            stage_a.fetch(a, k + DEPTH);
            stage_b.fetch(b, k + DEPTH);
        }
        const float *tile_a = shared_a[now] + m, *tile_b = shared_b[now] + n;
#pragma unroll 4
        for (int d = 0; d < DEPTH; ++d) {
            float u[THREAD_M], v[THREAD_N];
#pragma unroll
            for (int g = 0; g < GROUPS_M; ++g)
                *(float4 *)(u + 4 * g) = *(const float4 *)(tile_a + d * StageA::PITCH + g * JUMP_M);
#pragma unroll
            for (int g = 0; g < GROUPS_N; ++g)
                *(float4 *)(v + 4 * g) = *(const float4 *)(tile_b + d * StageB::PITCH + g * JUMP_N);
#pragma unroll
            for (int i = 0; i < THREAD_M; ++i)
#pragma unroll
                for (int j = 0; j < THREAD_N; ++j) sums[i][j] = fmaf(u[i], v[j], sums[i][j]);
        }
        if (more) {
            now ^= 1;
            stage_a.put(shared_a[now]);
            stage_b.put(shared_b[now]);
            __syncthreads();
        }
    }

    result.out += (size_t)blockIdx.z * result.rows * result.columns;
#pragma unroll
    for (int i = 0; i < THREAD_M; ++i)
#pragma unroll
        for (int g = 0; g < GROUPS_N; ++g)
            result.store(first_m + m + i / 4 * JUMP_M + i % 4, first_n + n + g * JUMP_N, sums[i] + 4 * g);
}

// Each product comes three times, with the same 128 threads: a tile of 128 x 64 (suffix _wide), 64 sums a thread; of
// 128 x 32 (_slim) for results of at most 32 columns; and that tile for rows that are no multiple of 4 (_ragged).
#define WIDE 128, 64, 8, 8
#define SLIM 128, 32, 8, 4
