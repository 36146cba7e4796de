// product_tf32.cuh  The format tf32 of product_tensor.cuh.
//
// v1 (kept) mma.sync m16n8k8, two for a step of 16 numbers of k
// Floor: that of product_tensor.cuh.
//
// Rounded to nearest and ties away from zero: 10 of 23 bits stay, so an operand is within 2^-11 of itself. A product of
// two is exact in f32. A word is one number.
#pragma once
#include "product_tensor.cuh"

// Nearest number of 10 bits behind the point.
__device__ inline float tf32_of(float v) {
    u32 bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
    return __uint_as_float(bits);
}

template <class Operand, int TILE> struct Tf32Stage : Stage<Operand, TILE> {
    __device__ void put(u32 *shared) {
#pragma unroll
        for (int i = 0; i < this->QUADS; ++i) {
            float4 &v = this->waiting[i];
            v = make_float4(tf32_of(v.x), tf32_of(v.y), tf32_of(v.z), tf32_of(v.w));
        }
        Stage<Operand, TILE>::put((float *)shared);
    }
};

struct Tf32 {
    static constexpr int NUMBERS = 1;
    template <class Operand, int TILE> using Stage = Tf32Stage<Operand, TILE>;

    __device__ static void mma(float &c0, float &c1, float &c2, float &c3, const u32 (&a)[4], u32 b0, u32 b1) {
        MMA("m16n8k8.row.col.f32.tf32.tf32.f32", c0, c1, c2, c3, a, b0, b1);
    }
};

template <int TILE_N, class A, class B, class Result>
__device__ void product_tf32(const A a, const B b, Result result, u32 depth, u32 chunk) {
    product_tensor<Tf32, TILE_N>(a, b, result, depth, chunk);
}
