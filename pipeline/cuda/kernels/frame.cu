// What is done to every pixel of a frame: noise that is about to be lifted taken out, light
// changed. pipeline/native/denoise.cpp and composition.cpp say the same for a CPU. Frames are (H,
// W, 3) BGR; half-size images are planar, (3, h, w): Y, Cr and Cb.
#include "device.h"

// What differs from frame to frame; `_Uniforms` in pipeline/compositing/cuda.py writes it.
struct Uniforms {
  float before, moving;  // 1: there is a frame before; it has moved
  float patches;         // how many count
  float window[4];       // left, top, right, bottom of what is lit, in half-size pixels
  float place[2][3];     // of each patch: left, top, pixels of the half-size frame a cell
  float moves[4];        // left, top, right, bottom of what moves
  float square[3];       // that moves: left, top, pixels a cell
};

ON_BOTH int halved(int side) { return side > 1 ? side / 2 : 1; }

extern "C" __global__ void __launch_bounds__(256)
    halve(const Byte* frame, Byte* half, int height, int width) {
  const int h = halved(height), w = halved(width), i = blockIdx.x * 256 + threadIdx.x;
  if (i >= h * w) return;
  const int x = i % w, y = i / w;
  float sum[3] = {};
  for (int n = 0; n < 4; ++n) {
    const Byte* p =
        frame + (within(2 * y + n / 2, height) * width + within(2 * x + n % 2, width)) * 3;
    for (int c = 0; c < 3; ++c) sum[c] += p[c];
  }
  const Ycc of = ycc_of_sums(sum[0], sum[1], sum[2]);
  half[i] = of.y, half[h * w + i] = of.cr, half[2 * h * w + i] = of.cb;
}
KERNEL(halve)

// Adds to histogram (511) how often |2 b - a - c| of three neighbours' luma in every `every`th row
// has each value. A block for each of these rows.
extern "C" __global__ void __launch_bounds__(256)
    count_roughness(const Byte* frame, int* histogram, int height, int width, int every) {
  __shared__ int counts[512];
  for (int i = threadIdx.x; i < 512; i += 256) counts[i] = 0;
  __syncthreads();
  const Byte* row = frame + blockIdx.x * every * width * 3;
  const auto luma = [&](int x) {
    return (29 * row[3 * x] + 150 * row[3 * x + 1] + 77 * row[3 * x + 2] + 128) >> 8;
  };
  for (int x = 1 + threadIdx.x; x + 1 < width; x += 256) {
    const int apart = 2 * luma(x) - luma(x - 1) - luma(x + 1);
    atomicAdd(&counts[apart < 0 ? -apart : apart], 1);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 511; i += 256)
    if (counts[i]) atomicAdd(&histogram[i], counts[i]);
}
KERNEL(count_roughness)

// The noise's standard deviation (1,) of a histogram of half its roughness, at least `quiet`; see
// `LiftDenoiser`. One block.
extern "C" __global__ void __launch_bounds__(512)
    tell_noise(const int* histogram, float* noise, float quiet) {
  __shared__ int counts[512], sums[512];
  const int i = threadIdx.x, count = i < 511 ? histogram[i] : 0;
  float mean = 1e6f;
  for (int round = 0; round < 2; ++round) {
    const bool few = i / 2.0f <= 3 * mean;
    counts[i] = few ? count : 0, sums[i] = few ? count * i : 0;
    __syncthreads();
    for (int by = 256; by; by /= 2) {
      if (i < by) counts[i] += counts[i + by], sums[i] += sums[i + by];
      __syncthreads();
    }
    mean = sums[0] / 2.0f / (counts[0] > 1 ? counts[0] : 1);
    __syncthreads();
  }
  if (i == 0) *noise = most(mean, quiet);
}
KERNEL(tell_noise)

