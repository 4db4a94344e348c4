// Layers of small networks in TensorFlow Lite's format. They take so little arithmetic that a card
// waits for launches and memory, not for products: floats, and as few launches as may be. Images
// are (H, W, C) floats, C a multiple of 4, without a border; weights of dense layers, of which 1 x
// 1 convolutions are one a pixel, are (inputs / 4, outputs, 4). What is negative is multiplied by
// the slope of its channel (1: no activation, 0: ReLU), or HARD_SWISH is applied.
#include "device.h"

enum { HARD_SWISH = 1, GATED = 2, ADDED = 4, POOLED = 8 };
enum { TAKEN = 640 };  // of four channels each, that a block takes at most

ON_BOTH float activated(float value, float slope, int flags) {
  if (flags & HARD_SWISH) return value * clamped(value + 3, 0, 6) * (1 / 6.0f);
  return value < 0 ? value * slope : value;
}
ON_BOTH float4 activated(float4 value, float4 slope, int flags) {
  return {activated(value.x, slope.x, flags), activated(value.y, slope.y, flags),
          activated(value.z, slope.z, flags), activated(value.w, slope.w, flags)};
}
ON_BOTH float4 plus(float4 a, float4 b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }
ON_BOTH float4 times(float4 a, float4 b) { return {a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w}; }
ON_BOTH float4 scaled(float a, float4 b) { return {a * b.x, a * b.y, a * b.z, a * b.w}; }
ON_BOTH float dot(float4 a, float4 b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }

// What a layer takes of a pixel: as it is, times a gate of each channel, plus another image.
struct Plain {
  const float4 *image, *gate, *more;
  int words, flags;
};
ON_BOTH float4 taken_of(const Plain& of, int pixel, int c) {
  float4 value = of.image[pixel * of.words + c];
  if (of.flags & GATED) value = times(value, of.gate[c]);
  return of.flags & ADDED ? plus(value, of.more[pixel * of.words + c]) : value;
}

// Of a gated image of half the size, enlarged bilinearly.
struct Enlarged {
  const float4 *image, *gate;
  int height, width, words, flags;
};
ON_BOTH float4 taken_of(const Enlarged& of, int pixel, int c) {
  const int half = of.width / 2;
  const Pair across = pair_of(pixel % of.width, 0, half - 1);
  const Pair down = pair_of(pixel / of.width, 0, of.height / 2 - 1);
  const auto from = [&](int y, int x) { return of.image[(y * half + x) * of.words + c]; };
  const auto row = [&](int y) {
    return plus(scaled(0.75f, from(y, across.near_)), scaled(0.25f, from(y, across.far_)));
  };
  const float4 value = plus(scaled(0.75f, row(down.near_)), scaled(0.25f, row(down.far_)));
  return of.flags & GATED ? times(value, of.gate[c]) : value;
}

// A convolution of each channel by itself, and its activation; `before`: rows of zeros above.
template <int KERNEL> struct Depthwise {
  const float4 *image, *weight, *bias, *slope;
  int from_height, from_width, width, words, stride, before, flags;
};
template <int KERNEL> ON_BOTH float4 taken_of(const Depthwise<KERNEL>& of, int pixel, int c) {
  const int top = pixel / of.width * of.stride - of.before;
  const int left = pixel % of.width * of.stride - of.before;
  float4 sum = of.bias[c];
#pragma unroll(KERNEL == 3 ? 3 : 1)
  for (int i = 0; i < KERNEL; ++i)
#pragma unroll
    for (int j = 0; j < KERNEL; ++j) {
      const int y = top + i, x = left + j;
      if (y >= 0 && y < of.from_height && x >= 0 && x < of.from_width)
        sum = plus(sum, times(of.weight[(i * KERNEL + j) * of.words + c],
                              of.image[(y * of.from_width + x) * of.words + c]));
    }
  return activated(sum, of.slope[c], of.flags);
}

