// linear.cuh  The three products of a linear layer, for whatever multiplies them:
//   y = x w + b, and a ReLU if one follows;  dw = xᵀ dy;  dx = dy wᵀ
#pragma once
#include "product.cuh"

#define LINEAR(SUFFIX, ALIGNED, PRODUCT)                                                                              \
    extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, BLOCKS)                                             \
        linear_##SUFFIX(const float *x, const float *w, const float *b, float *y, u32 with_bias, u32 relu, u32 rows,  \
                        u32 inputs, u32 outputs, u32 chunk) {                                                         \
        PRODUCT(Rows<ALIGNED>{x, rows, inputs}, Columns<ALIGNED>{w, outputs, inputs},                                 \
                Result<ALIGNED>{y, with_bias ? b : 0, rows, outputs, relu != 0}, inputs, chunk);                      \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, BLOCKS)                                             \
        linear_dw_##SUFFIX(const float *x, const float *dy, float *dw, u32 rows, u32 inputs, u32 outputs,             \
                           u32 chunk) {                                                                               \
        PRODUCT(Columns<ALIGNED>{x, inputs, rows}, Columns<ALIGNED>{dy, outputs, rows},                               \
                Result<ALIGNED>{dw, 0, inputs, outputs}, rows, chunk);                                                \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, BLOCKS)                                             \
        linear_dx_##SUFFIX(const float *dy, const float *w, float *dx, u32 rows, u32 inputs, u32 outputs,             \
                           u32 chunk) {                                                                               \
        PRODUCT(Rows<ALIGNED>{dy, rows, outputs}, Rows<ALIGNED>{w, inputs, outputs},                                  \
                Result<ALIGNED>{dx, 0, rows, inputs}, outputs, chunk);                                                \
    }
