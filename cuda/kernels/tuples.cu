// tuples.cu  Losses of drawn tuples, and their gradient to embeddings and boundaries.
//
// v1 each tuple adds its pulls with float atomics                  another order, other bytes, every time
// v2 (kept) a half-warp forms one distance in the order of its scalar twin; pulls are listed by the embedding they act
//    on, each list is sorted, and a warp an embedding adds its list in the order of the tuples: the bits of the twin
// Floor: 4 bytes a number of every embedding that a tuple names, read twice; lists of at most 8 words a tuple.
// oracle: core/src/loss/batch.rs
#include "groups.cuh"
#include "sort.cuh"

#define ROW_WARPS 8
#define SCAN_THREADS 256
// Pulls of one tuple: anchor and positive, anchor and negative, and for the quadruplet loss both of its second term.
#define PULLS 4
#define FIELDS 4

#define CONTRASTIVE 0
#define MARGIN 1
#define TRIPLET 2
#define QUADRUPLET 3

// A pull as an entry of a list: its place, and which end of the pair the embedding is.
__device__ inline u32 entry_of(u32 tuple, u32 pull, u32 end) { return (tuple * PULLS + pull) * 2 + end; }

// The two ends of a pull.
__device__ inline uint2 ends_of(uint4 tuple, u32 pull) {
    return pull == 1 ? make_uint2(tuple.x, tuple.z)
                     : pull == 3 ? make_uint2(tuple.z, tuple.w) : make_uint2(tuple.x, tuple.y);
}

// |x - y| by sixteen lanes, partial sums added in order: core/src/distance.rs.
__device__ float distance_of(const float *x, const float *y, u32 dim) {
    u32 lane = threadIdx.x % 16;
    float part = 0;
    for (u32 k = lane; k < dim; k += 16) part += (x[k] - y[k]) * (x[k] - y[k]);
    float sum = 0;
    for (u32 i = 0; i < 16; ++i) sum += __shfl_sync(FULL_WARP, part, i, 16);
    return sqrtf(sum);
}

// 0 at d = 0: the subgradient of the distance.
__device__ inline float share_of(float d_distance, float distance) {
    return d_distance * (distance > 0 ? 1 / distance : 0);
}

struct Term {
    float value, d_near, d_far;
};

__device__ inline Term triplet(float near, float far, float alpha, bool squared) {
    Term term = squared ? Term{near * near - far * far + alpha, 2 * near, -2 * far} : Term{near - far + alpha, 1, -1};
    return term.value > 0 ? term : Term{0, 0, 0};
}

// distances[at]: from the anchor to the positive and to the negative of a tuple, a warp a tuple; those of an empty place
// stay as they are, and nobody reads them.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    tuple_distances(const float *x, const uint4 *tuples, float *distances, u32 len, u32 dim) {
    u32 at = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (at >= len) return;
    uint4 tuple = tuples[at];
    if (tuple.z == NONE) return;
    u32 other = lane < 16 ? tuple.y : tuple.z;
    float distance = distance_of(x + (size_t)tuple.x * dim, x + (size_t)other * dim, dim);
    if (lane % 16 == 0) distances[2 * at + lane / 16] = distance;
}

// Terms, pulls and boundary slopes of each tuple, a warp a tuple; `counts` of the pulls on each embedding of the batch,
// which are the first `anchors`.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    tuple_terms(const float *x, const float *betas, const uint4 *tuples, float *shares, float *d_betas, double *fields,
                u32 *counts, u32 len, u32 anchors, u32 dim, u32 kind, float alpha, float alpha2, u32 is_squared) {
    u32 at = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (at >= len) return;
    uint4 tuple = tuples[at];
    float pulls[PULLS] = {0, 0, 0, 0};
    float d_beta = 0;
    double value = 0, active = 0, terms = 0, boundary = 0;
    if (tuple.z != NONE) {
        const float *anchor = x + (size_t)tuple.x * dim, *negative = x + (size_t)tuple.z * dim;
        float own = distance_of(anchor, lane < 16 ? x + (size_t)tuple.y * dim : negative, dim);
        float near = __shfl_sync(FULL_WARP, own, 0), far = __shfl_sync(FULL_WARP, own, 16);
        float values[2] = {0, 0};
        terms = kind == TRIPLET ? 1 : 2;
        if (kind == CONTRASTIVE) {
            float inside = alpha - far > 0 ? alpha - far : 0;
            values[0] = near * near;
            values[1] = inside * inside;
            pulls[0] = share_of(2 * near, near);
            pulls[1] = share_of(-2 * inside, far);
        } else if (kind == MARGIN) {
            float beta = betas[tuple.x];
            boundary = beta;
            float outside = alpha + (near - beta), inside = alpha - (far - beta);
            if (outside > 0) {
                values[0] = outside;
                pulls[0] = share_of(1, near);
                d_beta -= 1;
            }
            if (inside > 0) {
                values[1] = inside;
                pulls[1] = share_of(-1, far);
                d_beta += 1;
            }
        } else {
            Term first = triplet(near, far, alpha, is_squared || kind == QUADRUPLET);
            values[0] = first.value;
            pulls[0] = share_of(first.d_near, near);
            pulls[1] = share_of(first.d_far, far);
            if (kind == QUADRUPLET) {
                if (tuple.w == NONE) {
                    terms = 1;
                } else {
                    float apart = distance_of(negative, x + (size_t)tuple.w * dim, dim);
                    Term second = triplet(near, apart, alpha2, true);
                    values[1] = second.value;
                    pulls[2] = share_of(second.d_near, near);
                    pulls[3] = share_of(second.d_far, apart);
                }
            }
        }
        value = (double)values[0] + (double)values[1];
        active = (values[0] > 0) + (values[1] > 0);
    }
    if (lane < PULLS) {
        // By selection: an index that is not known beforehand would send the array to memory.
        float own = lane == 0 ? pulls[0] : lane == 1 ? pulls[1] : lane == 2 ? pulls[2] : pulls[3];
        shares[(size_t)at * PULLS + lane] = own;
        if (own != 0) {
            uint2 ends = ends_of(tuple, lane);
            if (ends.x < anchors) atomicAdd(counts + ends.x, 1);
            if (ends.y < anchors) atomicAdd(counts + ends.y, 1);
        }
    }
    // With the margin loss pull 3, which it does not use, stands for the boundary of the anchor.
    if (lane == 0) {
        if (kind == MARGIN && tuple.z != NONE) atomicAdd(counts + tuple.x, 1);
        d_betas[at] = d_beta;
        double *to = fields + (size_t)at * FIELDS;
        to[0] = value;
        to[1] = active;
        to[2] = terms;
        to[3] = boundary;
    }
}

