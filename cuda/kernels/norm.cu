// norm.cu  batch normalisation of x [rows, channels], channel by channel, and a ReLU if one follows
//
// v1 one thread a channel                                     rows loads in a row, a few warps on the whole device
// v2 two passes, mean first, then the variance                reads x three times
// v3 (kept) one pass for both moments, about the channel's first value so that nothing cancels; each chunk of rows
//    gives one partial sum, and a group of threads a channel joins them in order. Sums in f64: two runs give the same bytes
// The gradient finds the ReLU's active side by computing the output anew, in the operand order of norm_apply: the same bits.
// Floor: forward x twice and y once, 12 bytes a number; backward x and dy twice, dx once, 20 bytes a number.
// Chips other than sm_80 and sm_90 do f64 at 1/64 of f32: about 4 f64 operations a number there cost what the memory does.
//
// A block is 32 channels x 8 rows (GROUP_X, GROUP_Y): a warp reads 32 neighbouring channels of one row. blockIdx.x counts rows.
// oracle: core/src/kernel/scalar/layers.rs
#include "common.cuh"

// Rows that one thread of the elementwise kernels takes, all read before any is written (see Span in common.cuh).
#define STEPS 4

struct Place {
    u32 channel, row, end;
    __device__ Place(u32 rows, u32 chunk) {
        channel = blockIdx.y * GROUP_X + threadIdx.x;
        row = blockIdx.x * chunk + threadIdx.y;
        end = min(blockIdx.x * chunk + chunk, rows);
    }
    // The numbers of STEPS rows of this thread's channel.
    __device__ void read(const float *array, u32 channels, float (&v)[STEPS]) const {
#pragma unroll
        for (int s = 0; s < STEPS; ++s)
            v[s] = row + GROUP_Y * s < end ? array[(size_t)(row + GROUP_Y * s) * channels + channel] : 0;
    }
    __device__ void write(float *array, u32 channels, const float (&v)[STEPS]) const {
#pragma unroll
        for (int s = 0; s < STEPS; ++s)
            if (row + GROUP_Y * s < end) array[(size_t)(row + GROUP_Y * s) * channels + channel] = v[s];
    }
};

// The ReLU, if one follows.
__device__ inline float rectified(float v, u32 relu) { return relu && !(v > 0) ? 0 : v; }

// What a channel's numbers go through: y = (x - mean) inverse scale + shift, then the ReLU.
struct Channel {
    float mean, inverse, scale, shift;
    u32 relu;
    __device__ Channel(const float *affine, const float *saved, u32 c, u32 channels, u32 relu)
        : mean(saved[c]), inverse(saved[channels + c]), scale(affine[c]), shift(affine[channels + c]), relu(relu) {}
    // (x - mean) inverse
    __device__ float unit(float x) const { return (x - mean) * inverse; }
    __device__ float output(float x) const { return rectified(unit(x) * scale + shift, relu); }
    // The gradient that the ReLU lets through.
    __device__ float given(float x, float dy) const { return !relu || unit(x) * scale + shift > 0 ? dy : 0; }
};

// partial[chunk, 0, c] and [chunk, 1, c]: the two sums of this block.
__device__ void put_partial(double first, double second, u32 channel, u32 channels, double *partial) {
    first = group_sum(first);
    second = group_sum(second);
    if (threadIdx.y == 0 && channel < channels) {
        size_t row = (size_t)blockIdx.x * 2;
        partial[row * channels + channel] = first;
        partial[(row + 1) * channels + channel] = second;
    }
}

// One of the two sums over all chunks, right in the first thread of a group.
__device__ double joined(const double *partial, u32 which, u32 chunks, u32 channel, u32 channels) {
    double sum = 0;
    if (channel < channels)
        for (u32 chunk = threadIdx.y; chunk < chunks; chunk += GROUP_Y)
            sum += partial[((size_t)chunk * 2 + which) * channels + channel];
    return group_sum(sum);
}

// Sums of x - x[0] and of its square.
extern "C" __global__ void __launch_bounds__(GROUP_X *GROUP_Y)
    norm_moments(const float *x, double *partial, u32 rows, u32 channels, u32 chunk) {
    Place at(rows, chunk);
    double sum = 0, squares = 0;
    if (at.channel < channels) {
        double shift = x[at.channel];
        for (u32 r = at.row; r < at.end; r += GROUP_Y) {
            double v = x[(size_t)r * channels + at.channel] - shift;
            sum += v;
            squares = fma(v, v, squares);
        }
    }
    put_partial(sum, squares, at.channel, channels, partial);
}

