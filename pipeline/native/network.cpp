// The network's hot parts on a CPU, float32, one image at a time. Plain torch says the same in
// pipeline/engines/triplane/network/model.py, which is what these are tested against.
//
// Images are (N, H + 2, W + 2, C): channels last, so that a pixel's channels are contiguous, with
// a border of one pixel of zeros, so that no convolution asks where the image ends. What is
// written has a multiple of 16 channels. network.py checks what comes in.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "vec.h"
#include "workers.h"

using Vec = Vec8;
static Vec relu(Vec v) { return v > 0 ? v : Vec{}; }

struct Image {  // as network.py passes it; height and width are without the border
  float* data;
  int64_t count, height, width, channels;
  int64_t row() const { return (width + 2) * channels; }
  float* at(int64_t n, int64_t y, int64_t x) const {
    return data + (n * (height + 2) + y + 1) * row() + (x + 1) * channels;
  }
};

// 16 output channels of P neighbouring pixels: 2 P sums, which stay in registers.
template <int P>
static void tile(const float* in, int64_t step, int64_t row, int64_t channels, int64_t kernel,
                 const float* weight, const float* bias, const float* add, bool positive,
                 float* out, int64_t outputs) {
  Vec sum[P][2];
  for (int p = 0; p < P; ++p)
    for (int half = 0; half < 2; ++half) {
      sum[p][half] = vec8(bias + 8 * half);
      if (add) sum[p][half] += vec8(add + p * outputs + 8 * half);
    }
  for (int64_t y = 0; y < kernel; ++y)
    for (int64_t i = 0; i < kernel * channels; ++i, weight += 16) {  // a row's taps are contiguous
      const Vec left = vec8(weight), right = vec8(weight + 8);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const float tap = in[y * row + p * step + i];
        sum[p][0] += tap * left;
        sum[p][1] += tap * right;
      }
    }
  for (int p = 0; p < P; ++p)
    for (int half = 0; half < 2; ++half)
      vec8(out + p * outputs + 8 * half) = positive ? relu(sum[p][half]) : sum[p][half];
}

// 1x1 or 3x3; weights are (outputs / 16, kernel, kernel, channels, 16); widths are even, 4 at
// least.
extern "C" void convolve(const Image* input, const float* weights, int64_t kernel,
                         const float* biases, int64_t stride, const float* adds, int64_t positive,
                         const Image* output) {
  const Image in = *input, out = *output;
  const int64_t reach = kernel / 2;
  for_all(out.count * out.height, [&](int64_t line) {
    const int64_t n = line / out.height, y = line % out.height;
    for (int64_t o = 0; o < out.channels; o += 16)
      for (int64_t x = 0, pixels; x < out.width; x += pixels) {
        pixels = (out.width - x) % 6 ? 4 : 6;
        float* to = out.at(n, y, x) + o;
        (pixels == 6 ? tile<6> : tile<4>)(in.at(n, y * stride - reach, x * stride - reach),
                                          stride * in.channels, in.row(), in.channels, kernel,
                                          weights + o * kernel * kernel * in.channels, biases + o,
                                          adds ? adds + (to - out.data) : nullptr, positive, to,
                                          out.channels);
      }
  });
}

// Bilinear, to twice the side, plus `add`.
extern "C" void doubled(const Image* input, const float* adds, const Image* output) {
  const Image in = *input, out = *output;
  for_all(out.count * out.height, [&](int64_t line) {
    const int64_t n = line / out.height, y = line % out.height;
    const int64_t far_y = std::clamp<int64_t>(y / 2 + (y % 2 ? 1 : -1), 0, in.height - 1);
    for (int64_t x = 0; x < out.width; ++x) {
      const int64_t far_x = std::clamp<int64_t>(x / 2 + (x % 2 ? 1 : -1), 0, in.width - 1);
      const float *a = in.at(n, y / 2, x / 2), *b = in.at(n, y / 2, far_x);
      const float *c = in.at(n, far_y, x / 2), *d = in.at(n, far_y, far_x);
      float* to = out.at(n, y, x);
      for (int64_t i = 0; i < out.channels; i += 8) {
        Vec sum = (vec8(a + i) * 9 + (vec8(b + i) + vec8(c + i)) * 3 + vec8(d + i)) / 16;
        vec8(to + i) = adds ? sum + vec8(adds + (to - out.data) + i) : sum;
      }
    }
  });
}

// The four cells around a place in -1..1, and their shares.
struct Taps {
  const float* cell[4];
  float share[4];
  Taps(const Image& in, int64_t n, float x, float y) {
    x = std::clamp((x + 1) * in.width / 2 - 0.5f, 0.0f, in.width - 1.0f);
    y = std::clamp((y + 1) * in.height / 2 - 0.5f, 0.0f, in.height - 1.0f);
    const int64_t left = x, top = y;
    const float right = x - left, below = y - top;
    for (int i = 0; i < 4; ++i) {
      cell[i] = in.at(n, top + i / 2, left + i % 2);
      share[i] = (i % 2 ? right : 1 - right) * (i / 2 ? below : 1 - below);
    }
  }
};

