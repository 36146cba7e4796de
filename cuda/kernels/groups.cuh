// groups.cuh  The classes of a batch and of what a memory holds behind it, and places outside of them.
#pragma once
#include "common.cuh"

#define NONE 0xffffffffu

// Six arrays of `count`: samples by class, in order in each, so that those of the batch come first; where the class of a
// sample begins there, and ends; the place of the sample in its class; the first (anchor, positive) pair of the sample
// among all pairs; how many of its class are of the batch. Positives and pairs are asked for of the batch alone.
struct Groups {
    const u32 *all;
    u32 count;

    __device__ const u32 *members(u32 i) const { return all + all[count + i]; }
    __device__ u32 size(u32 i) const { return all[2 * (size_t)count + i] - all[count + i]; }
    __device__ u32 place(u32 i) const { return all[3 * (size_t)count + i]; }
    __device__ u32 first_pair(u32 i) const { return all[4 * (size_t)count + i]; }
    __device__ u32 positives(u32 i) const { return all[5 * (size_t)count + i] - 1; }
    __device__ u32 negatives(u32 i) const { return count - size(i); }
    // The k-th positive of a sample.
    __device__ u32 positive(u32 i, u32 k) const { return members(i)[k + (k >= place(i))]; }
    // The pair of sample i with j, of the same class, among all pairs.
    __device__ u32 pair(u32 i, u32 j) const { return first_pair(i) + place(j) - (place(j) > place(i)); }
};

// The n-th number, from 0, that is in neither of two increasing lists without a common number.
__device__ inline u32 nth_outside(u32 n, const u32 *a, u32 len_a, const u32 *b, u32 len_b) {
    u32 i = 0, j = 0;
    while (true) {
        u32 u = i < len_a ? a[i] : NONE, v = j < len_b ? b[j] : NONE;
        if (min(u, v) > n) return n;
        ++n;
        u < v ? ++i : ++j;
    }
}
