// Kernels whose results the tests know.
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;

// Sum of all elements: warp shuffles, shared memory, one atomic a block.
extern "C" __global__ void reduce_sum(const float* __restrict__ x, float* sum, int n) {
  __shared__ float part[32];
  float acc = 0.f;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) acc += x[i];
  for (int o = 16; o > 0; o >>= 1) acc += __shfl_down_sync(0xffffffffu, acc, o);
  if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = acc;
  __syncthreads();
  if (threadIdx.x < 32) {
    acc = threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0.f;
    for (int o = 16; o > 0; o >>= 1) acc += __shfl_down_sync(0xffffffffu, acc, o);
    if (threadIdx.x == 0) atomicAdd(sum, acc);
  }
}

// Product of row-major matrices, tiles of 16 by 16 in shared memory.
extern "C" __global__ void product_tiled(const float* __restrict__ a, const float* __restrict__ b, float* c, int m, int n, int k) {
  __shared__ float as[16][17], bs[16][17];
  int tx = threadIdx.x, ty = threadIdx.y, i = blockIdx.y * 16 + ty, j = blockIdx.x * 16 + tx;
  float acc = 0.f;
  for (int k0 = 0; k0 < k; k0 += 16) {
    as[ty][tx] = (i < m && k0 + tx < k) ? a[(size_t)i * k + k0 + tx] : 0.f;
    bs[ty][tx] = (k0 + ty < k && j < n) ? b[(size_t)(k0 + ty) * n + j] : 0.f;
    __syncthreads();
#pragma unroll
    for (int q = 0; q < 16; ++q) acc = fmaf(as[ty][q], bs[q][tx], acc);
    __syncthreads();
  }
  if (i < m && j < n) c[(size_t)i * n + j] = acc;
}

// Index of the smallest element of each row; a warp a row, the lowest index of equals.
extern "C" __global__ void row_argmin(const float* __restrict__ x, int* arg, int m) {
  int lane = threadIdx.x;
  float v = __int_as_float(0x7f800000);
  int at = m;
  for (int j = lane; j < m; j += 32) {
    float t = x[(size_t)blockIdx.x * m + j];
    if (t < v) { v = t; at = j; }
  }
  for (int o = 16; o > 0; o >>= 1) {
    float w = __shfl_xor_sync(0xffffffffu, v, o);
    int b = __shfl_xor_sync(0xffffffffu, at, o);
    if (w < v || (w == v && b < at)) { v = w; at = b; }
  }
  if (lane == 0) arg[blockIdx.x] = at;
}

// D (16 x 8) = A (16 x k) B (8 x k)^T in tf32; one warp.
extern "C" __global__ void mma_tf32(const float* __restrict__ a, const float* __restrict__ b, float* d, int k) {
  int g = threadIdx.x >> 2, t = threadIdx.x & 3;
  float c[4] = {0, 0, 0, 0};
  for (int k0 = 0; k0 < k; k0 += 8) {
    uint32_t r[6];
    const float* p[6] = {a + g * k + t, a + (g + 8) * k + t, a + g * k + t + 4, a + (g + 8) * k + t + 4, b + g * k + t, b + g * k + t + 4};
#pragma unroll
    for (int q = 0; q < 6; ++q) asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r[q]) : "f"(p[q][k0]));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]), "r"(r[4]), "r"(r[5]));
  }
  d[g * 8 + 2 * t] = c[0]; d[g * 8 + 2 * t + 1] = c[1]; d[(g + 8) * 8 + 2 * t] = c[2]; d[(g + 8) * 8 + 2 * t + 1] = c[3];
}

// The same in bf16, with cp.async in two stages and ldmatrix; k is a multiple of 16.
template <int LEFT> __device__ __forceinline__ void bf16_pipeline(const uint16_t* a, const uint16_t* b, float* d, int k) {
  __shared__ __align__(16) uint16_t as[2][256], bs[2][128];
  int lane = threadIdx.x, g = lane >> 2, t = lane & 3;
  float c[4] = {0, 0, 0, 0};
  auto load = [&](int buf, int k0) {
    int r = lane >> 1, h = (lane & 1) * 8;
    uint32_t sa = (uint32_t)__cvta_generic_to_shared(&as[buf][r * 16 + h]);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(sa), "l"(a + (size_t)r * k + k0 + h) : "memory");
    if (lane < 16) {
      uint32_t sb = (uint32_t)__cvta_generic_to_shared(&bs[buf][r * 16 + h]);
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(sb), "l"(b + (size_t)r * k + k0 + h) : "memory");
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  load(0, 0);
  for (int k0 = 0, buf = 0; k0 < k; k0 += 16, buf ^= 1) {
    if (k0 + 16 < k) { load(buf ^ 1, k0 + 16); asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory"); }
    else asm volatile("cp.async.wait_group 0;" ::: "memory");
    __syncthreads();
    uint32_t a0, a1, a2, a3, b0, b1;
    uint32_t pa = (uint32_t)__cvta_generic_to_shared(&as[buf][(lane & 15) * 16 + (lane >> 4) * 8]);
    uint32_t pb = (uint32_t)__cvta_generic_to_shared(&bs[buf][(lane & 7) * 16 + ((lane >> 3) & 1) * 8]);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(a0), "=r"(a1), "=r"(a2), "=r"(a3) : "r"(pa) : "memory");
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];" : "=r"(b0), "=r"(b1) : "r"(pb) : "memory");
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    __syncthreads();
  }
  d[g * 8 + 2 * t] = c[0]; d[g * 8 + 2 * t + 1] = c[1]; d[(g + 8) * 8 + 2 * t] = c[2]; d[(g + 8) * 8 + 2 * t + 1] = c[3];
}
extern "C" __global__ void mma_bf16(const uint16_t* a, const uint16_t* b, float* d, int k) { bf16_pipeline<1>(a, b, d, k); }

// A histogram with integer atomics, a maximum, and a count by ballot.
extern "C" __global__ void histogram(const uint32_t* __restrict__ x, uint32_t* bins, uint32_t* extremes, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  uint32_t v = i < n ? x[i] : 0;
  if (i < n) {
    atomicAdd(&bins[v & 15], 1u);
    atomicMin(&extremes[0], v);
    atomicMax(&extremes[1], v);
  }
  unsigned odd = __ballot_sync(0xffffffffu, i < n && (v & 1));
  if ((threadIdx.x & 31) == 0) atomicAdd(&extremes[2], (uint32_t)__popc(odd));
}

__constant__ float weights[4] = {1.f, 2.f, 3.f, 4.f};
__device__ __noinline__ float dial(float x, int n) {
  float own[8];
  for (int i = 0; i < 8; i++) own[i] = x * (float)i;
  return own[n & 7];
}
// The slow paths of the mathematical functions, a call, local and constant memory, a table of branches.
extern "C" __global__ void functions(const float* __restrict__ x, float* out, int n, int which) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float v = x[i], y = 0;
  switch (which) {
    case 0: y = logf(v); break;
    case 1: y = expf(v); break;
    case 2: y = sqrtf(v); break;
    case 3: y = sinf(v * 1000.f); break;
    case 4: y = powf(v, 1.7f); break;
    case 5: y = log1pf(v); break;
    case 6: y = (float)exp((double)v); break;
    case 7: y = v / 3.f; break;
    case 8: y = dial(v, i) + weights[i & 3]; break;
    case 9: y = rsqrtf(v); break;
  }
  out[i] = y;
}
