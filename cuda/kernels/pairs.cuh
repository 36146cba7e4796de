// pairs.cuh  Squared distances of two sets of rows, as they leave the tiles of a product.
//
// |x|² + |y|² - 2 x·y has lost too many digits where the two are near: such pairs are recomputed from differences [R2].
// The sum of a product runs over k in order, so whoever forms one product alone gets the bits of the tile.
#pragma once
#include "product.cuh"

// Share of the mean squared length below which a pair is near: as in core/src/distance.rs.
#define NEAR 0.025f

struct Sides {
    const float *x, *y, *xx, *yy;
    u32 dim;

    __device__ float squared(u32 m, u32 n, float product) const {
        float both = xx[m] + yy[n];
        float squared = both - 2 * product;
        return squared > NEAR * both ? squared : from_differences(x + (size_t)m * dim, y + (size_t)n * dim);
    }

    // For a pair that is in no tile.
    __device__ float squared(u32 m, u32 n) const {
        const float *u = x + (size_t)m * dim, *v = y + (size_t)n * dim;
        float product = 0;
        for (u32 k = 0; k < dim; ++k) product = fmaf(u[k], v[k], product);
        return squared(m, n, product);
    }

    __device__ float from_differences(const float *u, const float *v) const {
        float sum = 0;
#pragma unroll 1
        for (u32 k = 0; k < dim; ++k) {
            float apart = u[k] - v[k];
            sum = fmaf(apart, apart, sum);
        }
        return sum;
    }
};

// The tile of this block: every row of x with every row of y; `result` gets the products, rows are whole quads or not.
template <bool ALIGNED, class Result>
__device__ void pairs(const float *x, const float *y, u32 rows, u32 columns, u32 dim, Result result) {
    Rows<ALIGNED> a = {x, rows, dim}, b = {y, columns, dim};
    if (ALIGNED) product<WIDE>(a, b, result, dim, dim);
    else product<SLIM>(a, b, result, dim, dim);
}

// Sum and largest over the eight threads that hold 32 consecutive columns of one row of a tile; a fixed tree.
__device__ inline float octet_sum(float v) {
    for (int step = 4; step > 0; step /= 2) v += __shfl_xor_sync(FULL_WARP, v, step);
    return v;
}
__device__ inline u32 octet_sum(u32 v) {
    for (int step = 4; step > 0; step /= 2) v += __shfl_xor_sync(FULL_WARP, v, step);
    return v;
}
__device__ inline float octet_max(float v) {
    for (int step = 4; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, step));
    return v;
}
