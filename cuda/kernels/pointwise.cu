// pointwise.cu  what works number by number: ReLU, Adam, gradient descent
//
// v1 (kept) one number a thread: a warp reads 128 consecutive bytes of each array. The floor is memory alone:
//    ReLU 8 bytes a number, backward 12, Adam 28, gradient descent 20
// The formulas are written in the operand order of their scalar twins and give their bits.
// oracle: core/src/kernel/scalar/layers.rs, optim.rs
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(POINTS) relu(const float *x, float *y, u32 len) {
    u32 i = thread_index();
    if (i < len) y[i] = x[i] > 0 ? x[i] : 0;
}

extern "C" __global__ void __launch_bounds__(POINTS)
    relu_backward(const float *y, const float *dy, float *dx, u32 len) {
    u32 i = thread_index();
    if (i < len) dx[i] = y[i] > 0 ? dy[i] : 0;
}

// scale = rate / (1 - beta1^t), root = 1 / sqrt(1 - beta2^t), keep = 1 - rate decay.
extern "C" __global__ void __launch_bounds__(POINTS)
    adam(float *w, const float *g, float *m, float *v, u32 len, float beta1, float beta2, float epsilon, float scale,
         float root, float keep) {
    u32 i = thread_index();
    if (i >= len) return;
    float first = beta1 * m[i] + (1 - beta1) * g[i];
    float second = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    m[i] = first;
    v[i] = second;
    w[i] = w[i] * keep - scale * first / (sqrtf(second) * root + epsilon);
}

extern "C" __global__ void __launch_bounds__(POINTS)
    sgd(float *w, const float *g, float *u, u32 len, float rate, float momentum, float decay) {
    u32 i = thread_index();
    if (i >= len) return;
    float velocity = momentum * u[i] + g[i] + decay * w[i];
    u[i] = velocity;
    w[i] -= rate * velocity;
}
