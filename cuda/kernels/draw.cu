// draw.cu  One negative for each (anchor, positive) pair.
//
// distance weighted: v1 rows of weights in memory, a warp walks them       8 bytes a pair through L2
//    v2 (kept) `weigh` turns each tile of products into log-weights while it is in registers and leaves 16 bytes for 32
//    columns of a row; `draw_weighted` finds the block by running sums and forms the 32 products inside it again
// hard, semi-hard: a warp reads its row of a strip from L2, once for each positive where the choice depends on it
// uniform: needs no distance: the n-th place outside the anchor's class
// Floor: 2 N² D operations for the products, about 60 more a pair for its weight (two ln, one exp, one root).
// Every number of every warp is fixed by (seed, step, anchor, draw): same bytes twice.
// oracle: core/src/sample, core/src/weight.rs, core/src/draw.rs
#include "philox.cuh"
#include "weigh.cuh"

#define ROW_WARPS 8
#define STREAM_SECOND 5
#define FIELDS 6

// What an anchor without candidates does.
#define EMPTY_SKIP 0
#define EMPTY_NEAREST 1

struct Weigh {
    Block *out;
    Sides sides;
    Law law;
    const u32 *labels;
    const float *betas;
    u32 first, rows, columns;

    // All threads of a warp come here together: eight of them hold 32 columns of one row.
    __device__ void store(u32 m, u32 n, const float *sums) const {
        u32 label = m < rows ? labels[first + m] : 0;
        float end = m < rows ? law.far_end(betas[first + m]) : 0;
        float weights[4];
        u32 counts = 0;
#pragma unroll
        for (u32 j = 0; j < 4; ++j) {
            weights[j] = -INFINITE;
            if (m >= rows || n + j >= columns || labels[n + j] == label) continue;
            float distance = sqrtf(sides.squared(m, n + j, sums[j]));
            if (distance < end) weights[j] = law.ln_weight(distance);
            if (weights[j] > -INFINITE) counts += weights[j] == law.ln_cap ? 65537 : 1;
        }
        float largest = octet_max(fmaxf(fmaxf(weights[0], weights[1]), fmaxf(weights[2], weights[3])));
        float sum = 0, squares = 0;
#pragma unroll
        for (u32 j = 0; j < 4; ++j) {
            float weight = weights[j] > -INFINITE ? expf(weights[j] - largest) : 0;
            sum += weight;
            squares += weight * weight;
        }
        sum = octet_sum(sum);
        squares = octet_sum(squares);
        counts = octet_sum(counts);
        if (threadIdx.x % 8 == 0 && m < rows && n < columns)
            out[(size_t)m * ((columns + 31) / 32) + n / 32] = Block{largest, sum, squares, counts};
    }
};

#define WEIGH(SUFFIX, ALIGNED)                                                                                         \
    extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, BLOCKS)                                              \
        weigh_##SUFFIX(const float *x, const float *y, const float *xx, const float *yy, const u32 *labels,            \
                       const float *betas, Block *out, u32 first, u32 rows, u32 columns, u32 dim, float power,         \
                       float bend, float ln_cap, float far, u32 active) {                                              \
        pairs<ALIGNED>(x, y, rows, columns, dim, Weigh{out, Sides{x, y, xx, yy, dim}, Law{power, bend, ln_cap, far, active}, labels,\
                                    betas, first, rows, columns});                                                     \
    }
WEIGH(wide, true)
WEIGH(ragged, false)

// Uniform among 0 .. count, as Key::below.
__device__ inline u32 below(Key key, u32 item, u32 index, u32 count) {
    Words w = key.words(item, index);
    return (u32)__umul64hi((u64)w.v[0] << 32 | w.v[1], count);
}

// Where tuples go, and what happened to an anchor: the fields of a DrawReport in order.
struct Drawing {
    Groups groups;
    Key key;
    // Whether each tuple gets a sample of a third class.
    bool third;
    uint4 *tuples;
    float *ln_probs;
    double *fields;

    // A negative of any kind: the n-th.
    __device__ u32 any(u32 anchor, u32 n) const {
        return nth_outside(n, groups.members(anchor), groups.size(anchor), 0, 0);
    }

    // The tuple of the k-th positive; `negative` may be NONE.
    __device__ void emit(u32 anchor, u32 k, u32 negative, float ln_prob) const {
        size_t at = groups.first_pair(anchor) + k;
        u32 second = NONE;
        if (third && negative != NONE) {
            u32 others = groups.count - groups.size(anchor) - groups.size(negative);
            Key place = key;
            place.stream = STREAM_SECOND;
            if (others > 0)
                second = nth_outside(below(place, anchor, k, others), groups.members(anchor), groups.size(anchor),
                                     groups.members(negative), groups.size(negative));
        }
        tuples[at] = make_uint4(anchor, groups.positive(anchor, k), negative, second);
        ln_probs[at] = ln_prob;
    }

