// philox.cuh  Randomness as a function of where you are: Philox 4x32-10, word for word as core/src/rng.rs.
//
// A Key is the place of a random number without its item and index: seed, purpose, step. The same four words come out
// here and there, and `uniform` is the same f64.
#pragma once
#include "common.cuh"

struct Words {
    u32 v[4];
};

// Ten rounds on a 128-bit counter with a 64-bit key.
__device__ inline Words philox4x32_10(Words counter, u32 key0, u32 key1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        u64 p0 = (u64)0xD2511F53u * counter.v[0], p1 = (u64)0xCD9E8D57u * counter.v[2];
        counter = Words{{(u32)(p1 >> 32) ^ counter.v[1] ^ key0, (u32)p1, (u32)(p0 >> 32) ^ counter.v[3] ^ key1,
                         (u32)p0}};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

struct Key {
    u32 seed_low, seed_high, stream, step;

    // 128 random bits of (item, index).
    __device__ Words words(u32 item, u32 index) const {
        return philox4x32_10(Words{{item, index, step, stream}}, seed_low, seed_high);
    }
    // Uniform in [0, 1) with 53 random bits.
    __device__ double uniform(u32 item, u32 index) const {
        Words w = words(item, index);
        u64 bits = (u64)w.v[0] << 21 | w.v[1] >> 11;
        return (double)bits * (1.0 / 9007199254740992.0);
    }
};