// An image (3, h, w) where its things have moved by a flow (rows, columns, 2) in its pixels.
extern "C" __global__ void __launch_bounds__(256)
    move(const Byte* image, const float* flow, const float* uniforms, Byte* moved, int h, int w,
         int rows, int columns) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= h * w) return;
  int x = i % w, y = i / w, u = 0, v = 0;
  if (((const Uniforms*)uniforms)->moving != 0) {
    const Place across = placed(x, w, columns), down = placed(y, h, rows);
    const auto moves = [&](int axis) {
      const float* upper = flow + down.first * columns * 2 + axis;
      const float* lower = flow + down.second * columns * 2 + axis;
      return mixed(mixed(upper[2 * across.first], lower[2 * across.first], down.share),
                   mixed(upper[2 * across.second], lower[2 * across.second], down.share),
                   across.share);
    };
    const int px = sixteenths(x + moves(0), w), py = sixteenths(y + moves(1), h);
    x = px >> 4, y = py >> 4, u = px & 15, v = py & 15;
  }
  const int right = within(x + 1, w), below = within(y + 1, h);
  for (int plane = 0; plane < 3; ++plane) {
    const Byte* p = image + plane * h * w;
    const int upper = (16 - u) * p[y * w + x] + u * p[y * w + right];
    const int lower = (16 - u) * p[below * w + x] + u * p[below * w + right];
    moved[plane * h * w + i] = Byte(((16 - v) * upper + v * lower + 128) >> 8);
  }
}
KERNEL(move)

// Averages now (3, h, w) with the frame before where they agree: means of nine pixels' luma, over
// the noise. amount (h, w): 255 for all of it. Writes clean (3, h, w) and share (h, w), of 255,
// what of it is from before.
extern "C" __global__ void __launch_bounds__(256)
    average(const Byte* now, const Byte* before, const Byte* amount, const float* noise,
            const float* uniforms, Byte* clean, Byte* share, int h, int w, float agree,
            float keep) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= h * w) return;
  const int x = i % w, y = i / w;
  float of = 0;
  if (((const Uniforms*)uniforms)->before != 0) {
    int sum = 0;
    for (int n = 0; n < 9; ++n) {
      const int at = within(y + n / 3 - 1, h) * w + within(x + n % 3 - 1, w);
      sum += now[at] - before[at];
    }
    const float apart = fabsf(float(sum)) * (1 / (9 * most(agree * *noise, 1)));
    of = keep * clamped(2 - apart, 0, 1) * amount[i] * (1 / 255.0f);
  }
  share[i] = Byte(int(of * 255 + 0.5f));
  for (int plane = 0; plane < 3; ++plane) {
    const int at = plane * h * w + i;
    // Where nothing counts, neither does what no frame has been written to.
    clean[at] = of > 0 ? Byte(int(mixed(now[at], before[at], of) + 0.5f)) : now[at];
  }
}
KERNEL(average)

// Shrinks details of clean (3, h, w) around means of 5 x 5 pixels: `denoise_filter` in denoise.cpp.
extern "C" __global__ void __launch_bounds__(256)
    shrink(const Byte* clean, const Byte* now, const Byte* share, const Byte* amount,
           const float* noise, short* change, int h, int w, float of_luma, float of_chroma,
           float averaged) {
  const int i = blockIdx.x * 256 + threadIdx.x, area = h * w;
  if (i >= area) return;
  const int x = i % w, y = i / w;
  const float chroma = amount[i] * (1 / 255.0f);
  const float parts[3] = {chroma * (1 - averaged / 255 * share[i]), chroma, chroma};
  float kept[3];
  for (int plane = 0; plane < 3; ++plane) {
    const Byte* image = clean + plane * area;
    int sum = 0;
#pragma unroll 1
    for (int down = -2; down <= 2; ++down)
      for (int across = -2; across <= 2; ++across)
        sum += image[within(y + down, h) * w + within(x + across, w)];
    const float limit = (plane ? of_chroma : of_luma) * *noise;
    kept[plane] = image[i] - noise_of(image[i] - sum * 0.04f, limit * limit) * parts[plane];
  }
  const Bgr of = bgr_change(kept[0] - now[i], kept[1] - 128, kept[2] - 128);
  change[i] = rounded(16 * of.b), change[area + i] = rounded(16 * of.g);
  change[2 * area + i] = rounded(16 * of.r);
}
KERNEL(shrink)

// A half-size image, `w` pixels wide, at a pixel of the frame.
template <class T> ON_BOTH float enlarged(const T* image, int w, Pair across, Pair down) {
  const T *upper = image + down.near_ * w, *lower = image + down.far_ * w;
  const float near_ = 0.75f * upper[across.near_] + 0.25f * lower[across.near_];
  return 0.75f * near_ + 0.25f * (0.75f * upper[across.far_] + 0.25f * lower[across.far_]);
}

