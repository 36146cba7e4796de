// search.cu  Places of the matches of each query, and its nearest candidates, from rows of squared distances.
//
// ranks   v1 sort every row: 16 log² passes over N          v2 (kept) sort the matches alone, then each other candidate
//         finds its place among them: N log(matches), one pass; integer counts, so the order of threads does not show
// nearest v1 k passes, each for the next smallest           v2 (kept) eight histograms of 8 bits find the k-th key, one
//         pass collects, k are sorted: nine passes over a row that is in L2, whatever k is
// Floor: 4 bytes a pair from L2. A block a query.
// oracle: core/src/metric/retrieval.rs
#include "groups.cuh"
#include "sort.cuh"

#define TEAM 256
// 1 + 128 units in the last place: closer squared distances are ties, and go against the query.
#define SLACK (1 + 128 * 1.1920929e-7f)

// ranks[list_begins[row] ..]: the places of the matches of a query, from 1, increasing. `class_begins` and `class_ends`
// say where its class lies among `members`, the candidates by class; `matches` is memory, as long as the ranks.
extern "C" __global__ void __launch_bounds__(TEAM)
    rank(const float *strip, const u32 *query_labels, const u32 *labels, const u32 *class_begins,
         const u32 *class_ends, const u32 *members, const u32 *list_begins, float *matches, u32 *ranks, u32 first,
         u32 columns, u32 leave_self_out) {
    __shared__ u32 part[TEAM];
    u32 query = first + blockIdx.x, self = leave_self_out ? query : NONE, label = query_labels[query];
    const float *squared = strip + (size_t)blockIdx.x * columns;
    u32 begin = list_begins[blockIdx.x], len = list_begins[blockIdx.x + 1] - begin;
    if (len == 0) return;
    matches += begin;
    ranks += begin;
    // Without itself: what stands behind it in its class moves up by one.
    u32 from = class_begins[query], place = class_ends[query] - from;
    if (leave_self_out) {
        u32 low = 0;
        for (u32 high = place; low < high;) {
            u32 middle = (low + high) / 2;
            if (members[from + middle] < self) low = middle + 1;
            else high = middle;
        }
        place = low;
    }
    for (u32 i = threadIdx.x; i < len; i += TEAM) {
        matches[i] = squared[members[from + i + (i >= place)]];
        ranks[i] = 0;
    }
    sort(matches, len, BlockTeam<TEAM>());
    for (u32 i = threadIdx.x; i < len; i += TEAM) matches[i] *= SLACK;
    __syncthreads();
    float last = matches[len - 1];
    for (u32 j = threadIdx.x; j < columns; j += TEAM) {
        float distance = squared[j];
        if (labels[j] == label || last < distance) continue;
        u32 low = 0;
        for (u32 high = len; low < high;) {
            u32 middle = (low + high) / 2;
            if (matches[middle] < distance) low = middle + 1;
            else high = middle;
        }
        atomicAdd(ranks + low, 1);
    }
    __syncthreads();
    u32 share = (len + TEAM - 1) / TEAM, start = min(threadIdx.x * share, len), stop = min(start + share, len);
    u32 sum = 0;
    for (u32 i = start; i < stop; ++i) sum += ranks[i];
    part[threadIdx.x] = sum;
    __syncthreads();
    u32 before = 0;
    for (u32 t = 0; t < threadIdx.x; ++t) before += part[t];
    for (u32 i = start; i < stop; ++i) {
        before += ranks[i];
        ranks[i] = i + 1 + before;
    }
}

// Squared distances are at least 0, so their bits are in order; the index breaks ties and makes every key one of a kind.
__device__ inline u64 key_of(float squared, u32 j) { return (u64)__float_as_uint(squared) << 32 | j; }

// indices[row, ..k] = the k nearest candidates, nearest first, the lower index first among equals; k at most the
// number of candidates.
extern "C" __global__ void __launch_bounds__(TEAM)
    nearest(const float *strip, u64 *keys, u32 *indices, u32 first, u32 columns, u32 k, u32 leave_self_out) {
    __shared__ u32 histogram[256];
    __shared__ u32 collected;
    u32 self = leave_self_out ? first + blockIdx.x : NONE;
    const float *squared = strip + (size_t)blockIdx.x * columns;
    keys += (size_t)blockIdx.x * k;
    // The k-th smallest key, eight bits at a time from above: `prefix` is known, `rank` of it is left among its like.
    u64 prefix = 0;
    u32 rank = k;
    for (int shift = 56; shift >= 0; shift -= 8) {
        histogram[threadIdx.x] = 0;
        __syncthreads();
        for (u32 j = threadIdx.x; j < columns; j += TEAM) {
            u64 key = key_of(squared[j], j);
            if (j != self && (shift == 56 || key >> (shift + 8) == prefix))
                atomicAdd(histogram + (u32)(key >> shift & 255), 1);
        }
        __syncthreads();
        u32 digit = 0, below = 0;
        while (below + histogram[digit] < rank) below += histogram[digit++];
        rank -= below;
        prefix = prefix << 8 | digit;
        __syncthreads();
    }
    if (threadIdx.x == 0) collected = 0;
    __syncthreads();
    for (u32 j = threadIdx.x; j < columns; j += TEAM) {
        u64 key = key_of(squared[j], j);
        if (j != self && key <= prefix) keys[atomicAdd(&collected, 1)] = key;
    }
    sort(keys, k, BlockTeam<TEAM>());
    for (u32 i = threadIdx.x; i < k; i += TEAM) indices[(size_t)blockIdx.x * k + i] = (u32)keys[i];
}
