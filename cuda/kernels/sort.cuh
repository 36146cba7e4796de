// sort.cuh  Sorting a list of any length by a team of threads, in place.
//
// Batcher's bitonic network in the form whose comparators all point the same way: what lies past the end of the list
// counts as largest and never moves, so no padding is needed.
#pragma once
#include "common.cuh"

struct WarpTeam {
    static constexpr u32 size = 32;
    __device__ u32 own() const { return threadIdx.x % 32; }
    __device__ void sync() const { __syncwarp(); }
};

template <u32 THREADS> struct BlockTeam {
    static constexpr u32 size = THREADS;
    __device__ u32 own() const { return threadIdx.x; }
    __device__ void sync() const { __syncthreads(); }
};

// Every thread of the team calls it; what was written to the list before is seen, and the sorted list is seen after.
template <class T, class Team> __device__ void sort(T *list, u32 len, Team team) {
    team.sync();
    for (u32 run = 2; run < 2 * len; run *= 2) {
        for (u32 step = run / 2; step > 0; step /= 2) {
            // The first step of a run compares mirrored places, the later ones places a step apart.
            bool mirrored = step == run / 2;
            u32 pairs = (len + 2 * step - 1) / (2 * step) * step;
            for (u32 i = team.own(); i < pairs; i += Team::size) {
                u32 low = i / step * 2 * step + i % step;
                u32 high = mirrored ? i / step * 2 * step + 2 * step - 1 - i % step : low + step;
                if (high < len && list[high] < list[low]) {
                    T v = list[low];
                    list[low] = list[high];
                    list[high] = v;
                }
            }
            team.sync();
        }
    }
}
