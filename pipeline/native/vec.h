// GCC's and Clang's portable vectors. They need no alignment beyond a float's, so that they can be
// read from anywhere in an array.
#pragma once

typedef float Vec4 __attribute__((vector_size(16), aligned(4)));
typedef float Vec8 __attribute__((vector_size(32), aligned(4)));  // one AVX register, two of NEON

static inline const Vec4& vec4(const float* p) { return *reinterpret_cast<const Vec4*>(p); }
static inline Vec4& vec4(float* p) { return *reinterpret_cast<Vec4*>(p); }
static inline const Vec8& vec8(const float* p) { return *reinterpret_cast<const Vec8*>(p); }
static inline Vec8& vec8(float* p) { return *reinterpret_cast<Vec8*>(p); }
