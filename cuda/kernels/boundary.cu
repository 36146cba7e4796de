// boundary.cu  boundaries of the margin loss: what each anchor's is, a step of their parameters, their exact minimum
//
// step    v1 a thread a parameter, all anchors walked     a set of 60 000 images has as many parameters, a batch some
//         hundred      v2 (kept) a thread for each anchor's class and for each anchor's image, tiles of anchors in shared
//         memory; the first anchor of a part moves it. No list of parts is made, and sums are in the order of the
//         anchors: the reference's bits
// minimum v1 on the host, by a sort: 24 bytes a tuple down in every step
//         v2 (kept) a block a part; four histograms of 8 bits find the kink of the rank that the minimum has. Integer
//         counts, so the order of threads does not show, and a kink is formed as the reference forms it: its bits
// Floor: of a step N dependent additions, 4 cycles each, as many as beta0 has anchors (0.4 us at N = 160, 10 us at
// 4096), 12 bytes an anchor, 8 a part each way. Of a minimum 24 bytes a tuple and kind from L2; beta0 is one block's:
// 4 passes of 2 / 256 of the pairs a thread, some 2 us at 640 tuples, 20 us at 12 288.
// oracle: core/src/boundary/mod.rs, exact.rs
#include "groups.cuh"

// No parameter.
#define NO_PART NONE
// Reductions, as cuda/src/tuples.rs numbers them.
#define MEAN_ACTIVE 0
#define MEAN 1

// beta0 is shared by all anchors; then come the parts of the classes, then those of the images.
enum Kind { BASE, OF_CLASS, OF_IMAGE };

// `parts` holds class and image of each anchor; `state` the parameters, and behind them their velocities.
struct Parts {
    const u32 *parts;
    u32 anchors, classes, images;
    __device__ u32 len() const { return 1 + classes + images; }
    __device__ u32 count(u32 kind) const { return kind == BASE ? 1 : kind == OF_CLASS ? classes : images; }
    // The parameter of an anchor.
    __device__ u32 of(u32 anchor, u32 kind) const {
        if (anchor >= anchors) return NO_PART;
        if (kind == BASE) return 0;
        u32 own = parts[2 * (size_t)anchor + (kind == OF_IMAGE)];
        if (own >= count(kind)) return NO_PART;
        return own + (kind == OF_CLASS ? 1 : 1 + classes);
    }
    // The boundary of an anchor without its part of kind `but`. If its class or image has no parameter, though others
    // have one, it is NaN.
    __device__ float sum(const float *state, u32 anchor, u32 but) const {
        float beta = 0;
        for (u32 kind = BASE; kind <= OF_IMAGE; ++kind) {
            if (kind == but || count(kind) == 0) continue;
            u32 part = of(anchor, kind);
            beta += part == NO_PART ? __int_as_float(0x7fffffff) : state[part];
        }
        return beta;
    }
};

// A boundary that is NaN makes the loss NaN.
extern "C" __global__ void __launch_bounds__(POINTS)
    boundaries(const u32 *list, const float *state, float *betas, u32 anchors, u32 classes, u32 images) {
    Parts parts = {list, anchors, classes, images};
    u32 anchor = thread_index();
    if (anchor >= anchors) return;
    betas[anchor] = parts.sum(state, anchor, NO_PART);
}

// blockIdx.y is the kind. A part without an anchor here keeps value and velocity, and so do all if no gradient is there.
extern "C" __global__ void __launch_bounds__(POINTS)
    boundary_step(const u32 *list, const float *gradients, float *state, u32 anchors, u32 classes, u32 images,
                  float rate, float momentum, float nu) {
    Parts parts = {list, anchors, classes, images};
    u32 kind = blockIdx.y, anchor = thread_index();
    if (parts.count(kind) == 0 || (kind == BASE && blockIdx.x > 0)) return;
    __shared__ u32 part[POINTS];
    __shared__ float gradient[POINTS];
    u32 own = parts.of(anchor, kind);
    bool first = own != NO_PART, any = false;
    float sum = 0;
    for (u32 from = 0; from < anchors; from += POINTS) {
        u32 other = from + threadIdx.x;
        part[threadIdx.x] = parts.of(other, kind);
        gradient[threadIdx.x] = other < anchors ? gradients[other] : 0;
        __syncthreads();
        u32 end = min(POINTS, anchors - from);
#pragma unroll 8
        for (u32 k = 0; k < end; ++k) {
            any = any || gradient[k] != 0;
            if (part[k] == own) {
                first = first && from + k >= anchor;
                sum += gradient[k];
            }
        }
        // The arrays are used again.
        __syncthreads();
    }
    if (!first || !any) return;
    float *velocity = state + parts.len() + own;
    float u = momentum * *velocity + sum + nu;
    *velocity = u;
    state[own] -= rate * u;
}

