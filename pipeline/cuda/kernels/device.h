// What kernels use of a GPU, in one form for NVRTC and for the emulation, which g++ compiles.
//
// A kernel is `extern "C" __global__ void __launch_bounds__(threads) name(...) {...} KERNEL(name)`.
// Its arguments are numbers and pointers to the types below; sizes are arguments. Every thread of a
// block reaches every barrier and every shuffle: none returns before its last one.
#pragma once

typedef unsigned char Byte;
typedef unsigned short Half;
typedef unsigned Half2;  // two numbers of 16 bits, the first one below

#ifdef __CUDACC__
#define KERNEL(name)
#define ON_BOTH static __device__ __forceinline__

ON_BOTH Half2 halves(float first, float second) {
  Half2 both;
  asm("{.reg .f16 low, high;\n cvt.rn.f16.f32 low, %1;\n cvt.rn.f16.f32 high, %2;\n"
      " mov.b32 %0, {low, high};}"
      : "=r"(both)
      : "f"(first), "f"(second));
  return both;
}

ON_BOTH float2 floats(Half2 both) {
  float2 result;
  asm("{.reg .f16 low, high;\n mov.b32 {low, high}, %2;\n cvt.f32.f16 %0, low;\n"
      " cvt.f32.f16 %1, high;}"
      : "=f"(result.x), "=f"(result.y)
      : "r"(both));
  return result;
}

// c (16 x 8) += a (16 x 16) b (16 x 8) of a warp; a lane's part of each is as the PTX manual's
// "Matrix Fragments for mma.m16n8k16" says. sm_75 has it in halves only.
ON_BOTH void mma(float* c, const Half2* a, const Half2* b) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},"
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  for (int i = 0; i < 2; ++i)
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[2 * i]), "r"(a[2 * i + 1]), "r"(b[i]));
#endif
}
#else
#define ON_BOTH static inline
#include "emulation.h"
#endif

#include "pixel.h"

ON_BOTH int within(int i, int count) { return i < 0 ? 0 : i < count ? i : count - 1; }

// Of a pixel, its neighbours in an image of half the size: the near one has three quarters.
struct Pair {
  int near_, far_;
};
ON_BOTH Pair pair_of(int i, int low, int high) {
  const int near_ = i / 2, other = near_ + (i % 2 ? 1 : -1);
  const auto bounded = [&](int one) { return one < low ? low : one > high ? high : one; };
  return {bounded(near_), bounded(other)};
}

// Where a pixel of one image is among the pixels of another: first neighbour, share of the second.
struct Place {
  int first, second;
  float share;
};
ON_BOTH Place placed(float at, int count) {
  at = clamped(at, 0, count - 1.0f);
  const int first = int(at) < count - 2 ? int(at) : count > 1 ? count - 2 : 0;
  return {first, within(first + 1, count), at - first};
}
ON_BOTH Place placed(int i, int fine, int coarse) {
  return placed((i + 0.5f) * coarse / fine - 0.5f, coarse);
}