// The frame with its luma, less the noise in what the half-size luma (h, w) does not show, and
// `change` (3, h, w) on it: `denoise_finish` in denoise.cpp.
extern "C" __global__ void __launch_bounds__(256)
    clean_frame(const Byte* frame, const Byte* half, const short* change, const Byte* amount,
                const float* noise, Byte* output, int height, int width, float detail) {
  const int h = halved(height), w = halved(width), i = blockIdx.x * 256 + threadIdx.x;
  if (i >= height * width) return;
  const Pair across = pair_of(i % width, 0, w - 1), down = pair_of(i / width, 0, h - 1);
  const Byte* p = frame + 3 * i;
  const int share = amount[within(i / width / 2, h) * w + within(i % width / 2, w)];
  const float luma = luma_of(p[0], p[1], p[2]), limit = detail * *noise;
  const float kept = luma - noise_of(luma - enlarged(half, w, across, down), limit * limit) *
                                (share * (1 / 255.0f));
  for (int c = 0; c < 3; ++c) {
    const float other = kept + enlarged(change + c * h * w, w, across, down) * (1 / 16.0f);
    output[3 * i + c] = share ? level(other) : p[c];
  }
}
KERNEL(clean_frame)

// The frame with its light changed. grid (rows, columns, 8): a and b of the matte, gains of encoded
// values of the person and of everything else, RGB; patches (2, count, count, 3) RGB: what is added
// to the person's. A block makes 64 x 16 pixels: first the gains of 34 x 10 of the half-size frame.
extern "C" __global__ void __launch_bounds__(256)
    compose(const Byte* frame, const float* grid, const float* patches, const float* uniforms,
            Byte* output, int height, int width, int rows, int columns, int count) {
  __shared__ float gains[10][34][3];
  const Uniforms& of = *(const Uniforms*)uniforms;
  const int half_h = halved(height), half_w = halved(width);
  const int left = int(of.window[0]), top = int(of.window[1]);
  const int right = int(of.window[2]), bottom = int(of.window[3]);
  const int first_x = 32 * blockIdx.x - 1, first_y = 8 * blockIdx.y - 1;
  for (int i = threadIdx.x; i < 340; i += 256) {
    const int x = within(first_x + i % 34, half_w), y = within(first_y + i / 34, half_h);
    const Place across = placed(x, half_w, columns), down = placed(y, half_h, rows);
    float cell[8];
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      const float* upper = grid + down.first * columns * 8 + c;
      const float* lower = grid + down.second * columns * 8 + c;
      cell[c] = mixed(mixed(upper[8 * across.first], lower[8 * across.first], down.share),
                      mixed(upper[8 * across.second], lower[8 * across.second], down.share),
                      across.share);
    }
    float luma = 0, change[3] = {};
    for (int n = 0; n < 4; ++n) {
      const Byte* p =
          frame + (within(2 * y + n / 2, height) * width + within(2 * x + n % 2, width)) * 3;
      luma += luma_of(p[0], p[1], p[2]);
    }
    for (int patch = 0; patch < int(of.patches); ++patch) {
      const float* place = of.place[patch];
      const float u = (x + 0.5f - place[0]) / place[2] - 0.5f;
      const float v = (y + 0.5f - place[1]) / place[2] - 0.5f;
      if (u < 0 || v < 0 || u > count - 1 || v > count - 1) continue;
      const Place h = placed(u, count), w = placed(v, count);
      for (int c = 0; c < 3; ++c) {
        const float* upper = patches + (patch * count + w.first) * count * 3 + c;
        const float* lower = patches + (patch * count + w.second) * count * 3 + c;
        change[c] += mixed(mixed(upper[3 * h.first], lower[3 * h.first], w.share),
                           mixed(upper[3 * h.second], lower[3 * h.second], w.share), h.share);
      }
    }
    const float share = matte_of(cell[0], cell[1], luma);
#pragma unroll
    for (int c = 0; c < 3; ++c)  // to BGR
      gains[i / 34][i % 34][2 - c] = cell[5 + c] + (change[c] + cell[2 + c] - cell[5 + c]) * share;
  }
  __syncthreads();
  const int row = 3 * width, last_x = right == half_w ? width : 2 * right;
  const int last_y = bottom == half_h ? height : 2 * bottom;
  for (int i = threadIdx.x; i < 16 * 48; i += 256) {  // four bytes of a row each
    const int y = 16 * blockIdx.y + i / 48, byte = 192 * blockIdx.x + 4 * (i % 48);
    if (y >= height || byte >= row) continue;
    const Pair down = pair_of(y, top, bottom - 1);
    const int near_y = down.near_ - first_y, far_y = down.far_ - first_y;
    alignas(4) Byte value[4];
    const int bytes = row - byte < 4 ? row - byte : 4;
    const bool words = row % 4 == 0;
    if (words)
      *(unsigned*)value = *(const unsigned*)(frame + y * row + byte);
    else
      for (int n = 0; n < bytes; ++n) value[n] = frame[y * row + byte + n];
    const bool inside = y >= 2 * top && y < last_y;
    for (int n = 0; n < bytes; ++n) {
      const int x = (byte + n) / 3, c = (byte + n) % 3;
      if (!inside || x < 2 * left || x >= last_x) continue;
      const Pair across = pair_of(x, left, right - 1);
      const int near_x = across.near_ - first_x, far_x = across.far_ - first_x;
      const float here = mixed(gains[near_y][near_x][c], gains[far_y][near_x][c], 0.25f);
      const float there = mixed(gains[near_y][far_x][c], gains[far_y][far_x][c], 0.25f);
      value[n] = lit(value[n], mixed(here, there, 0.25f));
    }
    if (words)
      *(unsigned*)(output + y * row + byte) = *(unsigned*)value;
    else
      for (int n = 0; n < bytes; ++n) output[y * row + byte + n] = value[n];
  }
}
KERNEL(compose)

