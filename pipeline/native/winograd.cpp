// What Winograd's F(4x4, 3x3) does before and after its matrix products, float32. Plain torch says
// the same in pipeline/engines/paper/convolution.py, which is what these are tested against.
//
// Images are (H, W, C), contiguous, C a multiple of 16. A band of tiles begins at row `top`; tiles
// are numbered by tile row, line within it, tile, pixel within it: those of a dilated convolution
// are interleaved. Everything runs on the caller's thread.
#include <cstdint>
#include <vector>

#include "vec.h"

using Vec = Vec8;

// Calls f(number, row, column) for each tile of a band: its first output pixel.
template <class F>
static void tiles(int64_t count, int64_t top, int64_t width, int64_t d, const F& f) {
  int64_t n = 0;
  for (int64_t row = top; n < count; row += 4 * d)
    for (int64_t line = 0; line < d; ++line)
      for (int64_t left = 0; left < width; left += 4 * d)
        for (int64_t pixel = 0; pixel < d; ++pixel) f(n++, row + line, left + pixel);
}

// The six sums of Lavin and Gray (2016, section 4.3) of six neighbours `step` apart.
static void to_inputs(Vec* v, int64_t step) {
  const Vec a = v[0], b = v[step], c = v[2 * step], d = v[3 * step], e = v[4 * step];
  const Vec even = e - 4 * c, odd = d - 4 * b, near = e - c, far = 2 * (d - b);
  v[0] = 4 * a - 5 * c + e;
  v[step] = even + odd;
  v[2 * step] = even - odd;
  v[3 * step] = near + far;
  v[4 * step] = near - far;
  v[5 * step] = 4 * b - 5 * d + v[5 * step];
}

static void to_outputs(Vec* v, int64_t step) {
  const Vec sum = v[step] + v[2 * step], off = v[step] - v[2 * step];
  const Vec sum2 = v[3 * step] + v[4 * step], off2 = v[3 * step] - v[4 * step];
  v[0] = v[0] + sum + sum2;
  v[step] = off + 2 * off2;
  v[2 * step] = sum + 4 * sum2;
  v[3 * step] = off + 8 * off2 + v[5 * step];
}

// From an image (height, width, channels) to (36, count, C), whose planes are `plane` apart: what
// is outside the image is 0.
extern "C" void winograd_inputs(const float* from, int64_t height, int64_t width, int64_t channels,
                                const float* factor, int64_t top, int64_t d, float* to,
                                int64_t plane, int64_t count) {
  const std::vector<float> nothing(channels, 0.f);
  tiles(count, top, width, d, [&](int64_t n, int64_t row, int64_t column) {
    const float* places[36];
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j) {
        const int64_t y = row + (i - 1) * d, x = column + (j - 1) * d;
        const bool inside = y >= 0 && y < height && x >= 0 && x < width;
        places[6 * i + j] = inside ? from + (y * width + x) * channels : nothing.data();
      }
    for (int64_t c = 0; c < channels; c += 16) {  // a cache line of each plane
      Vec v[2][36];
      for (int half = 0; half < 2; ++half) {
        for (int k = 0; k < 36; ++k) v[half][k] = vec8(places[k] + c + 8 * half);
        for (int k = 0; k < 6; ++k) to_inputs(v[half] + k, 6);
        for (int k = 0; k < 6; ++k) to_inputs(v[half] + 6 * k, 1);
      }
      for (int k = 0; k < 36; ++k)
        for (int half = 0; half < 2; ++half) {
          const int64_t at = c + 8 * half;
          vec8(to + k * plane + n * channels + at) =
              factor ? v[half][k] * vec8(factor + at) : v[half][k];
        }
    }
  });
}

// From (36, count, C), whose planes are `plane` apart, to an image's rows from `top` on.
extern "C" void winograd_outputs(const float* from, int64_t plane, int64_t count, const float* add,
                                 int64_t top, int64_t d, float* to, int64_t width,
                                 int64_t channels) {
  tiles(count, top, width, d, [&](int64_t n, int64_t row, int64_t column) {
    for (int64_t c = 0; c < channels; c += 16) {
      Vec v[2][36];
      for (int k = 0; k < 36; ++k)
        for (int half = 0; half < 2; ++half)
          v[half][k] = vec8(from + k * plane + n * channels + c + 8 * half);
      for (int half = 0; half < 2; ++half) {
        const int64_t at = c + 8 * half;
        for (int k = 0; k < 6; ++k) to_outputs(v[half] + k, 6);
        for (int i = 0; i < 4; ++i) {
          to_outputs(v[half] + 6 * i, 1);
          for (int j = 0; j < 4; ++j)
            vec8(to + ((row + i * d) * width + column + j * d) * channels + at) =
                add ? v[half][6 * i + j] + vec8(add + at) : v[half][6 * i + j];
        }
      }
    }
  });
}
