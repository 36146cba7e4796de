// pointwise.cu  what works number by number: ReLU, Adam, gradient descent
//
// v1 one number a thread                     a ReLU has 8 KB on their way a multiprocessor; an H100 wants about 15
// v2 (kept) four numbers a thread, POINTS apart, all read before any is written: still a whole line a warp, and no
//    array need start or end on 16 bytes
// The floor is memory alone: ReLU 8 bytes a number, backward and mask 12, Adam 28, gradient descent 20.
// The formulas are written in the operand order of their scalar twins and give their bits.
// oracle: core/src/kernel/scalar/layers.rs, optim.rs
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(POINTS) relu(const float *x, float *y, u32 len) {
    Span span(len);
    float v[EACH];
    span.read(x, v);
#pragma unroll
    for (int k = 0; k < EACH; ++k) v[k] = v[k] > 0 ? v[k] : 0;
    span.write(y, v);
}

extern "C" __global__ void __launch_bounds__(POINTS)
    relu_backward(const float *y, const float *dy, float *dx, u32 len) {
    Span span(len);
    float v[EACH], g[EACH];
    span.read(y, v);
    span.read(dy, g);
#pragma unroll
    for (int k = 0; k < EACH; ++k) g[k] = v[k] > 0 ? g[k] : 0;
    span.write(dx, g);
}

// dy = 0 where y is not above 0, in place.
extern "C" __global__ void __launch_bounds__(POINTS) relu_mask(const float *y, float *dy, u32 len) {
    Span span(len);
    float v[EACH], g[EACH];
    span.read(y, v);
    span.read(dy, g);
#pragma unroll
    for (int k = 0; k < EACH; ++k) g[k] = v[k] > 0 ? g[k] : 0;
    span.write(dy, g);
}

// scale = rate / (1 - beta1^t), root = 1 / sqrt(1 - beta2^t), keep = 1 - rate decay.
extern "C" __global__ void __launch_bounds__(POINTS)
    adam(float *weights, const float *gradients, float *firsts, float *seconds, u32 len, float beta1, float beta2,
         float epsilon, float scale, float root, float keep) {
    Span span(len);
    float w[EACH], g[EACH], m[EACH], v[EACH];
    span.read(weights, w);
    span.read(gradients, g);
    span.read(firsts, m);
    span.read(seconds, v);
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        m[k] = beta1 * m[k] + (1 - beta1) * g[k];
        v[k] = beta2 * v[k] + (1 - beta2) * g[k] * g[k];
        w[k] = w[k] * keep - scale * m[k] / (sqrtf(v[k]) * root + epsilon);
    }
    span.write(firsts, m);
    span.write(seconds, v);
    span.write(weights, w);
}

extern "C" __global__ void __launch_bounds__(POINTS)
    sgd(float *weights, const float *gradients, float *velocities, u32 len, float rate, float momentum, float decay) {
    Span span(len);
    float w[EACH], g[EACH], u[EACH];
    span.read(weights, w);
    span.read(gradients, g);
    span.read(velocities, u);
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        u[k] = momentum * u[k] + g[k] + decay * w[k];
        w[k] -= rate * u[k];
    }
    span.write(velocities, u);
    span.write(weights, w);
}