// Weights of four neighbours (Keys 1981, a = -0.75, as OpenCV has it).
struct Weights {
  float of[4];
};
ON_BOTH Weights cubic(float t) {
  const float a = -0.75f, far_ = t + 1, rest = 1 - t;
  const float first = ((a * far_ - 5 * a) * far_ + 8 * a) * far_ - 4 * a;
  const float second = ((a + 2) * t - (a + 3)) * t * t + 1;
  const float third = ((a + 2) * rest - (a + 3)) * rest * rest + 1;
  return {{first, second, third, 1 - first - second - third}};
}

// The frame with the pixels of its window from where a field (side, side, 2) of a square says:
// `displaced` in pipeline/compositing/displace.py.
extern "C" __global__ void __launch_bounds__(256)
    displace(const Byte* frame, const float* field, const float* uniforms, Byte* output, int height,
             int width, int side) {
  const Uniforms& of = *(const Uniforms*)uniforms;
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= height * width) return;
  const int x = i % width, y = i / width;
  if (x < of.moves[0] || y < of.moves[1] || x >= of.moves[2] || y >= of.moves[3]) {
    for (int c = 0; c < 3; ++c) output[3 * i + c] = frame[3 * i + c];
    return;
  }
  const float u = (x + 0.5f - of.square[0]) / of.square[2] - 0.5f;
  const float v = (y + 0.5f - of.square[1]) / of.square[2] - 0.5f;
  const int left = int(floorf(u)), top = int(floorf(v));
  float by[2] = {};
  for (int n = 0; n < 4; ++n) {
    const int column = left + n % 2, row = top + n / 2;
    if (column < 0 || row < 0 || column >= side || row >= side) continue;
    const float share = (n % 2 ? u - left : left + 1 - u) * (n / 2 ? v - top : top + 1 - v);
    for (int axis = 0; axis < 2; ++axis)
      by[axis] += share * field[(row * side + column) * 2 + axis];
  }
  const float from_x = x + by[0], from_y = y + by[1];
  const int first_x = int(floorf(from_x)), first_y = int(floorf(from_y));
  const Weights across = cubic(from_x - first_x), down = cubic(from_y - first_y);
  float sum[3] = {};
  for (int n = 0; n < 16; ++n) {
    const int row = within(first_y + n / 4 - 1, height),
              column = within(first_x + n % 4 - 1, width);
    const float share = across.of[n % 4] * down.of[n / 4];
    const Byte* p = frame + (row * width + column) * 3;
    for (int c = 0; c < 3; ++c) sum[c] += share * p[c];
  }
  for (int c = 0; c < 3; ++c) output[3 * i + c] = level(sum[c]);
}
KERNEL(displace)
