// weigh.cuh  Inverse-density weights of negatives, in log space; core/src/weight.rs has the law.
#pragma once
#include "groups.cuh"
#include "pairs.cuh"

struct Law {
    float power, bend, ln_cap;
    // Candidates end at `far`, or with `active` at `far` beyond the boundary of the anchor.
    float far;
    u32 active;

    __device__ float far_end(float beta) const { return active ? far + beta : far; }

    __device__ float ln_power(float exponent, float base) const { return exponent == 0 ? 0 : exponent * logf(base); }

    // The same operations in the same order as the scalar twin.
    __device__ float ln_weight(float distance) const {
        float d = fmaxf(fminf(distance, 2), 0);
        float cap = (2 - d) * (2 + d) * 0.25f;
        float weight = -(ln_power(power, d) + ln_power(bend, cap));
        return weight < ln_cap ? weight : ln_cap;
    }
};

// Sums over 32 columns of a row, relative to their largest weight; `counts` is candidates + 65536 capped.
struct __align__(16) Block {
    float largest, sum, squares;
    u32 counts;
};

// What a row comes to, relative to the largest weight of all: what core/src/weight.rs calls RowWeights.
struct RowSums {
    float largest;
    double total, squares;
    u32 candidates, capped;
};

// Running sums over 32 blocks: inclusive, a fixed tree.
__device__ inline double running(double v) {
    u32 lane = threadIdx.x % 32;
    for (u32 step = 1; step < 32; step *= 2) {
        double left = __shfl_up_sync(FULL_WARP, v, step);
        if (lane >= step) v += left;
    }
    return v;
}

__device__ inline u32 warp_count(u32 v) {
    for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(FULL_WARP, v, step);
    return v;
}

// A block's factor, from its own largest weight to that of the row.
__device__ inline double factor_of(float largest, float row_largest) {
    return largest > -INFINITE ? exp((double)largest - (double)row_largest) : 0.0;
}

// All blocks of a row together; a warp. The total is what the running sums over blocks end at.
__device__ inline RowSums row_sums(const Block *blocks, u32 across) {
    u32 lane = threadIdx.x % 32;
    RowSums row = {-INFINITE, 0, 0, 0, 0};
    u32 counts = 0, capped = 0;
    for (u32 b = lane; b < across; b += 32) {
        row.largest = fmaxf(row.largest, blocks[b].largest);
        counts += blocks[b].counts & 0xffff;
        capped += blocks[b].counts >> 16;
    }
    row.largest = warp_max(row.largest);
    row.candidates = warp_count(counts);
    row.capped = warp_count(capped);
    for (u32 from = 0; from < across; from += 32) {
        double sum = 0, square = 0;
        if (from + lane < across) {
            Block block = blocks[from + lane];
            double factor = factor_of(block.largest, row.largest);
            sum = block.sum * factor;
            square = block.squares * factor * factor;
        }
        row.total += __shfl_sync(FULL_WARP, running(sum), 31);
        row.squares += warp_sum(square);
    }
    return row;
}

// The nearest of what `candidate(j)` gives a distance (infinite for none), the lower index among equals; a warp.
template <class Candidate> __device__ u32 nearest_of(u32 count, Candidate candidate) {
    float best = INFINITE;
    u32 at = NONE;
    for (u32 j = threadIdx.x % 32; j < count; j += 32) {
        float d = candidate(j);
        if (d < best) {
            best = d;
            at = j;
        }
    }
    for (int step = 16; step > 0; step /= 2) {
        float other = __shfl_xor_sync(FULL_WARP, best, step);
        u32 place = __shfl_xor_sync(FULL_WARP, at, step);
        if (other < best || (other == best && place < at)) {
            best = other;
            at = place;
        }
    }
    return at;
}
