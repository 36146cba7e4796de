// boundary.cu  boundaries of the margin loss: what each anchor's is, and a step of their parameters
//
// v1 a thread a parameter, all anchors walked     a set of 60 000 images has as many parameters, a batch some hundred
// v2 (kept) a thread for each anchor's class and for each anchor's image, tiles of anchors in shared memory; the first
//    anchor of a part moves it. No list of parts is made, and sums are in the order of the anchors: the reference's bits
// Floor of a step: N dependent additions, 4 cycles each, as many as beta0 has anchors (0.4 us at N = 160, 10 us at
// 4096); bytes are few: 12 an anchor, and 8 a part each way.
// oracle: core/src/boundary/mod.rs
#include "common.cuh"

// No parameter.
#define NO_PART 0xffffffffu

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
};

// An anchor whose class or image has no parameter, though others have one, gets NaN, which the loss then is too.
extern "C" __global__ void __launch_bounds__(POINTS)
    boundaries(const u32 *list, const float *state, float *betas, u32 anchors, u32 classes, u32 images) {
    Parts parts = {list, anchors, classes, images};
    u32 anchor = thread_index();
    if (anchor >= anchors) return;
    float beta = state[0];
    for (u32 kind = OF_CLASS; kind <= OF_IMAGE; ++kind) {
        if (parts.count(kind) == 0) continue;
        u32 part = parts.of(anchor, kind);
        beta += part == NO_PART ? __int_as_float(0x7fffffff) : state[part];
    }
    betas[anchor] = beta;
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

// sum[0] = the sum of all parameters, by one block: terms POINTS apart, joined by warps, then in order.
extern "C" __global__ void __launch_bounds__(POINTS) boundary_sum(const float *state, double *sum, u32 len) {
    __shared__ double part[POINTS / 32];
    double own = 0;
    for (u32 i = threadIdx.x; i < len; i += POINTS) own += state[i];
    own = warp_sum(own);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = own;
    __syncthreads();
    if (threadIdx.x > 0) return;
    double all = 0;
    for (u32 warp = 0; warp < POINTS / 32; ++warp) all += part[warp];
    sum[0] = all;
}