// saved = [mean; 1/sqrt(var + epsilon)], and the running statistics move by `momentum`.
extern "C" __global__ void __launch_bounds__(GROUP_X *GROUP_Y)
    norm_statistics(const float *x, const double *partial, float *saved, float *running, u32 rows, u32 channels,
                    u32 chunks, float epsilon, float momentum) {
    u32 c = blockIdx.x * GROUP_X + threadIdx.x;
    double sum = joined(partial, 0, chunks, c, channels), squares = joined(partial, 1, chunks, c, channels);
    if (threadIdx.y > 0 || c >= channels) return;
    double off = sum / rows, var = squares / rows - off * off;
    // Rounding may leave it a little below zero; NaN stays.
    var = var < 0 ? 0 : var;
    // Without a row there is nothing to shift by; all is NaN then, as 0 / 0 is.
    float mean = (float)((rows > 0 ? x[c] : 0) + off);
    saved[c] = mean;
    saved[channels + c] = (float)(1.0 / sqrt(var + epsilon));
    // One row has no unbiased variance; its biased one, 0, is kept.
    float unbiased = (float)(rows > 1 ? var * rows / (rows - 1) : var);
    running[c] += momentum * (mean - running[c]);
    running[channels + c] += momentum * (unbiased - running[channels + c]);
}

extern "C" __global__ void __launch_bounds__(GROUP_X *GROUP_Y)
    norm_apply(const float *x, const float *affine, const float *saved, float *y, u32 rows, u32 channels, u32 relu) {
    Place at(rows, GROUP_Y * STEPS);
    u32 c = at.channel;
    if (c >= channels) return;
    Channel channel(affine, saved, c, channels, relu);
    float v[STEPS];
    at.read(x, channels, v);
#pragma unroll
    for (int s = 0; s < STEPS; ++s) v[s] = channel.output(v[s]);
    at.write(y, channels, v);
}

extern "C" __global__ void __launch_bounds__(GROUP_X *GROUP_Y)
    norm_infer(const float *x, const float *affine, const float *running, float *y, u32 rows, u32 channels,
               u32 relu, float epsilon) {
    Place at(rows, GROUP_Y * STEPS);
    u32 c = at.channel;
    if (c >= channels) return;
    float mean = running[c], scale = affine[c] / sqrtf(running[channels + c] + epsilon), shift = affine[channels + c];
    float v[STEPS];
    at.read(x, channels, v);
#pragma unroll
    for (int s = 0; s < STEPS; ++s) v[s] = rectified((v[s] - mean) * scale + shift, relu);
    at.write(y, channels, v);
}

// Sums of dy and of dy h, h = (x - mean) inverse, where the ReLU was active.
extern "C" __global__ void __launch_bounds__(GROUP_X *GROUP_Y)
    norm_backward_sums(const float *x, const float *affine, const float *saved, const float *dy, double *partial, u32 rows,
                       u32 channels, u32 chunk, u32 relu) {
    Place at(rows, chunk);
    u32 c = at.channel;
    double shift = 0, scale = 0;
    if (c < channels) {
        Channel channel(affine, saved, c, channels, relu);
        for (u32 r = at.row; r < at.end; r += GROUP_Y) {
            size_t i = (size_t)r * channels + c;
            double g = channel.given(x[i], dy[i]);
            shift += g;
            scale = fma(g, (double)channel.unit(x[i]), scale);
        }
    }
    put_partial(shift, scale, c, channels, partial);
}

// daffine = [dscale; dshift], and their means over the rows, [mean of dy; mean of dy h].
extern "C" __global__ void __launch_bounds__(GROUP_X *GROUP_Y)
    norm_backward_join(const double *partial, float *daffine, float *means, u32 rows, u32 channels, u32 chunks) {
    u32 c = blockIdx.x * GROUP_X + threadIdx.x;
    double shift = joined(partial, 0, chunks, c, channels), scale = joined(partial, 1, chunks, c, channels);
    if (threadIdx.y > 0 || c >= channels) return;
    daffine[c] = (float)scale;
    daffine[channels + c] = (float)shift;
    means[c] = (float)(shift / rows);
    means[channels + c] = (float)(scale / rows);
}

extern "C" __global__ void __launch_bounds__(GROUP_X *GROUP_Y)
    norm_backward_apply(const float *x, const float *affine, const float *saved, const float *dy, const float *means,
                        float *dx, u32 rows, u32 channels, u32 relu) {
    Place at(rows, GROUP_Y * STEPS);
    u32 c = at.channel;
    if (c >= channels) return;
    Channel channel(affine, saved, c, channels, relu);
    float factor = channel.scale * channel.inverse;
    float mean_shift = means[c], mean_scale = means[channels + c];
    float v[STEPS], g[STEPS];
    at.read(x, channels, v);
    at.read(dy, channels, g);
#pragma unroll
    for (int s = 0; s < STEPS; ++s) {
        float given = channel.given(v[s], g[s]);
        g[s] = factor * (given - mean_shift - channel.unit(v[s]) * mean_scale);
    }
    at.write(dx, channels, g);
}