// A dense layer of what `gather` takes: 4 pixels of one output a thread. What is added before the
// activation has the first `kept` channels alone, and where it is POOLED twice the size, of whose
// 2 x 2 pixels the largest counts. groups: of 4 pixels, of a block; blockIdx.y: of 128 outputs.
template <class Gather>
ON_BOTH void mix(const Gather& gather, const float4* weight, const float* bias, const float* slope,
                 const float* residual, float* output, int pixels, int width, int words,
                 int outputs, int groups, int kept, int flags, float4* taken) {
  const int first = blockIdx.x * 4 * groups;
#pragma unroll 1
  for (int i = threadIdx.x; i < 4 * groups * words; i += 128) {
    const int pixel = first + i / words;
    taken[i] = pixel < pixels ? taken_of(gather, pixel, i % words) : float4{};
  }
  __syncthreads();
  const int each = outputs < 128 ? outputs : 128, group = threadIdx.x / each;
  const int to = blockIdx.y * 128 + threadIdx.x % each;
  if (group >= groups || to >= outputs) return;  // the last barrier is behind
  const float4* from = taken + 4 * group * words;
  float sum[4] = {};
#pragma unroll 2
  for (int c = 0; c < words; ++c) {
    const float4 factor = weight[c * outputs + to];
#pragma unroll
    for (int p = 0; p < 4; ++p) sum[p] += dot(factor, from[p * words + c]);
  }
#pragma unroll
  for (int p = 0; p < 4; ++p) {
    const int pixel = first + 4 * group + p;
    if (pixel >= pixels) continue;
    float value = sum[p] + bias[to];
    if (to < kept) {
      if (flags & POOLED) {
        const float* corner =
            residual + (4 * width * (pixel / width) + 2 * (pixel % width)) * kept + to;
        const float* under = corner + 2 * width * kept;
        value += most(most(corner[0], corner[kept]), most(under[0], under[kept]));
      } else {
        value += residual[pixel * kept + to];
      }
    }
    output[pixel * outputs + to] = activated(value, slope[to], flags);
  }
}

extern "C" __global__ void __launch_bounds__(128)
    mix_plain(const float4* image, const float4* gate, const float4* more, const float4* weight,
              const float* bias, const float* slope, const float* residual, float* output,
              int pixels, int width, int inputs, int outputs, int groups, int kept, int flags) {
  __shared__ float4 taken[TAKEN];
  const Plain gather = {image, gate, more, inputs / 4, flags};
  mix(gather, weight, bias, slope, residual, output, pixels, width, inputs / 4, outputs, groups,
      kept, flags, taken);
}
KERNEL(mix_plain)

extern "C" __global__ void __launch_bounds__(128)
    mix_enlarged(const float4* image, const float4* gate, const float4* weight, const float* bias,
                 const float* slope, const float* residual, float* output, int pixels, int width,
                 int inputs, int outputs, int groups, int kept, int flags) {
  __shared__ float4 taken[TAKEN];
  const Enlarged gather = {image, gate, pixels / width, width, inputs / 4, flags};
  mix(gather, weight, bias, slope, residual, output, pixels, width, inputs / 4, outputs, groups,
      kept, flags, taken);
}
KERNEL(mix_enlarged)

// Of a depthwise convolution, 3 x 3; own_flags: its own.
extern "C" __global__ void __launch_bounds__(128)
    mix_depthwise(const float4* image, const float4* own_weight, const float4* own_bias,
                  const float4* own_slope, int from_height, int from_width, int stride, int before,
                  int own_flags, const float4* weight, const float* bias, const float* slope,
                  const float* residual, float* output, int pixels, int width, int inputs,
                  int outputs, int groups, int kept, int flags) {
  __shared__ float4 taken[TAKEN];
  const Depthwise<3> gather = {image, own_weight, own_bias, own_slope, from_height, from_width,
                               width, inputs / 4, stride,   before,    own_flags};
  mix(gather, weight, bias, slope, residual, output, pixels, width, inputs / 4, outputs, groups,
      kept, flags, taken);
}
KERNEL(mix_depthwise)

// A depthwise convolution alone; ADDED: its own input is added after the activation.
template <int KERNEL>
ON_BOTH void depthwise(const float4* image, const float4* weight, const float4* bias,
                       const float4* slope, int from_height, int from_width, int stride, int before,
                       int flags, float4* output, int pixels, int width, int channels) {
  const int words = channels / 4, i = blockIdx.x * 128 + threadIdx.x;
  if (i >= pixels * words) return;
  const Depthwise<KERNEL> gather = {image, weight, bias,   slope,  from_height, from_width,
                                    width, words,  stride, before, flags};
  const float4 value = taken_of(gather, i / words, i % words);
  output[i] = flags & ADDED ? plus(value, image[i]) : value;
}

extern "C" __global__ void __launch_bounds__(128)
    depthwise_3(const float4* image, const float4* weight, const float4* bias, const float4* slope,
                int from_height, int from_width, int stride, int before, int flags, float4* output,
                int pixels, int width, int channels) {
  depthwise<3>(image, weight, bias, slope, from_height, from_width, stride, before, flags, output,
               pixels, width, channels);
}
KERNEL(depthwise_3)

