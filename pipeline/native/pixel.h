// Arithmetic of single pixels: what the kernels in C++ and those in CUDA have in common.
#pragma once

#ifdef __CUDACC__  // one instruction of a GPU each; on a CPU a comparison is, and fminf is a call
ON_BOTH float least(float a, float b) { return fminf(a, b); }
ON_BOTH float most(float a, float b) { return fmaxf(a, b); }
#else
#ifndef ON_BOTH
#define ON_BOTH static inline
#endif
ON_BOTH float least(float a, float b) { return b < a ? b : a; }
ON_BOTH float most(float a, float b) { return a < b ? b : a; }
#endif

ON_BOTH float clamped(float value, float low, float high) { return least(most(value, low), high); }
ON_BOTH float mixed(float a, float b, float share) { return a + (b - a) * share; }

// Rounded; bounded among whole numbers, as compilers keep float comparisons out of vectors.
ON_BOTH unsigned char level(float value) {
  const int whole = int(value + 0.5f);
  return (unsigned char)(whole < 0 ? 0 : whole > 255 ? 255 : whole);
}

// An sRGB value of 0..255 whose linear light is multiplied; `gain` is raised to 1 / 2.4, see
// `encoded_gain` in pipeline/compositing/base.py.
ON_BOTH unsigned char lit(float value, float gain) {
  const float offset = least(value * (0.055f / 0.04045f), 0.055f * 255);
  return level((value + offset) * gain - offset);
}

ON_BOTH float luma_of(float b, float g, float r) { return 0.114f * b + 0.587f * g + 0.299f * r; }

// The person's share of the sum of four pixels' luma, by the coefficients of the matte.
ON_BOTH float matte_of(float a, float b, float four) {
  return least(most(a * four * (1 / 1020.0f) + b, 0.0f), 1.0f);
}