    // An anchor without positives or without negatives: no tuple, not counted at all.
    __device__ void nothing(u32 anchor, bool draws) const {
        u32 lane = threadIdx.x % 32;
        for (u32 k = lane; draws && k < groups.positives(anchor); k += 32) emit(anchor, k, NONE, 0);
        if (lane < FIELDS) fields[(size_t)anchor * FIELDS + lane] = 0;
    }

    // `effective` and `capped` are those of the anchor.
    __device__ void report(u32 anchor, u32 tuples, u32 without, double effective, double capped) const {
        if (threadIdx.x % 32 != 0) return;
        double *to = fields + (size_t)anchor * FIELDS;
        to[0] = 1;
        to[1] = tuples;
        to[2] = without;
        to[3] = without > 0;
        to[4] = effective;
        to[5] = capped;
    }
};

#define DRAWING                                                                                                        \
    Drawing{Groups{groups, count}, Key{seed_low, seed_high, stream, step}, third != 0, tuples, ln_probs, fields}
#define DRAW_ARGS                                                                                                      \
    const u32 *groups, uint4 *tuples, float *ln_probs, double *fields, u32 seed_low, u32 seed_high, u32 stream,        \
        u32 step, u32 third, u32 count

// Any true negative; with `draws` 0 nothing is drawn (the sampler that takes all). A warp an anchor.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS) draw_uniform(DRAW_ARGS, u32 anchors, u32 draws) {
    u32 anchor = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (anchor >= anchors) return;
    Drawing drawing = DRAWING;
    u32 positives = drawing.groups.positives(anchor), negatives = drawing.groups.negatives(anchor);
    if (positives == 0 || negatives == 0) return drawing.nothing(anchor, draws);
    float ln_prob = -logf((float)negatives);
    if (draws)
        for (u32 k = lane; k < positives; k += 32)
            drawing.emit(anchor, k, drawing.any(anchor, below(drawing.key, anchor, k, negatives)), ln_prob);
    drawing.report(anchor, draws ? positives : 0, 0, negatives, 0);
}

#define RULE_HARD 0
#define RULE_SEMIHARD 1

// The nearest negative, the nearest beyond the positive, or any in a band beyond it, from rows of squared distances.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    draw_near(DRAW_ARGS, const u32 *labels, const float *strip, u32 first, u32 rows, u32 rule, float band) {
    u32 row = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    u32 anchor = first + row, label = labels[anchor];
    Drawing drawing = DRAWING;
    const float *squared = strip + (size_t)row * count;
    u32 positives = drawing.groups.positives(anchor);
    if (positives == 0 || drawing.groups.negatives(anchor) == 0) return drawing.nothing(anchor, true);
    u32 drawn = 0;
    double effective = 0;
    u32 hardest = NONE;
    for (u32 k = 0; k < positives; ++k) {
        u32 negative = NONE, among = 1;
        if (rule <= RULE_SEMIHARD) {
            float beyond = rule == RULE_HARD ? -INFINITE : sqrtf(squared[drawing.groups.positive(anchor, k)]);
            if (rule == RULE_SEMIHARD || k == 0)
                hardest = nearest_of(count, [&](u32 j) {
                    float d = sqrtf(squared[j]);
                    return labels[j] != label && d > beyond ? d : INFINITE;
                });
            negative = hardest;
        } else {
            float from = sqrtf(squared[drawing.groups.positive(anchor, k)]), to = from + band;
            auto inside = [&](u32 j) {
                if (j >= count || labels[j] == label) return false;
                float d = sqrtf(squared[j]);
                return from < d && d < to;
            };
            among = 0;
            for (u32 j = lane; j < count; j += 32) among += inside(j);
            among = warp_count(among);
            u32 n = among > 0 ? below(drawing.key, anchor, k, among) : 0;
            for (u32 j = 0; among > 0 && j < count; j += 32) {
                u32 found = __ballot_sync(FULL_WARP, inside(j + lane));
                u32 before = __popc(found & ((1u << lane) - 1));
                u32 hit = __ballot_sync(FULL_WARP, (found >> lane & 1) && before == n);
                if (hit) {
                    negative = j + __ffs(hit) - 1;
                    break;
                }
                n -= __popc(found);
            }
        }
        if (lane == 0) drawing.emit(anchor, k, negative, among > 1 ? -logf((float)among) : 0);
        if (negative != NONE) {
            ++drawn;
            effective += (double)among / positives;
        }
    }
    drawing.report(anchor, drawn, positives - drawn, effective, 0);
}

