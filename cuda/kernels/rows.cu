// rows.cu  Losses that take every negative: terms of each anchor, and the gradient to the embeddings.
//
// v1 pulls of an anchor on all others added to them with float atomics   other bytes every time
// v2 (kept) what an anchor must know of itself is kept in a few numbers a row; then the pull between two samples is a
//    function of their distance and of both rows' numbers, so each row forms it for itself, both directions in one:
//    a strip of distances becomes a strip of pulls in place, and dx = pulls x, a product (linear.cu) that adds in order
// Floor: 4 N² D operations for distances and product, a strip read and written once more: 8 N² bytes through L2.
// The triplet loss reads a row once for each positive. Memory: a strip, and a few numbers a row or positive pair.
// oracle: core/src/loss/batch.rs
#include "weigh.cuh"

#define ROW_WARPS 8
#define FIELDS 4

#define CONTRASTIVE 0
#define MARGIN 1
#define TRIPLET 2
#define TRIPLET_SQUARED 3
#define NPAIR 4
#define LIFTED 5
#define MULTI_SIMILARITY 6

// Where the weights of a row come from; any smaller number is the one negative that has weight 1.
#define BY_DISTANCE 0xffffffffu
#define EVEN 0xfffffffeu
#define DEAD 0xfffffffdu

#define EMPTY_SKIP 0
#define EMPTY_NEAREST 1

// A loss and its parameters, in the order of its constructor.
struct Loss {
    u32 kind;
    float p, q, r;

    // Contrastive and margin: value, derivative to the distance, derivative to the boundary.
    __device__ float3 pair(float d, float beta, bool same) const {
        if (kind == CONTRASTIVE) {
            float inside = p - d > 0 ? p - d : 0;
            return same ? make_float3(d * d, 2 * d, 0) : make_float3(inside * inside, -2 * inside, 0);
        }
        float y = same ? 1 : -1, value = p + y * (d - beta);
        return value > 0 ? make_float3(value, y, -y) : make_float3(0, 0, 0);
    }

    __device__ float triplet(float near, float far) const {
        return kind == TRIPLET ? near - far + p : near * near - far * far + p;
    }
    // Derivative of an active triplet to one of its distances, but for its sign.
    __device__ float slope(float d) const { return kind == TRIPLET ? 1 : 2 * d; }

    __device__ bool on_products() const { return kind == NPAIR || kind == MULTI_SIMILARITY; }
};

// ln(1 + exp(v)), and its derivative.
__device__ inline float2 softplus(float v) {
    float tail = expf(-fabsf(v));
    return make_float2(fmaxf(v, 0) + log1pf(tail), v > 0 ? 1 / (1 + tail) : tail / (1 + tail));
}

__device__ inline float ln_sum_exp(float a, float b) {
    float largest = fmaxf(a, b);
    return largest > -INFINITE ? largest + logf(expf(a - largest) + expf(b - largest)) : largest;
}

// ln of the sum of exp over what `exponent(j)` gives, -infinity for nothing; a warp.
template <class Exponent> __device__ float ln_sum_exp_of(u32 count, Exponent exponent) {
    u32 lane = threadIdx.x % 32;
    float largest = -INFINITE;
    for (u32 j = lane; j < count; j += 32) largest = fmaxf(largest, exponent(j));
    largest = warp_max(largest);
    if (!(largest > -INFINITE)) return largest;
    double sum = 0;
    for (u32 j = lane; j < count; j += 32) sum += expf(exponent(j) - largest);
    return largest + logf((float)warp_sum(sum));
}

// What a batch keeps for each row: two numbers whose meaning the loss decides, and where its weights come from.
// With weights they are the largest log-weight and the scale.
struct Rowwise {
    const float *betas, *a, *b;
    const u32 *source;
    Law law;

    __device__ bool lives(u32 i) const { return source[i] != DEAD; }

    // Weight of negative j for anchor i at distance d.
    __device__ float weight(u32 i, u32 j, float d) const {
        u32 from = source[i];
        if (from == EVEN || from == j) return b[i];
        if (from != BY_DISTANCE || !(d < law.far_end(betas[i]))) return 0;
        return expf(law.ln_weight(d) - a[i]) * b[i];
    }
};

