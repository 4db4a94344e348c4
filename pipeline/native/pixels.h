// Rows of interleaved pixels to one array a channel and back, in loops that compilers turn into
// vector instructions.
#pragma once
#include <cstdint>

static inline void split(const uint8_t* __restrict bgr, int64_t count, uint8_t* __restrict b,
                         uint8_t* __restrict g, uint8_t* __restrict r) {
  for (int64_t x = 0; x < count; ++x)
    b[x] = bgr[3 * x], g[x] = bgr[3 * x + 1], r[x] = bgr[3 * x + 2];
}

static inline void merge(const uint8_t* __restrict b, const uint8_t* __restrict g,
                         const uint8_t* __restrict r, int64_t count, uint8_t* __restrict bgr) {
  for (int64_t x = 0; x < count; ++x)
    bgr[3 * x] = b[x], bgr[3 * x + 1] = g[x], bgr[3 * x + 2] = r[x];
}
