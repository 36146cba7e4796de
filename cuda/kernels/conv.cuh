// conv.cuh  Operands that find their pixel, and the three products of a convolution for whatever multiplies them.
#pragma once
#include "product.cuh"

struct Image {
    u32 batch, height, width;
    __device__ u32 pixels() const { return batch * height * width; }
};

// One number, or four of one tap, of the neighbour of a pixel: zero outside the image.
struct Neighbour {
    int y, x;
    __device__ static Neighbour of(u32 tap) { return Neighbour{(int)(tap / 3) - 1, (int)(tap % 3) - 1}; }
    __device__ Neighbour back() const { return Neighbour{-y, -x}; }
    __device__ bool inside(int py, int px, const Image &image) const {
        return (u32)(py + y) < image.height && (u32)(px + x) < image.width;
    }
    __device__ long long jump(const Image &image, u32 channels) const {
        return ((long long)y * (int)image.width + x) * (int)channels;
    }
};

// value(pixel, (tap, c)) = p[pixel + tap, c], or pixel - tap if BACK; k = tap * channels + c
template <bool ALIGNED, bool BACK> struct Patches {
    static constexpr bool along_k = true;
    struct Outer {
        const float *at;
        int y, x;
    };
    const float *p;
    Image image;
    u32 channels;

    __device__ Outer outer(u32 pixel) const {
        if (pixel >= image.pixels()) return Outer{0, 0, 0};
        return Outer{p + (size_t)pixel * channels, (int)(pixel / image.width % image.height),
                     (int)(pixel % image.width)};
    }
    __device__ const float *find(const Outer &o, u32 k) const {
        u32 tap = k / channels;
        Neighbour to = BACK ? Neighbour::of(tap).back() : Neighbour::of(tap);
        bool inside = o.at && tap < 9 && to.inside(o.y, o.x, image);
        return inside ? o.at + to.jump(image, channels) + k % channels : 0;
    }
    __device__ float one(const Outer &o, u32 k) const {
        const float *at = find(o, k);
        return at ? __ldg(at) : 0;
    }
    __device__ float4 quad(const Outer &o, u32 k) const {
        if (ALIGNED) {
            const float *at = find(o, k);
            return at ? __ldg((const float4 *)at) : make_float4(0, 0, 0, 0);
        }
        return make_float4(one(o, k), one(o, k + 1), one(o, k + 2), one(o, k + 3));
    }
};

// value((tap, c), pixel) = p[pixel + tap, c]; m = tap * channels + c, four of them together
template <bool ALIGNED> struct PatchColumns {
    static constexpr bool along_k = false;
    typedef u32 Outer;
    const float *p;
    Image image;
    u32 channels;

    __device__ Outer outer(u32 m) const { return m; }
    __device__ const float *find(u32 m, u32 pixel, int y, int x) const {
        u32 tap = m / channels;
        Neighbour to = Neighbour::of(tap);
        bool inside = tap < 9 && to.inside(y, x, image);
        return inside ? p + (size_t)pixel * channels + to.jump(image, channels) + m % channels : 0;
    }
    __device__ float one(u32 m, u32 pixel, int y, int x) const {
        const float *at = find(m, pixel, y, x);
        return at ? __ldg(at) : 0;
    }
    __device__ float4 quad(u32 m, u32 pixel) const {
        if (pixel >= image.pixels()) return make_float4(0, 0, 0, 0);
        int y = pixel / image.width % image.height, x = pixel % image.width;
        if (ALIGNED) {
            const float *at = find(m, pixel, y, x);
            return at ? __ldg((const float4 *)at) : make_float4(0, 0, 0, 0);
        }
        return make_float4(one(m, pixel, y, x), one(m + 1, pixel, y, x), one(m + 2, pixel, y, x),
                           one(m + 3, pixel, y, x));
    }
};

// value(i, (tap, o)) = w[tap, i, o]; k = tap * outputs + o
template <bool ALIGNED> struct TapRows {
    static constexpr bool along_k = true;
    typedef u32 Outer;
    const float *w;
    u32 inputs, outputs;

    __device__ Outer outer(u32 i) const { return i; }
    __device__ const float *find(u32 i, u32 k) const {
        u32 tap = k / outputs;
        return i < inputs && tap < 9 ? w + ((size_t)tap * inputs + i) * outputs + k % outputs : 0;
    }
    __device__ float one(u32 i, u32 k) const {
        const float *at = find(i, k);
        return at ? __ldg(at) : 0;
    }
    __device__ float4 quad(u32 i, u32 k) const {
        if (ALIGNED) {
            const float *at = find(i, k);
            return at ? __ldg((const float4 *)at) : make_float4(0, 0, 0, 0);
        }
        return make_float4(one(i, k), one(i, k + 1), one(i, k + 2), one(i, k + 3));
    }
};

#define CONV(SUFFIX, ALIGNED, PRODUCT)                                                                                \
    extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, BLOCKS)                                             \
        conv_##SUFFIX(const float *x, const float *w, float *y, u32 batch, u32 height, u32 width, u32 inputs,         \
                      u32 outputs, u32 chunk) {                                                                       \
        Image image{batch, height, width};                                                                            \
        PRODUCT(Patches<ALIGNED, false>{x, image, inputs}, Columns<ALIGNED>{w, outputs, 9 * inputs},                  \
                Result<ALIGNED>{y, 0, image.pixels(), outputs}, 9 * inputs, chunk);                                   \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, BLOCKS)                                             \
        conv_dw_##SUFFIX(const float *x, const float *dy, float *dw, u32 batch, u32 height, u32 width, u32 inputs,    \
                         u32 outputs, u32 chunk) {                                                                    \
        Image image{batch, height, width};                                                                            \
        PRODUCT(PatchColumns<ALIGNED>{x, image, inputs}, Columns<ALIGNED>{dy, outputs, image.pixels()},               \
                Result<ALIGNED>{dw, 0, 9 * inputs, outputs}, image.pixels(), chunk);                                  \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, BLOCKS)                                             \
        conv_dx_##SUFFIX(const float *dy, const float *w, float *dx, u32 batch, u32 height, u32 width, u32 inputs,    \
                         u32 outputs, u32 chunk) {                                                                    \
        Image image{batch, height, width};                                                                            \
        PRODUCT(Patches<ALIGNED, true>{dy, image, outputs}, TapRows<ALIGNED>{w, inputs, outputs},                     \
                Result<ALIGNED>{dx, 0, image.pixels(), inputs}, 9 * outputs, chunk);                                  \
    }
