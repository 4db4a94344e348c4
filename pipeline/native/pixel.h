// Arithmetic of single pixels: what the kernels in C++ and those in CUDA have in common.
#pragma once

// One instruction of a GPU each; on a CPU comparisons are, and fminf is a call. What is no number
// (the first one alone may be) gives the other.
#ifdef __CUDACC__
ON_BOTH float least(float a, float b) { return fminf(a, b); }
ON_BOTH float most(float a, float b) { return fmaxf(a, b); }
#else
#ifndef ON_BOTH
#define ON_BOTH static inline
#endif
ON_BOTH float least(float a, float b) { return a < b ? a : b; }
ON_BOTH float most(float a, float b) { return a > b ? a : b; }
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

// Of a detail, what counts as noise (Gao 1998, the non-negative garrote's complement).
ON_BOTH float noise_of(float detail, float square) {
  const float size = detail < 0 ? -detail : detail, part = least(size, square / most(size, 1e-3f));
  return detail < 0 ? -part : part;
}

ON_BOTH short rounded(float value) { return short(int(value + 32768.5f) - 32768); }

// Y, Cr and Cb of 0..255, of sums of four pixels.
struct Ycc {
  unsigned char y, cr, cb;
};
ON_BOTH Ycc ycc_of_sums(float b, float g, float r) {
  const float y = luma_of(b / 4, g / 4, r / 4);
  return {(unsigned char)int(y + 0.5f), (unsigned char)int((0.25f * r - y) * 0.713f + 128.5f),
          (unsigned char)int((0.25f * b - y) * 0.564f + 128.5f)};
}

// What changes of Y, and Cr and Cb less 128, make of blue, green and red.
struct Bgr {
  float b, g, r;
};
ON_BOTH Bgr bgr_change(float y, float cr, float cb) {
  return {y + 1.773f * cb, y - 0.714f * cr - 0.344f * cb, y + 1.403f * cr};
}

// A place of 0..count - 1 in sixteenths.
ON_BOTH int sixteenths(float place, int count) {
  const int at = int(place * 16 + 32768.5f) - 32768, last = 16 * (count - 1);
  return at < 0 ? 0 : at > last ? last : at;
}