// Numbers of each row for the pair losses and the triplet loss; a warp a row. `blocks` are those of draw.cu's `weigh`;
// with `weighted` 0 every negative has weight 1 and they are not looked at.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    row_weights(const float *x, const float *xx, const u32 *labels, const u32 *groups, const Block *blocks, float *a,
                float *b, u32 *source, u32 first, u32 rows, u32 count, u32 dim, u32 kind, u32 weighted, u32 empty) {
    u32 row = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    u32 anchor = first + row, across = (count + 31) / 32, from = EVEN;
    Groups of = {groups, count};
    float largest = 0, scale = 1;
    if (weighted) {
        RowSums sums = row_sums(blocks + (size_t)row * across, across);
        u32 positives = of.positives(anchor), negatives = of.negatives(anchor);
        double total = sums.total;
        from = BY_DISTANCE;
        if (positives == 0 || negatives == 0 || (sums.candidates == 0 && empty == EMPTY_SKIP)) {
            from = DEAD;
            total = 1;
        } else if (sums.candidates == 0 && empty == EMPTY_NEAREST) {
            Sides sides = {x, x, xx, xx, dim};
            from = nearest_of(count, [&](u32 j) {
                return labels[j] != labels[anchor] ? sqrtf(sides.squared(anchor, j)) : INFINITE;
            });
            total = 1;
        } else if (sums.candidates == 0) {
            from = EVEN;
            total = negatives;
        }
        largest = sums.largest;
        scale = (float)((kind == CONTRASTIVE || kind == MARGIN ? positives : 1) / total);
    }
    if (lane == 0) {
        a[anchor] = largest;
        b[anchor] = scale;
        source[anchor] = from;
    }
}

#define LAW_ARGS float power, float bend, float ln_cap, float far, u32 active
#define LAW                                                                                                            \
    Law { power, bend, ln_cap, far, active }

// Terms of each anchor, and what its row must be remembered by; a warp a row of the strip, which holds squared distances
// or inner products. For each positive pair: `nears` its distance or product, `slopes` the weight of its active triplets.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    row_terms(const float *strip, const u32 *labels, const u32 *groups, const float *betas, float *a, float *b,
              const u32 *source, float *nears, float *slopes, float *d_betas, double *fields, u32 first, u32 rows,
              u32 anchors, u32 count, LAW_ARGS, u32 kind, float p, float q, float r) {
    u32 row = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    u32 i = first + row, label = labels[i];
    const float *values = strip + (size_t)row * count;
    Groups of = {groups, count};
    Loss loss = {kind, p, q, r};
    Rowwise rowwise = {betas, a, b, source, LAW};
    u32 positives = of.positives(i);
    double value = 0, firing = 0, terms = 0, boundary = 0, d_beta = 0;
    if (kind == CONTRASTIVE || kind == MARGIN) {
        bool live = rowwise.lives(i);
        for (u32 j = lane; live && j < count; j += 32) {
            bool same = labels[j] == label;
            if (j == i || (same && j >= anchors)) continue;
            float d = sqrtf(values[j]), weight = same ? 1 : rowwise.weight(i, j, d);
            float3 pair = loss.pair(d, betas[i], same);
            value += (double)weight * pair.x;
            terms += weight;
            if (pair.x > 0) firing += weight;
            d_beta += (double)weight * pair.z;
        }
        if (kind == MARGIN && live && lane == 0) boundary = (double)positives * betas[i];
    } else if (kind == TRIPLET || kind == TRIPLET_SQUARED) {
        for (u32 k = 0; k < positives; ++k) {
            float near = sqrtf(values[of.positive(i, k)]);
            double slope = 0;
            for (u32 j = lane; j < count; j += 32) {
                if (labels[j] == label) continue;
                float d = sqrtf(values[j]), weight = rowwise.weight(i, j, d), excess = loss.triplet(near, d);
                terms += weight;
                if (!(excess > 0)) continue;
                value += (double)weight * excess;
                firing += weight;
                slope += weight;
            }
            slope = warp_sum(slope);
            if (lane == 0) {
                nears[of.first_pair(i) + k] = near;
                slopes[of.first_pair(i) + k] = (float)slope;
            }
        }
    } else {
        bool products = loss.on_products();
        for (u32 k = lane; k < positives; k += 32) {
            float v = values[of.positive(i, k)];
            nears[of.first_pair(i) + k] = products ? v : sqrtf(v);
        }
        float far_side = ln_sum_exp_of(count, [&](u32 j) {
            if (labels[j] == label) return -INFINITE;
            return kind == NPAIR ? p * values[j] : kind == LIFTED ? p - sqrtf(values[j]) : q * (values[j] - r);
        });
        if (kind == MULTI_SIMILARITY) {
            float near_side = ln_sum_exp_of(positives, [&](u32 k) { return -p * (values[of.positive(i, k)] - r); });
            float near = softplus(near_side).x, far = softplus(far_side).x, sum = near / p + far / q;
            if (lane == 0) {
                a[i] = near;
                b[i] = far;
                value = sum;
                terms = 1;
                firing = sum > 0;
            }
        } else if (lane == 0) {
            a[i] = far_side;
        }
    }
    value = warp_sum(value);
    firing = warp_sum(firing);
    terms = warp_sum(terms);
    d_beta = warp_sum(d_beta);
    if (lane == 0) {
        d_betas[i] = (float)d_beta;
        double *to = fields + (size_t)i * FIELDS;
        to[0] = value;
        to[1] = firing;
        to[2] = terms;
        to[3] = boundary;
    }
}