// Sum over a block of POINTS threads: by warps, then in order; right in the first thread.
__device__ inline double block_sum(double own) {
    __shared__ double part[POINTS / 32];
    own = warp_sum(own);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = own;
    __syncthreads();
    double all = 0;
    if (threadIdx.x == 0)
        for (u32 warp = 0; warp < POINTS / 32; ++warp) all += part[warp];
    return all;
}

// sum[0] = the sum of all parameters, by one block: terms POINTS apart.
extern "C" __global__ void __launch_bounds__(POINTS) boundary_sum(const float *state, double *sum, u32 len) {
    double own = 0;
    for (u32 i = threadIdx.x; i < len; i += POINTS) own += state[i];
    double all = block_sum(own);
    if (threadIdx.x > 0) return;
    sum[0] = all;
}

// divisor[0]: what a reduction divides the sum over all pairs of the tuples by, where the parameters stand; one block.
extern "C" __global__ void __launch_bounds__(POINTS)
    boundary_divisor(const u32 *list, const uint4 *tuples, const float *distances, const float *state, float *divisor,
                     u32 len, u32 anchors, u32 classes, u32 images, float alpha, u32 reduction) {
    Parts parts = {list, anchors, classes, images};
    double own = 0;
    for (u32 at = threadIdx.x; at < len; at += POINTS) {
        uint4 tuple = tuples[at];
        if (tuple.z == NONE) continue;
        float beta = parts.sum(state, tuple.x, NO_PART), near = distances[2 * at], far = distances[2 * at + 1];
        own += reduction == MEAN_ACTIVE ? (alpha + (near - beta) > 0) + (alpha - (far - beta) > 0) : 2;
    }
    double all = block_sum(own);
    if (threadIdx.x > 0) return;
    divisor[0] = reduction == MEAN_ACTIVE || reduction == MEAN ? (float)all : 1;
}

// Numbers in their order, as integers, and back.
__device__ inline u32 key_of(float v) {
    u32 bits = __float_as_uint(v);
    return bits >> 31 ? ~bits : bits | 1u << 31;
}
__device__ inline float number_of(u32 key) { return __uint_as_float(key >> 31 ? key ^ 1u << 31 : ~key); }

// Moves the parts of one kind that an anchor has the share `rate` of the way to their minimum, all others held; a block
// an anchor. `divisor` is read where the penalty stands once beside the reduced loss.
extern "C" __global__ void __launch_bounds__(POINTS)
    boundary_fit(const u32 *list, const uint4 *tuples, const float *distances, const float *divisor, float *state,
                 u32 len, u32 anchors, u32 classes, u32 images, u32 kind, float alpha, float rate, float nu, u32 once) {
    __shared__ u32 histogram[POINTS];
    Parts parts = {list, anchors, classes, images};
    u32 own = parts.of(blockIdx.x, kind);
    // Of the anchors of a part the first one's block moves it.
    bool other = own == NO_PART;
    for (u32 i = threadIdx.x; i < blockIdx.x; i += POINTS) other = other || parts.of(i, kind) == own;
    if (__syncthreads_or(other)) return;

    // The kink of that rank, eight bits at a time from above: `prefix` is known, `rank` of it is left among its like.
    u32 prefix = 0, rank = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        histogram[threadIdx.x] = 0;
        __syncthreads();
        for (u32 at = threadIdx.x; at < len; at += POINTS) {
            uint4 tuple = tuples[at];
            if (tuple.z == NONE || parts.of(tuple.x, kind) != own) continue;
            float others = parts.sum(state, tuple.x, kind);
            float kinks[2] = {distances[2 * at] - others + alpha, distances[2 * at + 1] - others - alpha};
#pragma unroll
            for (int pair = 0; pair < 2; ++pair) {
                u32 key = key_of(kinks[pair]);
                if (shift == 24 || key >> (shift + 8) == prefix) atomicAdd(histogram + (key >> shift & 255), 1);
            }
        }
        __syncthreads();
        if (shift == 24) {
            u32 pairs = 0;
            for (u32 digit = 0; digit < 256; ++digit) pairs += histogram[digit];
            // Half of the pairs are positive.
            float positives = (float)(pairs / 2), target = positives - nu * (once ? divisor[0] : positives);
            if (!(target > 0)) return;
            rank = min((u32)ceilf(target), pairs);
        }
        u32 digit = 0, below = 0;
        while (below + histogram[digit] < rank) below += histogram[digit++];
        rank -= below;
        prefix = prefix << 8 | digit;
        // The histogram is used again.
        __syncthreads();
    }
    if (threadIdx.x == 0) state[own] += rate * (number_of(prefix) - state[own]);
}