// begins[i] = sum of counts[..i], count + 1 of them; `cursors` the same, to be moved. One block.
extern "C" __global__ void __launch_bounds__(SCAN_THREADS)
    list_begins(const u32 *counts, u32 *begins, u32 *cursors, u32 count) {
    __shared__ u32 part[SCAN_THREADS];
    u32 share = (count + SCAN_THREADS - 1) / SCAN_THREADS;
    u32 from = min(threadIdx.x * share, count), to = min(from + share, count);
    u32 sum = 0;
    for (u32 i = from; i < to; ++i) sum += counts[i];
    part[threadIdx.x] = sum;
    __syncthreads();
    u32 before = 0;
    for (u32 t = 0; t < threadIdx.x; ++t) before += part[t];
    for (u32 i = from; i < to; ++i) {
        begins[i] = cursors[i] = before;
        before += counts[i];
    }
    if (threadIdx.x == SCAN_THREADS - 1) begins[count] = before;
}

// Puts each pull on the lists of both its ends that are of the batch, in any order.
extern "C" __global__ void __launch_bounds__(256)
    list_fill(const uint4 *tuples, const float *shares, u32 *cursors, u32 *entries, u32 len, u32 anchors, u32 kind) {
    size_t i = thread_index();
    if (i >= (size_t)len * PULLS) return;
    u32 at = i / PULLS, pull = i % PULLS;
    uint4 tuple = tuples[at];
    if (tuple.z == NONE) return;
    if (kind == MARGIN && pull == 3) {
        entries[atomicAdd(cursors + tuple.x, 1)] = entry_of(at, pull, 0);
    } else if (shares[i] != 0) {
        uint2 ends = ends_of(tuple, pull);
        if (ends.x < anchors) entries[atomicAdd(cursors + ends.x, 1)] = entry_of(at, pull, 0);
        if (ends.y < anchors) entries[atomicAdd(cursors + ends.y, 1)] = entry_of(at, pull, 1);
    }
}

// Sorts the list of an embedding, then adds it in order: dx[i] += share (x_i - x_other); a warp an embedding.
// `totals` of the fields say what all is divided by: the active terms, all terms, or nothing.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    tuple_gather(const float *x, const uint4 *tuples, const float *shares, const float *d_betas, const u32 *begins,
                 u32 *entries, const double *totals, float *dx, float *dbetas, u32 count, u32 dim, u32 kind, float nu,
                 u32 reduction) {
    u32 i = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (i >= count) return;
    u32 len = begins[i + 1] - begins[i];
    entries += begins[i];
    sort(entries, len, WarpTeam());
    bool active = totals[1] > 0;
    float scale = (float)(1.0 / (reduction == 0 ? totals[1] : reduction == 1 ? totals[2] : 1.0));
    const float *own = x + (size_t)i * dim;
    for (u32 k = lane; k < dim; k += 32) {
        float sum = 0, number = own[k];
        for (u32 e = 0; active && e < len; ++e) {
            u32 pull = entries[e] / 2 % PULLS, end = entries[e] % 2, at = entries[e] / (2 * PULLS);
            if (kind == MARGIN && pull == 3) continue;
            uint2 ends = ends_of(tuples[at], pull);
            sum += shares[(size_t)at * PULLS + pull] * (number - x[(size_t)(end ? ends.x : ends.y) * dim + k]);
        }
        dx[(size_t)i * dim + k] = active ? sum * scale : 0;
    }
    if (lane == 0) {
        float slope = 0;
        u32 anchored = 0;
        for (u32 e = 0; active && kind == MARGIN && e < len; ++e)
            if (entries[e] / 2 % PULLS == 3) {
                slope += d_betas[entries[e] / (2 * PULLS)];
                ++anchored;
            }
        for (u32 e = 0; nu != 0 && e < anchored; ++e) slope += nu;
        dbetas[i] = active ? slope * scale : 0;
    }
}