extern "C" __global__ void __launch_bounds__(128)
    depthwise_5(const float4* image, const float4* weight, const float4* bias, const float4* slope,
                int from_height, int from_width, int stride, int before, int flags, float4* output,
                int pixels, int width, int channels) {
  depthwise<5>(image, weight, bias, slope, from_height, from_width, stride, before, flags, output,
               pixels, width, channels);
}
KERNEL(depthwise_5)

// The first layer: 3 x 3 at every other pixel of (2 H, 2 W, 3) bytes, blue first, which are taken
// as 0..1. weight: (9 places, red, green and blue, outputs).
extern "C" __global__ void __launch_bounds__(128)
    open_image(const Byte* image, const float4* weight, const float4* bias, const float4* slope,
               float4* output, int height, int width, int outputs, int flags) {
  const int words = outputs / 4, i = blockIdx.x * 128 + threadIdx.x;
  if (i >= height * width * words) return;
  const int c = i % words, x = i / words % width, y = i / words / width;
  float4 sum = bias[c];
#pragma unroll
  for (int place = 0; place < 9; ++place) {
    const int v = 2 * y + place / 3, u = 2 * x + place % 3;
    if (v >= 2 * height || u >= 2 * width) continue;
    const Byte* pixel = image + 3 * (v * 2 * width + u);
#pragma unroll
    for (int color = 0; color < 3; ++color)
      sum = plus(sum, scaled(float(pixel[2 - color]) * (1 / 255.0f),
                             weight[(3 * place + color) * words + c]));
  }
  output[i] = activated(sum, slope[c], flags);
}
KERNEL(open_image)

// One output of each of a dense layer's threads, of numbers that a block shares.
ON_BOTH float dense(const float4* from, const float4* weight, int words, int outputs, int to) {
  float sum = 0;
#pragma unroll 4
  for (int c = 0; c < words; ++c) sum += dot(from[c], weight[c * outputs + to]);
  return sum;
}

// How much of each channel passes, by the means of all (squeeze and excitation, Hu et al. 2018),
// in one block: mean of the image, plus another, dense layer and ReLU where it has `hidden`
// outputs, dense layer and sigmoid.
extern "C" __global__ void __launch_bounds__(1024)
    gate(const float4* image, const float4* more, const float4* first_weight,
         const float* first_bias, const float4* weight, const float* bias, float* output,
         int pixels, int inputs, int hidden, int outputs, int flags) {
  __shared__ float4 sums[1024];
  __shared__ float4 inner[32];
  const int words = inputs / 4, rows = 1024 / words;
  const int row = threadIdx.x / words, c = threadIdx.x % words;
  float4 sum = {};
  if (row < rows) {
#pragma unroll 4
    for (int i = row; i < pixels; i += rows) {
      sum = plus(sum, image[i * words + c]);
      if (flags & ADDED) sum = plus(sum, more[i * words + c]);
    }
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (int left = rows; left > 1; left = (left + 1) / 2) {
    if (row < left / 2)
      sums[threadIdx.x] = plus(sums[threadIdx.x], sums[threadIdx.x + (left + 1) / 2 * words]);
    __syncthreads();
  }
  if (row == 0) sums[c] = scaled(1.0f / pixels, sums[c]);
  __syncthreads();
  const int to = threadIdx.x;
  if (to < hidden)
    ((float*)inner)[to] = most(first_bias[to] + dense(sums, first_weight, words, hidden, to), 0);
  __syncthreads();
  if (to >= outputs) return;  // the last barrier is behind
  const float value = hidden ? dense(inner, weight, hidden / 4, outputs, to)
                             : dense(sums, weight, words, outputs, to);
  output[to] = 1 / (1 + expf(-(bias[to] + value)));
}
KERNEL(gate)

// The last layer: each pixel of (H, W, C) becomes 2 x 2 of (2 H, 2 W), by a sigmoid. weight:
// (inputs / 4, 4 places, 4).
extern "C" __global__ void __launch_bounds__(128)
    finish_mask(const float4* image, const float4* weight, float* output, int height, int width,
                int inputs, float bias) {
  const int i = blockIdx.x * 128 + threadIdx.x, words = inputs / 4;
  if (i >= 4 * height * width) return;
  const int x = i % (2 * width), y = i / (2 * width);
  const float4* from = image + (y / 2 * width + x / 2) * words;
  output[i] = 1 / (1 + expf(-(bias + dense(from, weight, words, 4, y % 2 * 2 + x % 2))));
}
KERNEL(finish_mask)
