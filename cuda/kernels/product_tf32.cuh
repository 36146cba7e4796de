// product_tf32.cuh  The sums of product.cuh on tensor cores: both operands are rounded to tf32, sums are f32.
//
// v1 (kept) mma.sync m16n8k8: a warp has 32 rows of the block's tile and all its columns; 6 shared loads of 128 bits for
//    16 mma of 16 x 8 x 8 on a tile of 64 columns
// Floor: that of the product, its operations at the rate of the tensor cores. Not tried: ldmatrix, more stages, wgmma.
//
// Rounding is once, to nearest and ties away from zero, on the way to shared memory: 10 of 23 bits stay, so an operand is
// within 2^-11 of itself. A product of two is exact in f32. Loads, tiles, the cut of k and what becomes of a sum are those
// of product.cuh. The order of k is fixed; how a tensor core aligns the terms of one mma is the chip's affair.
//
// mma.sync spreads 16 rows, 8 columns and 8 numbers of k over lanes (g, t) = (lane / 4, lane % 4). Which row, column and k
// of the product stands at which place of a fragment is free, as long as both operands and the sums agree:
//   k at places t and t + 4     2t and 2t + 1          rows of shared memory that a quarter of a warp reads miss each
//                                                      other's banks (a pitch is 4 more than a multiple of 32)
//   row of place g, g + 8 of tile i      4g + 2i, 4g + 2i + 1     one load of 128 bits holds two tiles of 16 rows
//   column of place c of tile j          4c + j                   and one, four tiles of 8 columns;
// a lane then ends with quads of a row, which Result stores.
#pragma once
#include "product.cuh"

// Rows of a warp, and columns whose numbers are one load.
#define WARP_ROWS 32
#define SPREAD 32
// Numbers of k in one mma.
#define MMA_DEPTH 8

// Nearest number of 10 bits behind the point.
__device__ inline float tf32_of(float v) {
    u32 bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
    return __uint_as_float(bits);
}

template <class Stage> __device__ void round_waiting(Stage &stage) {
#pragma unroll
    for (int i = 0; i < Stage::QUADS; ++i) {
        float4 &v = stage.waiting[i];
        v = make_float4(tf32_of(v.x), tf32_of(v.y), tf32_of(v.z), tf32_of(v.w));
    }
}

// c0 and c1 are of row place g and column places 2t and 2t + 1, c2 and c3 of row place g + 8.
__device__ inline void mma_tf32(float &c0, float &c1, float &c2, float &c3, const float (&a)[4], float b0, float b1) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
                 : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
                   "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}

// As `product`, on tiles of 128 x TILE_N.
template <int TILE_N, class A, class B, class Result>
__device__ void product_tf32(const A a, const B b, Result result, u32 depth, u32 chunk) {
    constexpr int TILE_M = PRODUCT_THREADS / 32 * WARP_ROWS;
    constexpr int SPREADS = TILE_N / SPREAD;
    typedef Stage<A, TILE_M> StageA;
    typedef Stage<B, TILE_N> StageB;
    __shared__ __align__(16) float shared_a[2][DEPTH * StageA::PITCH];
    __shared__ __align__(16) float shared_b[2][DEPTH * StageB::PITCH];

    u32 first_m = blockIdx.x * TILE_M, first_n = blockIdx.y * TILE_N;
    u32 begin = blockIdx.z * chunk, end = min(begin + chunk, depth);
    u32 g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    u32 m = threadIdx.x / 32 * WARP_ROWS + 4 * g;

    StageA stage_a;
    StageB stage_b;
    stage_a.open(a, first_m);
    stage_b.open(b, first_n);
    // By tile of rows, 32 columns, place in a fragment, tile of columns.
    float sums[2][SPREADS][4][4] = {};

    stage_a.fetch(a, begin);
    stage_b.fetch(b, begin);
    round_waiting(stage_a);
    round_waiting(stage_b);
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
#pragma unroll
        for (int d = 0; d < DEPTH; d += MMA_DEPTH) {
            const float *row_a = shared_a[now] + (d + 2 * t) * StageA::PITCH + m;
            const float *row_b = shared_b[now] + (d + 2 * t) * StageB::PITCH + 4 * g;
            float4 even = *(const float4 *)row_a, odd = *(const float4 *)(row_a + StageA::PITCH);
            const float u[2][4] = {{even.x, even.y, odd.x, odd.y}, {even.z, even.w, odd.z, odd.w}};
#pragma unroll
            for (int h = 0; h < SPREADS; ++h) {
                float v[2][4];
                *(float4 *)v[0] = *(const float4 *)(row_b + h * SPREAD);
                *(float4 *)v[1] = *(const float4 *)(row_b + h * SPREAD + StageB::PITCH);
#pragma unroll
                for (int i = 0; i < 2; ++i)
#pragma unroll
                    for (int j = 0; j < 4; ++j)
                        mma_tf32(sums[i][h][0][j], sums[i][h][1][j], sums[i][h][2][j], sums[i][h][3][j], u[i], v[0][j],
                                 v[1][j]);
            }
        }
        if (more) {
            now ^= 1;
            round_waiting(stage_a);
            round_waiting(stage_b);
            stage_a.put(shared_a[now]);
            stage_b.put(shared_b[now]);
            __syncthreads();
        }
    }

    result.out += (size_t)blockIdx.z * result.rows * result.columns;
    // Column place 2t + q of tile j is column 8t + 4q + j.
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int h = 0; h < SPREADS; ++h)
#pragma unroll
            for (int c = 0; c < 4; ++c)
                result.store(first_m + m + 2 * i + c / 2, first_n + h * SPREAD + 8 * t + c % 2 * 4, sums[i][h][c]);
}