// What the image has at places (M, 2), into the pixels of `output` in order, from channel `first`.
extern "C" void gather(const Image* input, const float* place, int64_t first, const Image* output) {
  const Image in = *input, out = *output;
  for_all(out.count * out.height, [&](int64_t line) {
    for (int64_t x = 0; x < out.width; ++x) {
      const int64_t m = 2 * (line * out.width + x);
      const Taps taps(in, 0, place[m], place[m + 1]);
      float* to = out.at(line / out.height, line % out.height, x) + first;
      for (int64_t i = 0; i < in.channels; i += 8) {
        Vec sum{};
        for (int t = 0; t < 4; ++t) sum += taps.share[t] * vec8(taps.cell[t] + i);
        vec8(to + i) = sum;
      }
    }
  });
}

// Rays through the planes. Of each sample of 16 numbers, number `density` of `albedo` is the
// density before its softplus. camera: (3, 3) rotation, scale, shift x and y; depths: coarse
// samples and offsets of the fine ones. Writes to each of the rays' 48 channels: albedo and shading
// features of 16, depth, coarse depth, opacity.
extern "C" void render(const Image* albedo_planes, const Image* shading_planes, const float* r,
                       const float* coarse, int64_t coarse_count, const float* offset,
                       int64_t fine_count, double half, int64_t density, double bias,
                       const Image* output) {
  const Image albedo = *albedo_planes, shading = *shading_planes, out = *output;
  const float far = coarse[coarse_count - 1], unit = 1 / half, base = bias;
  const float coarse_step = 10 * (coarse[0] - coarse[1]), fine_step = 10 * (offset[0] - offset[1]);
  const auto passes = [&](float value, float step) {  // the share of light that passes a sample
    return std::exp(-step * std::log(1 + std::exp(std::min(value + base, 80.0f))));
  };
  for_all(out.height, [&](int64_t row) {
    for (int64_t column = 0; column < out.width; ++column) {
      const float u = ((2 * column + 1.0f) / out.width - 1 - r[10]) / r[9];
      const float v = ((2 * row + 1.0f) / out.height - 1 - r[11]) / r[9];
      const auto sampled = [&](float depth, auto&& taken) {
        float p[3];
        for (int i = 0; i < 3; ++i) p[i] = (u * r[i] - v * r[3 + i] + depth * r[6 + i]) * unit;
        const float places[3][2] = {{p[0], -p[1]}, {p[2], -p[1]}, {p[0], -p[2]}};
        for (int n = 0; n < 3; ++n) {
          const Taps taps(albedo, n, places[n][0], places[n][1]);
          for (int t = 0; t < 4; ++t) taken(taps.share[t], taps.cell[t]);
        }
      };
      float reaching = 1, mean = 0;
      for (int64_t k = 0; k < coarse_count; ++k) {
        float value = 0;
        sampled(coarse[k], [&](float s, const float* cell) { value += s * cell[density]; });
        const float passed = reaching * passes(value, coarse_step);
        mean += (reaching - passed) * coarse[k];
        reaching = passed;
      }
      const float opacity = 1 - reaching;
      const float centre = (mean + far * 1e-3f) / (opacity + 1e-3f);
      Vec features[8][4] = {};
      float share[8], total = 0;
      reaching = 1;
      for (int64_t k = 0; k < fine_count; ++k) {
        Vec sum[4] = {};
        sampled(centre + offset[k], [&](float s, const float* cell) {
          const float* lit = shading.data + (cell - albedo.data);
          for (int i = 0; i < 2; ++i) sum[i] += s * vec8(cell + 8 * i);
          for (int i = 0; i < 2; ++i) sum[2 + i] += s * vec8(lit + 8 * i);
        });
        std::copy(sum, sum + 4, features[k]);
        const float passed = reaching * passes(sum[density / 8][density % 8], fine_step);
        total += share[k] = reaching - passed;
        reaching = passed;
      }
      const float rest = (1 - total / (total + 1e-3f)) / fine_count;
      Vec seen[4] = {};
      float depth = 0;
      for (int64_t k = 0; k < fine_count; ++k) {
        const float part = share[k] / (total + 1e-3f) + rest;
        depth += part * (centre + offset[k]);
        for (int i = 0; i < 4; ++i) seen[i] += part * features[k][i];
      }
      float* to = out.at(0, row, column);
      for (int i = 0; i < 4; ++i) vec8(to + 8 * i) = seen[i];
      to[32] = depth, to[33] = centre, to[34] = opacity;
    }
  });
}

extern "C" void threads(int64_t count) { Workers::instance().resize(int(count) - 1); }
