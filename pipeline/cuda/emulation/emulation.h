// Runs kernels on a CPU: a block's threads are fibers that take turns at barriers and shuffles, in
// an order that is chosen; blocks are shared among threads of the CPU. driver.cpp launches them.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static thread_local
#define __launch_bounds__(threads) __attribute__((noinline))
#define __restrict__
#define threadIdx (emulation::block->thread)
#define blockIdx (emulation::block->index)

struct float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

namespace emulation {

struct Index {
  unsigned x, y, z;
};

struct Barrier {
  unsigned arrived = 0, round = 0, count = 0;
};

struct Warp {
  Barrier barrier;
  uint64_t slots[2][32];  // of this shuffle and of the next
  Half2 a[32][4], b[32][2];
  float product[16][8];
};

struct Fiber {
  ucontext_t start;
  jmp_buf here;
  bool begun = false, ended = false;
};

// One block at a time, of one kernel.
class Block {
 public:
  Block(Index size, std::function<void()> body, int order);
  void run(Index at);

  Index index, thread;  // of the block, and of its thread that has its turn
  unsigned now = 0;     // that thread's number
  Barrier all;
  std::vector<Warp> warps;

  template <class F> void meet(Barrier& barrier, F last) {
    const unsigned round = barrier.round;
    if (++barrier.arrived == barrier.count)
      last(), barrier.arrived = 0, ++barrier.round, ++progress_;
    else
      while (barrier.round == round) others();
  }

 private:
  static constexpr size_t STACK = 1 << 16;
  Index size_;
  std::function<void()> body_;
  std::vector<Fiber> fibers_;
  std::unique_ptr<char[]> stacks_;
  std::vector<unsigned> turns_;
  jmp_buf home_;
  ucontext_t unused_;
  unsigned progress_ = 0, left_ = 0;  // barriers and ends; threads that have not ended
  bool hasty_ = false;

  void turn(unsigned thread);

  static void enter();
  void others() {
    if (!_setjmp(fibers_[now].here)) _longjmp(home_, 1);
  }
};

inline thread_local Block* block;

struct Kernel {
  std::vector<size_t> sizes;  // of its arguments, in bytes
  std::function<void(void* const*)> call;
};

inline std::map<std::string, Kernel>& kernels() {
  static std::map<std::string, Kernel> all;
  return all;
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void* const* arguments, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_cv_t<A>*>(arguments[I])...);
}

struct Registered {
  template <class... A> Registered(const char* name, void (*kernel)(A...)) {
    kernels()[name] = {{sizeof(A)...}, [kernel](void* const* arguments) {
                         call(kernel, arguments, std::index_sequence_for<A...>());
                       }};
  }
};

template <class T> T shuffled(T value, unsigned from) {
  Warp& warp = block->warps[block->now / 32];
  uint64_t* slots = warp.slots[warp.barrier.round % 2];
  memcpy(&slots[block->now % 32], &value, sizeof value);
  block->meet(warp.barrier, [] {});
  memcpy(&value, &slots[from], sizeof value);
  return value;
}

inline float wide(unsigned both, int which) {
  _Float16 values[2];
  memcpy(values, &both, 4);
  return float(values[which]);
}

inline void multiply(Warp& warp) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 2; ++i) {
      for (int r = 0; r < 4; ++r)
        a[lane / 4 + r % 2 * 8][lane % 4 * 2 + i + r / 2 * 8] = wide(warp.a[lane][r], i);
      for (int r = 0; r < 2; ++r) b[lane % 4 * 2 + i + r * 8][lane / 4] = wide(warp.b[lane][r], i);
    }
  for (int y = 0; y < 16; ++y) {
    float sum[8] = {};
    for (int k = 0; k < 16; ++k)
      for (int x = 0; x < 8; ++x) sum[x] += a[y][k] * b[k][x];
    memcpy(warp.product[y], sum, sizeof sum);
  }
}

}  // namespace emulation

#define KERNEL(name) static const emulation::Registered registered_##name(#name, name);

inline void __syncthreads() {
  emulation::block->meet(emulation::block->all, [] {});
}
inline void __syncwarp(unsigned = ~0u) { emulation::shuffled(0, 0); }
template <class T> T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
  return emulation::shuffled(value, emulation::block->now % 32 ^ unsigned(mask));
}
template <class T> T __shfl_up_sync(unsigned, T value, unsigned by, unsigned width = 32) {
  const unsigned lane = emulation::block->now % 32;
  return emulation::shuffled(value, lane % width < by ? lane : lane - by);
}
template <class T> T __shfl_sync(unsigned, T value, unsigned from, unsigned width = 32) {
  return emulation::shuffled(value, emulation::block->now % 32 / width * width + from % width);
}
template <class T> T atomicAdd(T* to, T value) {
  return __atomic_fetch_add(to, value, __ATOMIC_RELAXED);
}

inline Half2 halves(float first, float second) {
  const _Float16 values[2] = {_Float16(first), _Float16(second)};
  Half2 both;
  memcpy(&both, values, 4);
  return both;
}
inline float2 floats(Half2 both) { return {emulation::wide(both, 0), emulation::wide(both, 1)}; }

inline void mma(float* c, const Half2* a, const Half2* b) {
  emulation::Warp& warp = emulation::block->warps[emulation::block->now / 32];
  const unsigned lane = emulation::block->now % 32;
  memcpy(warp.a[lane], a, sizeof warp.a[lane]), memcpy(warp.b[lane], b, sizeof warp.b[lane]);
  emulation::block->meet(warp.barrier, [&] { emulation::multiply(warp); });
  for (unsigned i = 0; i < 4; ++i) c[i] += warp.product[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}
