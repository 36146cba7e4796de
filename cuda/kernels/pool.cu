// pool.cu  largest of 2x2 windows, mean over an image, and their gradients; arrays [batch, height, width, channels]
//
// v1 (kept) one thread a result, channels fastest, so a warp reads whole lines. The floor is memory: max forward 5
//    bytes an input number, backward 9; mean 4 each way. A mean over few large images would want more threads.
// oracle: core/src/kernel/scalar/layers.rs
#include "common.cuh"

struct Window {
    size_t at;          // input number of its upper left corner
    u32 right, below;   // to the neighbours
    // The first largest in reading order, 0..4; NaN neither replaces nor is replaced.
    __device__ u32 first_largest(const float *x) const {
        u32 best = 0;
        float largest = x[at];
        for (u32 i = 1; i < 4; ++i) {
            float v = x[at + i / 2 * (size_t)below + i % 2 * right];
            if (v > largest) {
                best = i;
                largest = v;
            }
        }
        return best;
    }
};

extern "C" __global__ void __launch_bounds__(POINTS)
    max_pool(const float *x, float *y, u32 batch, u32 height, u32 width, u32 channels) {
    u32 i = thread_index();
    u32 rows = height / 2, columns = width / 2;
    if (i >= batch * rows * columns * channels) return;
    u32 c = i % channels, px = i / channels % columns, line = i / channels / columns;
    u32 py = line % rows, image = line / rows;
    Window window{(((size_t)image * height + 2 * py) * width + 2 * px) * channels + c, channels, width * channels};
    u32 best = window.first_largest(x);
    y[i] = x[window.at + best / 2 * (size_t)window.below + best % 2 * window.right];
}

// A thread owns one window, or what is left of one at an odd edge, and writes all of its dx.
extern "C" __global__ void __launch_bounds__(POINTS)
    max_pool_backward(const float *x, const float *dy, float *dx, u32 batch, u32 height, u32 width, u32 channels) {
    u32 i = thread_index();
    u32 rows = (height + 1) / 2, columns = (width + 1) / 2;
    if (i >= batch * rows * columns * channels) return;
    u32 c = i % channels, px = i / channels % columns, line = i / channels / columns;
    u32 py = line % rows, image = line / rows;
    Window window{(((size_t)image * height + 2 * py) * width + 2 * px) * channels + c, channels, width * channels};
    bool whole_down = 2 * py + 1 < height, whole_right = 2 * px + 1 < width;
    u32 best = 4;
    float gradient = 0;
    if (whole_down && whole_right) {
        best = window.first_largest(x);
        gradient = dy[(((size_t)image * (height / 2) + py) * (width / 2) + px) * channels + c];
    }
    for (u32 k = 0; k < 4; ++k) {
        if ((k < 2 || whole_down) && (k % 2 == 0 || whole_right))
            dx[window.at + k / 2 * (size_t)window.below + k % 2 * window.right] = k == best ? gradient : 0;
    }
}

extern "C" __global__ void __launch_bounds__(POINTS)
    mean_pool(const float *x, float *y, u32 batch, u32 pixels, u32 channels) {
    u32 i = thread_index();
    if (i >= batch * channels) return;
    size_t image = i / channels;
    u32 c = i % channels;
    double sum = 0;
    for (u32 p = 0; p < pixels; ++p) sum += x[(image * pixels + p) * channels + c];
    y[i] = (float)(sum / pixels);
}

extern "C" __global__ void __launch_bounds__(POINTS)
    mean_pool_backward(const float *dy, float *dx, u32 batch, u32 pixels, u32 channels) {
    u32 i = thread_index();
    if (i >= batch * pixels * channels) return;
    float share = 1.0f / (float)pixels;
    dx[i] = dy[i / channels / pixels * channels + i % channels] * share;
}