// The column of a row at which the running sum of its weights passes `target`; the last of positive weight if rounding
// leaves the target at the very end. A warp; the weight comes back relative to the row's largest.
__device__ u32 pick(const Sides &sides, const Law &law, const u32 *labels, const Block *blocks, u32 across,
                    const RowSums &sums, u32 anchor, float end, u32 columns, double target, double &weight) {
    u32 lane = threadIdx.x % 32;
    double before = 0, begin = 0;
    u32 block = NONE;
    for (u32 from = 0; from < across; from += 32) {
        double sum = 0;
        if (from + lane < across)
            sum = blocks[from + lane].sum * factor_of(blocks[from + lane].largest, sums.largest);
        double after = before + running(sum);
        u32 passed = __ballot_sync(FULL_WARP, sum > 0 && target < after);
        u32 positive = __ballot_sync(FULL_WARP, sum > 0);
        u32 lane_of = passed ? __ffs(passed) - 1 : positive ? 31 - __clz(positive) : 32;
        if (lane_of < 32) {
            block = from + lane_of;
            begin = __shfl_sync(FULL_WARP, after - sum, lane_of);
        }
        if (passed) break;
        before = __shfl_sync(FULL_WARP, after, 31);
    }
    float largest = blocks[block].largest;
    double factor = factor_of(largest, sums.largest);
    u32 column = block * 32 + lane;
    float own = 0;
    if (column < columns && labels[column] != labels[anchor]) {
        float distance = sqrtf(sides.squared(anchor, column));
        float ln_weight = distance < end ? law.ln_weight(distance) : -INFINITE;
        if (ln_weight > -INFINITE) own = expf(ln_weight - largest);
    }
    double after = begin + running(own * factor);
    u32 passed = __ballot_sync(FULL_WARP, own > 0 && target < after);
    u32 positive = __ballot_sync(FULL_WARP, own > 0);
    u32 lane_of = passed ? __ffs(passed) - 1 : 31 - __clz(positive);
    weight = __shfl_sync(FULL_WARP, own * factor, lane_of);
    return block * 32 + lane_of;
}

// Distance weighted sampling from the blocks that `weigh` left; with `draws` 0 the report alone. A warp an anchor.
extern "C" __global__ void __launch_bounds__(32 * ROW_WARPS)
    draw_weighted(DRAW_ARGS, const float *x, const float *xx, const u32 *labels, const float *betas,
                  const Block *blocks, u32 first, u32 rows, u32 dim, float power, float bend, float ln_cap, float far,
                  u32 active, u32 empty, u32 draws) {
    u32 row = blockIdx.x * ROW_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    u32 anchor = first + row, across = (count + 31) / 32;
    Drawing drawing = DRAWING;
    Law law = {power, bend, ln_cap, far, active};
    Sides sides = {x, x, xx, xx, dim};
    u32 positives = drawing.groups.positives(anchor), negatives = drawing.groups.negatives(anchor);
    if (positives == 0 || negatives == 0) return drawing.nothing(anchor, draws);
    blocks += (size_t)row * across;
    RowSums sums = row_sums(blocks, across);
    if (sums.candidates > 0) {
        double effective = sums.total * sums.total / sums.squares;
        for (u32 k = 0; draws && k < positives; ++k) {
            double weight, target = drawing.key.uniform(anchor, k) * sums.total;
            u32 negative = pick(sides, law, labels, blocks, across, sums, anchor, law.far_end(betas[anchor]),
                                count, target, weight);
            if (lane == 0) drawing.emit(anchor, k, negative, (float)log(weight / sums.total));
        }
        drawing.report(anchor, draws ? positives : 0, 0, effective, (double)sums.capped / sums.candidates);
        return;
    }
    if (empty == EMPTY_SKIP) {
        if (draws)
            for (u32 k = lane; k < positives; k += 32) drawing.emit(anchor, k, NONE, 0);
        drawing.report(anchor, 0, positives, 0, 0);
        return;
    }
    u32 among = empty == EMPTY_NEAREST ? 1 : negatives, nearest = NONE;
    if (empty == EMPTY_NEAREST && draws)
        nearest = nearest_of(count, [&](u32 j) {
            return labels[j] != labels[anchor] ? sqrtf(sides.squared(anchor, j)) : INFINITE;
        });
    for (u32 k = lane; draws && k < positives; k += 32) {
        u32 n = min((u32)(drawing.key.uniform(anchor, k) * among), among - 1);
        drawing.emit(anchor, k, empty == EMPTY_NEAREST ? nearest : drawing.any(anchor, n), (float)log(1.0 / among));
    }
    drawing.report(anchor, draws ? positives : 0, positives, among, 0);
}
