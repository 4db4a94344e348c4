// Convolutions on tensor cores. Images are (N, H + 2, W + 2, C) halves, channels last in multiples
// of 16, with a border of zeros; sides of outputs are multiples of 16, so that blocks have all of
// their pixels.
#include "device.h"

enum { ADD = 1, POSITIVE = 2, FILM = 4 };

// Multiplies 16 pixels of a row, TILES groups of 8 outputs, by a warp. A lane's four channels of a
// step lie side by side: which of a step's 16 channels is which row of the fragments is free, as
// long as the weights agree (`packed_halves` in cuda_layers.py).
template <int TILES>
ON_BOTH void convolve(const uint2* input, const uint2* weight, const float* bias, const Half2* add,
                      const float* film, Half2* output, int side, int inputs, int outputs,
                      int kernel, int stride, int split, int flags,
                      float (*partial)[4 * TILES][32]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, pixel = lane / 4, t = lane % 4;
  const int part = warp % split, place = 16 * (blockIdx.x * (4 / split) + warp / split);
  const int x = place % side, y = place / side % side;
  const int image = place / side / side, first = blockIdx.y * TILES;  // group of 8 outputs

  const int from_side = side * stride + 2, words = inputs / 4, border = 1 - kernel / 2;
  const uint2* corner =
      input +
      ((image * from_side + y * stride + border) * from_side + (x + pixel) * stride + border) *
          words +
      t;
  const int steps = inputs / 16, all = kernel * kernel * steps, lower = 8 * stride * words;
  const int begin = all * part / split, end = all * (part + 1) / split;
  const uint2* of_weight = weight + (first * all + begin) * 32 + lane;

  float sum[TILES][4] = {};
  int tap = begin / steps, step = begin % steps;
#pragma unroll 2
  for (int i = begin; i < end; ++i, of_weight += 32) {
    const uint2* from = corner + (tap / kernel * from_side + tap % kernel) * words + 4 * step;
    const uint2 upper = from[0], under = from[lower];
    const Half2 a[4] = {upper.x, under.x, upper.y, under.y};
#pragma unroll
    for (int n = 0; n < TILES; ++n) {
      const uint2 both = of_weight[n * all * 32];
      const Half2 b[2] = {both.x, both.y};
      mma(sum[n], a, b);
    }
    if (++step == steps) step = 0, ++tap;
  }
  if (split > 1) {  // the warps of a piece have done a part of its steps each
#pragma unroll
    for (int n = 0; n < 4 * TILES; ++n) partial[warp][n][lane] = sum[n / 4][n % 4];
    __syncthreads();
    if (part) return;  // the last barrier is behind
    for (int other = 1; other < split; ++other)
#pragma unroll
      for (int n = 0; n < 4 * TILES; ++n) sum[n / 4][n % 4] += partial[warp + other][n][lane];
  }
  Half2* row = output + ((image * (side + 2) + y + 1) * (side + 2) + x + 1) * (outputs / 2);
#pragma unroll
  for (int n = 0; n < TILES; ++n)
    for (int half = 0; half < 2; ++half) {
      const int channel = 8 * (first + n) + 2 * t, to = (pixel + 8 * half) * (outputs / 2);
      float one = sum[n][2 * half] + bias[channel];
      float two = sum[n][2 * half + 1] + bias[channel + 1];
      if (flags & ADD) {
        const float2 more = floats(add[row - output + to + channel / 2]);
        one += more.x, two += more.y;
      }
      if (flags & POSITIVE) one = most(one, 0), two = most(two, 0);
      if (flags & FILM) {
        one = one * (1 + film[channel]) + film[outputs + channel];
        two = two * (1 + film[channel + 1]) + film[outputs + channel + 1];
      }
      row[to + channel / 2] = halves(one, two);
    }
}

// weight: (outputs / 8, kernel^2 inputs / 16, 32 lanes, 4) halves; add: of the output's shape;
// film: scale less 1 and shift of each output. split: 1, 2 or 4 warps share a piece of 16 pixels.
extern "C" __global__ void __launch_bounds__(128)
    convolve_16(const uint2* input, const uint2* weight, const float* bias, const Half2* add,
                const float* film, Half2* output, int side, int inputs, int outputs, int kernel,
                int stride, int split, int flags) {
  __shared__ float partial[4][8][32];
  convolve<2>(input, weight, bias, add, film, output, side, inputs, outputs, kernel, stride, split,
              flags, partial);
}
KERNEL(convolve_16)

// The same, of 32 outputs a warp.
extern "C" __global__ void __launch_bounds__(128)
    convolve_32(const uint2* input, const uint2* weight, const float* bias, const Half2* add,
                const float* film, Half2* output, int side, int inputs, int outputs, int kernel,
                int stride, int split, int flags) {
  __shared__ float partial[4][16][32];
  convolve<4>(input, weight, bias, add, film, output, side, inputs, outputs, kernel, stride, split,
              flags, partial);
}
KERNEL(convolve_32)

// Bilinear enlargement to twice the side, plus `add` where there is any: (N, S + 2, S + 2, C) to
// (N, 2 S + 2, 2 S + 2, C).
extern "C" __global__ void __launch_bounds__(256)
    enlarge(const Half2* input, const Half2* add, Half2* output, int count, int side, int channels,
            int added) {
  const int words = channels / 2, i = blockIdx.x * 256 + threadIdx.x, big = 2 * side;
  if (i >= count * big * big * words) return;
  const int c = i % words, x = i / words % big, y = i / words / big % big;
  const int image = i / words / big / big;
  const Pair across = pair_of(x, 0, side - 1), down = pair_of(y, 0, side - 1);
  const Half2* rows = input + image * (side + 2) * (side + 2) * words + c;
  const auto at = [&](int v, int u) {
    return floats(rows[((v + 1) * (side + 2) + u + 1) * words]);
  };
  const float2 near_ = at(down.near_, across.near_), beside = at(down.near_, across.far_);
  const float2 above = at(down.far_, across.near_), opposite = at(down.far_, across.far_);
  float one = (9 * near_.x + 3 * (beside.x + above.x) + opposite.x) / 16;
  float two = (9 * near_.y + 3 * (beside.y + above.y) + opposite.y) / 16;
  const int to = ((image * (big + 2) + y + 1) * (big + 2) + x + 1) * words + c;
  if (added) {
    const float2 more = floats(add[to]);
    one += more.x, two += more.y;
  }
  output[to] = halves(one, two);
}
KERNEL(enlarge)
