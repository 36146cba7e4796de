// product_bf16.cuh  The format bf16 of product_tensor.cuh.
//
// v1 (kept) mma.sync m16n8k16, one for a step of 16 numbers of k: half of tf32's mma and of its shared loads
// Floor: that of product_tensor.cuh; the chips state twice the rate of tf32. Not tried: steps of 32 numbers, which
// halve the barriers, for 24 more registers that wait.
//
// Rounded to nearest and ties to even: 7 of 23 bits stay, so an operand is within 2^-8 of itself. A product of two is
// exact in f32. A word is a pair: number 2p of k in its lower half, 2p + 1 in its upper one, so that shared memory
// holds, moves and stores half of what it does for tf32.
//
// A pair is made in the registers of one thread, which therefore fetches both of its numbers. Where four numbers of
// consecutive k lie together, a quad is two pairs of one m. Each of the two stores of a warp goes to four rows of
// shared memory at eight consecutive m, and rows 2 apart are 8 banks apart: no bank twice. Where four of consecutive m
// lie together, a thread takes the quads of 2p and 2p + 1 and stores four pairs at once; a row of global memory is read
// as wide as before. Of a tile of 32 columns these are quads for half of the threads, so two warps of four fetch it
// alone. Not taken: stores of 16 bits by whoever has either number, which are eight for one; shuffles, which stay
// inside a warp, where the two numbers of a tile of 128 are fetched by two.
#pragma once
#include "product_tensor.cuh"

// Nearest numbers of 7 bits behind the point.
__device__ inline u32 bf16_pair(float low, float high) {
    u32 bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

template <class Operand, int TILE> struct Bf16Stage {
    static constexpr bool along_k = Operand::along_k;
    static constexpr int ACROSS = along_k ? DEPTH / 4 : TILE / 4;
    // Places of the slow axis, m or a pair of k, and the distance between those of one thread.
    static constexpr int PLACES = along_k ? TILE : DEPTH / 2;
    static constexpr int STRIDE = PRODUCT_THREADS / ACROSS;
    static constexpr int EACH_PLACES = PLACES < STRIDE ? 1 : PLACES / STRIDE;
    static constexpr int OUTERS = along_k ? EACH_PLACES : 1;
    static constexpr int QUADS = along_k ? EACH_PLACES : 2 * EACH_PLACES;
    // Four words of padding, as in Stage.
    static constexpr int PITCH = TILE + 4;
    static_assert(PRODUCT_THREADS % ACROSS == 0, "tile does not fit the threads");

    typename Operand::Outer outers[OUTERS];
    float4 waiting[QUADS];
    u32 fast, slow;

    // The others have no place.
    __device__ bool works() const { return PLACES >= STRIDE || slow < PLACES; }

    __device__ void open(const Operand &operand, u32 first) {
        fast = threadIdx.x % ACROSS * 4;
        slow = threadIdx.x / ACROSS;
#pragma unroll
        for (int i = 0; i < OUTERS; ++i) outers[i] = operand.outer(first + (along_k ? slow + i * STRIDE : fast));
    }

    __device__ void fetch(const Operand &operand, u32 k) {
        if (!works()) return;
#pragma unroll
        for (int i = 0; i < QUADS; ++i)
            waiting[i] = along_k ? operand.quad(outers[i % OUTERS], k + fast)
                                 : operand.quad(outers[0], k + 2 * (slow + i / 2 * STRIDE) + i % 2);
    }

    __device__ void put(u32 *shared) const {
        if (!works()) return;
#pragma unroll
        for (int i = 0; i < EACH_PLACES; ++i) {
            u32 at = slow + i * STRIDE;
            if constexpr (along_k) {
                float4 v = waiting[i];
                shared[fast / 2 * PITCH + at] = bf16_pair(v.x, v.y);
                shared[(fast / 2 + 1) * PITCH + at] = bf16_pair(v.z, v.w);
            } else {
                float4 u = waiting[2 * i], v = waiting[2 * i + 1];
                *(uint4 *)(shared + at * PITCH + fast) =
                    make_uint4(bf16_pair(u.x, v.x), bf16_pair(u.y, v.y), bf16_pair(u.z, v.z), bf16_pair(u.w, v.w));
            }
        }
    }
};

struct Bf16 {
    static constexpr int NUMBERS = 2;
    template <class Operand, int TILE> using Stage = Bf16Stage<Operand, TILE>;

    __device__ static void mma(float &c0, float &c1, float &c2, float &c3, const u32 (&a)[4], u32 b0, u32 b1) {
        MMA("m16n8k16.row.col.f32.bf16.bf16.f32", c0, c1, c2, c3, a, b0, b1);
    }
};

template <int TILE_N, class A, class B, class Result>
__device__ void product_bf16(const A a, const B b, Result result, u32 depth, u32 chunk) {
    product_tensor<Bf16, TILE_N>(a, b, result, depth, chunk);
}