// What the n-pair and the lifted loss know only once every row has its sum: terms of each pair, and each row's second
// number. n-pair: the sum of its derivatives to its positives. Lifted: of every pair that it is one end of, slope times
// this side's share. A warp a row.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    row_sides(const u32 *groups, const float *a, float *b, const float *nears, double *fields, u32 anchors, u32 count,
              u32 kind, float p) {
    u32 i = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (i >= anchors) return;
    Groups of = {groups, count};
    float own = a[i];
    double value = 0, firing = 0, terms = 0, side = 0;
    for (u32 k = lane; k < of.positives(i); k += 32) {
        float near = nears[of.first_pair(i) + k], term;
        u32 j = of.positive(i, k);
        bool counts = true;
        if (kind == NPAIR) {
            float2 soft = softplus(own - p * near);
            term = soft.x;
            side -= p * soft.y;
        } else {
            float both = ln_sum_exp(own, a[j]), slope = fmaxf(both + near, 0);
            term = 0.5f * slope * slope;
            if (own > -INFINITE) side += slope * expf(own - both);
            // The pair is one term, of the row that comes first.
            counts = i < j;
        }
        if (!counts) continue;
        value += term;
        terms += 1;
        if (term > 0) firing += 1;
    }
    value = warp_sum(value);
    firing = warp_sum(firing);
    terms = warp_sum(terms);
    side = warp_sum(side);
    if (lane == 0) {
        b[i] = (float)side;
        double *to = fields + (size_t)i * FIELDS;
        to[0] = value;
        to[1] = firing;
        to[2] = terms;
        to[3] = 0;
    }
}

// Weight of the active triplets of anchor i with negative j at distance d.
__device__ inline float active_weight(const Loss &loss, const Groups &of, const Rowwise &rowwise, const float *nears,
                                      u32 i, u32 j, float d) {
    float weight = rowwise.weight(i, j, d);
    u32 active = 0;
    if (weight > 0)
        for (u32 k = 0; k < of.positives(i); ++k) active += loss.triplet(nears[of.first_pair(i) + k], d) > 0;
    return weight * active;
}

// What the terms of anchor i add to the derivative of the sum of all terms to its distance from negative j, or to their
// inner product.
__device__ float from_negative(const Loss &loss, const Groups &of, const Rowwise &rowwise, const float *nears, u32 i,
                               u32 j, float v) {
    const float *a = rowwise.a, *b = rowwise.b;
    switch (loss.kind) {
    case CONTRASTIVE:
    case MARGIN: return rowwise.weight(i, j, v) * loss.pair(v, rowwise.betas[i], false).y;
    case TRIPLET:
    case TRIPLET_SQUARED: return -active_weight(loss, of, rowwise, nears, i, j, v) * loss.slope(v);
    case NPAIR: return -b[i] * expf(loss.p * v - a[i]);
    case LIFTED: return -b[i] * expf(loss.p - v - a[i]);
    default: return expf(loss.q * (v - loss.r) - b[i]);
    }
}

