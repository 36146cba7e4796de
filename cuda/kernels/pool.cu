// pool.cu  largest of 2x2 windows, mean over an image, and their gradients; arrays [batch, height, width, channels]
//
// v1 (kept) one thread a result, channels fastest, so a warp reads whole lines. The floor is memory: max forward 5
//    bytes an input number (6 with picks), backward 9 (6 from picks); mean 4 each way. A mean over few large images would want more threads.
// oracle: core/src/kernel/scalar/layers.rs
#include "common.cuh"

// Window i of an image that holds rows x columns of them, channels fastest.
struct Window {
    size_t at;            // input number of its upper left corner
    u32 right, below;     // to the neighbours
    bool down, across;    // whether it has both rows, both columns: not at an odd edge
    u32 image, y, x, c;   // where it is

    __device__ Window(u32 i, u32 rows, u32 columns, u32 height, u32 width, u32 channels) {
        c = i % channels;
        x = i / channels % columns;
        u32 line = i / channels / columns;
        y = line % rows;
        image = line / rows;
        at = (((size_t)image * height + 2 * y) * width + 2 * x) * channels + c;
        right = channels;
        below = width * channels;
        down = 2 * y + 1 < height;
        across = 2 * x + 1 < width;
    }
    // Its pixel k, 0..4 in reading order.
    __device__ size_t pixel(u32 k) const { return at + k / 2 * (size_t)below + k % 2 * right; }
    // The first largest in reading order, 0..4; NaN neither replaces nor is replaced.
    __device__ u32 first_largest(const float *input) const {
        u32 best = 0;
        float largest = input[at];
        for (u32 k = 1; k < 4; ++k) {
            float v = input[pixel(k)];
            if (v > largest) {
                best = k;
                largest = v;
            }
        }
        return best;
    }
    // Its number of the result.
    __device__ size_t pooled(u32 height, u32 width, u32 channels) const {
        return (((size_t)image * (height / 2) + y) * (width / 2) + x) * channels + c;
    }
    // Writes all of its dx: `gradient` to the pixel that was picked, 0 to the others and to what an odd edge leaves.
    __device__ void spread(float *dx, u32 picked, float gradient) const {
        for (u32 k = 0; k < 4; ++k)
            if ((k < 2 || down) && (k % 2 == 0 || across)) dx[pixel(k)] = k == picked ? gradient : 0;
    }
};

extern "C" __global__ void __launch_bounds__(POINTS)
    max_pool(const float *x, float *y, u32 batch, u32 height, u32 width, u32 channels) {
    u32 i = thread_index(), rows = height / 2, columns = width / 2;
    if (i >= batch * rows * columns * channels) return;
    Window window(i, rows, columns, height, width, channels);
    y[i] = x[window.pixel(window.first_largest(x))];
}

// As max_pool; picks[i] is the pixel of window i that was the first largest.
extern "C" __global__ void __launch_bounds__(POINTS)
    max_pool_picks(const float *x, float *y, u32 *picks, u32 batch, u32 height, u32 width, u32 channels) {
    u32 i = thread_index(), rows = height / 2, columns = width / 2;
    if (i >= batch * rows * columns * channels) return;
    Window window(i, rows, columns, height, width, channels);
    u32 best = window.first_largest(x);
    y[i] = x[window.pixel(best)];
    picks[i] = best;
}

// A thread owns one window, or what is left of one at an odd edge.
extern "C" __global__ void __launch_bounds__(POINTS)
    max_pool_backward(const float *x, const float *dy, float *dx, u32 batch, u32 height, u32 width, u32 channels) {
    u32 i = thread_index(), rows = (height + 1) / 2, columns = (width + 1) / 2;
    if (i >= batch * rows * columns * channels) return;
    Window window(i, rows, columns, height, width, channels);
    if (window.down && window.across)
        window.spread(dx, window.first_largest(x), dy[window.pooled(height, width, channels)]);
    else
        window.spread(dx, 4, 0);
}

// As max_pool_backward, from the picks of max_pool_picks.
extern "C" __global__ void __launch_bounds__(POINTS)
    max_pool_spread(const u32 *picks, const float *dy, float *dx, u32 batch, u32 height, u32 width, u32 channels) {
    u32 i = thread_index(), rows = (height + 1) / 2, columns = (width + 1) / 2;
    if (i >= batch * rows * columns * channels) return;
    Window window(i, rows, columns, height, width, channels);
    if (window.down && window.across) {
        size_t pooled = window.pooled(height, width, channels);
        window.spread(dx, picks[pooled], dy[pooled]);
    } else {
        window.spread(dx, 4, 0);
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
