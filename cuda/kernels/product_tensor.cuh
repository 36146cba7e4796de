// product_tensor.cuh  The sums of product.cuh on tensor cores, for whatever short format the operands are rounded to:
// product_tf32.cuh and product_bf16.cuh have the formats. Rounding is once, on the way to shared memory; sums are f32.
// Loads, tiles, the cut of k and what becomes of a sum are those of product.cuh. The order of k is fixed; how a tensor
// core aligns the terms of one mma is the chip's affair.
//
// v1 (kept) a warp has 32 rows of the block's tile and all its columns; 6 shared loads of 128 bits for 16 mma on a tile
//    of 64 columns
// Floor: that of the product, its operations at the rate of the tensor cores. Not tried: ldmatrix, more stages, wgmma.
//
// Shared memory holds words of 32 bits: a tf32, or two bf16 of neighbouring k. A format says
//   NUMBERS                what numbers of k one word has
//   Stage<Operand, TILE>   Stage of product.cuh whose `put` rounds, and writes words with k as the slow axis
//   mma                    the instruction, mma.sync on 16 rows, 8 columns and MMA_WORDS words of k
//
// mma.sync spreads these over lanes (g, t) = (lane / 4, lane % 4), alike for both formats when counted in words. Which
// row, column and k of the product stands at which place of a fragment is free, as long as both operands and the sums
// agree:
//   words of k at places t and t + 4     2t and 2t + 1            rows of shared memory that a quarter of a warp reads
//                                                                 miss each other's banks (a pitch is 4 more than a
//                                                                 multiple of 32)
//   row of place g, g + 8 of tile i      4g + 2i, 4g + 2i + 1     one load of 128 bits holds two tiles of 16 rows
//   column of place c of tile j          4c + j                   and one, four tiles of 8 columns;
// a lane then ends with quads of a row, which Result stores.
#pragma once
#include "product.cuh"

// Rows of a warp, and columns whose words are one load.
#define WARP_ROWS 32
#define SPREAD 32
// Words of k in one mma.
#define MMA_WORDS 8

// mma.sync of a shape and types: C0 and C1 are of row place g and column places 2t and 2t + 1, C2 and C3 of row place
// g + 8.
#define MMA(SHAPE_AND_TYPES, C0, C1, C2, C3, A, B0, B1)                                                               \
    asm volatile("mma.sync.aligned." SHAPE_AND_TYPES " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "                \
                 "{%0, %1, %2, %3};"                                                                                  \
                 : "+f"(C0), "+f"(C1), "+f"(C2), "+f"(C3)                                                             \
                 : "r"(A[0]), "r"(A[1]), "r"(A[2]), "r"(A[3]), "r"(B0), "r"(B1))

// As `product`, on tiles of 128 x TILE_N.
template <class Format, int TILE_N, class A, class B, class Result>
__device__ void product_tensor(const A a, const B b, Result result, u32 depth, u32 chunk) {
    constexpr int TILE_M = PRODUCT_THREADS / 32 * WARP_ROWS;
    constexpr int SPREADS = TILE_N / SPREAD;
    constexpr int WORDS = DEPTH / Format::NUMBERS;
    typedef typename Format::template Stage<A, TILE_M> StageA;
    typedef typename Format::template Stage<B, TILE_N> StageB;
    static_assert(WORDS % MMA_WORDS == 0, "a step is no whole number of mma");
    __shared__ __align__(16) u32 shared_a[2][WORDS * StageA::PITCH];
    __shared__ __align__(16) u32 shared_b[2][WORDS * StageB::PITCH];

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
        for (int d = 0; d < WORDS; d += MMA_WORDS) {
            const u32 *row_a = shared_a[now] + (d + 2 * t) * StageA::PITCH + m;
            const u32 *row_b = shared_b[now] + (d + 2 * t) * StageB::PITCH + 4 * g;
            uint4 even = *(const uint4 *)row_a, odd = *(const uint4 *)(row_a + StageA::PITCH);
            const u32 u[2][4] = {{even.x, even.y, odd.x, odd.y}, {even.z, even.w, odd.z, odd.w}};
#pragma unroll
            for (int h = 0; h < SPREADS; ++h) {
                u32 v[2][4];
                *(uint4 *)v[0] = *(const uint4 *)(row_b + h * SPREAD);
                *(uint4 *)v[1] = *(const uint4 *)(row_b + h * SPREAD + StageB::PITCH);
#pragma unroll
                for (int i = 0; i < 2; ++i)
#pragma unroll
                    for (int j = 0; j < 4; ++j)
                        Format::mma(sums[i][h][0][j], sums[i][h][1][j], sums[i][h][2][j], sums[i][h][3][j], u[i],
                                    v[0][j], v[1][j]);
            }
        }
        if (more) {
            now ^= 1;
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