// Derivative to the distance or inner product of two samples of one class, both directions together.
__device__ float from_positive(const Loss &loss, const Groups &of, const Rowwise &rowwise, const float *slopes, u32 i,
                               u32 j, float v) {
    const float *a = rowwise.a, *betas = rowwise.betas;
    switch (loss.kind) {
    case CONTRASTIVE:
    case MARGIN:
        return rowwise.lives(i) * loss.pair(v, betas[i], true).y + rowwise.lives(j) * loss.pair(v, betas[j], true).y;
    case TRIPLET:
    case TRIPLET_SQUARED: return (slopes[of.pair(i, j)] + slopes[of.pair(j, i)]) * loss.slope(v);
    case NPAIR: return -loss.p * (softplus(a[i] - loss.p * v).y + softplus(a[j] - loss.p * v).y);
    case LIFTED: return fmaxf(ln_sum_exp(a[i], a[j]) + v, 0);
    default: return -(expf(-loss.p * (v - loss.r) - a[i]) + expf(-loss.p * (v - loss.r) - a[j]));
    }
}

// Turns a strip into pulls, in place: dx_i = same_i x_i + sum over j of strip[i, j] x_j, before the division. A warp a
// row.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    row_pulls(float *strip, const u32 *labels, const u32 *groups, const float *betas, const float *a, const float *b,
              const u32 *source, const float *nears, const float *slopes, float *same, u32 first, u32 rows,
              u32 anchors, u32 count, LAW_ARGS, u32 kind, float p, float q, float r) {
    u32 row = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    u32 i = first + row, label = labels[i];
    float *values = strip + (size_t)row * count;
    Groups of = {groups, count};
    Loss loss = {kind, p, q, r};
    Rowwise rowwise = {betas, a, b, source, LAW};
    double sum = 0;
    for (u32 j = lane; j < count; j += 32) {
        float pull = 0;
        // Rows behind the batch are no anchors and no positives.
        bool in_batch = j < anchors, positive = labels[j] == label;
        if (j != i && (in_batch || !positive)) {
            float v = loss.on_products() ? values[j] : sqrtf(values[j]);
            if (positive) {
                pull = from_positive(loss, of, rowwise, slopes, i, j, v);
            } else {
                pull = from_negative(loss, of, rowwise, nears, i, j, v);
                if (in_batch) pull += from_negative(loss, of, rowwise, nears, j, i, v);
            }
            if (!loss.on_products()) {
                // Of a distance: (x_i - x_j) / d, 0 at d = 0.
                pull *= v > 0 ? -1 / v : 0;
                sum -= pull;
            }
        }
        values[j] = pull;
    }
    sum = warp_sum(sum);
    if (lane == 0) same[i] = (float)sum;
}

// dx = (dx + same x) / divisor for the rows of a strip, and dbetas; exact zeros if no term is active. A warp a row.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    row_finish(const float *x, const float *same, const float *d_betas, const u32 *groups, const u32 *source,
               const double *totals, float *dx, float *dbetas, u32 first, u32 rows, u32 count, u32 dim, u32 kind,
               float nu, u32 reduction) {
    u32 row = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    u32 i = first + row;
    bool active = totals[1] > 0;
    float scale = (float)(1.0 / (reduction == 0 ? totals[1] : reduction == 1 ? totals[2] : 1.0));
    size_t from = (size_t)i * dim;
    for (u32 k = lane; k < dim; k += 32) dx[from + k] = active ? (dx[from + k] + same[i] * x[from + k]) * scale : 0;
    if (lane == 0) {
        Groups of = {groups, count};
        float slope = kind == MARGIN ? d_betas[i] : 0;
        if (kind == MARGIN && source[i] != DEAD) slope += nu * of.positives(i);
        dbetas[i] = active ? slope * scale : 0;
    }
}
