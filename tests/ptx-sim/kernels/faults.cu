// Kernels with one planted fault each; tests/faults.rs says what is to be found.
typedef unsigned int uint32_t;

// Between warps: the barrier after the second write is missing.
extern "C" __global__ void missing_barrier(float* out) {
  __shared__ float s[64];
  s[threadIdx.x] = 0.f;
  __syncthreads();
  s[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = s[threadIdx.x ^ 32];
}
// Inside one warp: the same without __syncwarp.
extern "C" __global__ void missing_warp_barrier(float* out) {
  __shared__ float s[32];
  s[threadIdx.x] = 0.f;
  __syncwarp();
  s[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = s[threadIdx.x ^ 1];
}
// Before the first barrier there is nothing to read.
extern "C" __global__ void missing_first_barrier(float* out) {
  __shared__ float s[64];
  s[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = s[threadIdx.x ^ 32];
}
// The array is shorter than the block.
extern "C" __global__ void short_array(float* out) {
  __shared__ float s[48];
  s[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x];
}
// Half of the warp shuffles with a mask that names only that half's lower part.
extern "C" __global__ void bad_mask(float* out) {
  float v = threadIdx.x;
  out[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, v, 16);
}
// Reads before the group has landed.
extern "C" __global__ void too_few_groups(const float* x, float* out) {
  __shared__ __align__(16) float s[128];
  uint32_t p = (uint32_t)__cvta_generic_to_shared(&s[4 * threadIdx.x]);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(p), "l"(x + 4 * threadIdx.x) : "memory");
  asm volatile("cp.async.commit_group;" ::: "memory");
  asm volatile("cp.async.wait_group 1;" ::: "memory");
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x];
}
// Off by one at the end.
extern "C" __global__ void shifted_index(const float* x, float* out) { out[threadIdx.x] = x[threadIdx.x + 1]; }
// More threads than elements.
extern "C" __global__ void missing_guard(float* out) { out[blockIdx.x * blockDim.x + threadIdx.x] = 1.f; }
// Shared memory that nobody wrote.
extern "C" __global__ void unset_shared(float* out) {
  __shared__ float s[64];
  if (threadIdx.x < 32) s[threadIdx.x] = 1.f;
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x];
}
// Global memory that nobody wrote, and, after a free, memory that is gone.
extern "C" __global__ void copy(const float* x, float* out) { out[threadIdx.x] = x[threadIdx.x]; }
// All blocks write one word.
extern "C" __global__ void block_race(float* out) { if (threadIdx.x == 0) out[0] = blockIdx.x; }
// A block reads what its neighbour writes.
extern "C" __global__ void block_race_read(float* x) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i > 0) x[i] = x[i - 1] + 1.f;
}
// Half of a block never comes to the barrier.
extern "C" __global__ void divergent_barrier(float* out) {
  if (threadIdx.x < 16) __syncthreads();
  out[threadIdx.x] = 1.f;
}
extern "C" __global__ void endless(volatile int* flag) { while (*flag == 0) {} }
extern "C" __global__ void misaligned(char* x) { *(float*)(x + 2) = 1.f; }
