// What becomes of the light of a frame, at the analysis resolution (h, w): the person's matte,
// gains of encoded values, and how much noise is to go. pipeline/compositing/ says the same for a
// CPU: guided_filter.py, gain.py, base.py and denoise.py.
#include "device.h"

// What differs from frame to frame; `GainPlan.describe` in pipeline/compositing/cuda_gains.py
// writes it.
struct Light {
  float lift[3], wall[3];  // that gains of people are multiplied by; the gain of everything else
  float walls;             // 1: everything else changes
  float strength, power;   // that gains are raised to, and those of encoded values
  float patches;           // how many count
};

// A place beyond the edge as in `BORDER_REFLECT`.
ON_BOTH int reflected(int i, int count) {
  while (i < 0 || i >= count) i = i < 0 ? -1 - i : 2 * count - 1 - i;
  return i;
}

// Coefficients (h, w, 2) by which a mask, sharpened, is linear in luma within boxes.
extern "C" __global__ void __launch_bounds__(256)
    fit_matte(const Byte* luma, const float* mask, float* fitted, int h, int w, int radius,
              float background, float scale, float epsilon) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= h * w) return;
  float g = 0, m = 0, gg = 0, gm = 0;
  for (int down = -radius; down <= radius; ++down)
    for (int across = -radius; across <= radius; ++across) {
      const int at = reflected(i / w + down, h) * w + reflected(i % w + across, w);
      const float guide = luma[at] * (1 / 255.0f);
      const float sharp = clamped((mask[at] - background) * scale, 0, 1);
      g += guide, m += sharp, gg += guide * guide, gm += guide * sharp;
    }
  const float part = 1.0f / ((2 * radius + 1) * (2 * radius + 1));
  g *= part, m *= part;
  const float a = (gm * part - g * m) / (gg * part - g * g + epsilon);
  fitted[2 * i] = a, fitted[2 * i + 1] = m - a * g;
}
KERNEL(fit_matte)

// By what a gain is multiplied so that the brightest channel of the light nears 1.
ON_BOTH float held(const float* linear, const float* gain, float headroom) {
  const float before = most(most(linear[0], linear[1]), linear[2]);
  const float after = most(most(linear[0] * gain[0], linear[1] * gain[1]), linear[2] * gain[2]);
  if (!(after > before)) return 1;
  const float room = most(1 - before, headroom);
  return (before + room * (1 - expf((before - after) / room))) / most(after, 1e-4f);
}

// Writes grid (h, w, 8) as `compose` in frame.cu reads it, and amount (h, w): how much of the noise
// is to go, of 255. gain (rows, columns, 3) is the person's; decode (256): linear light.
extern "C" __global__ void __launch_bounds__(256)
    plan_gains(const float* fitted, const float* gain, const Byte* image, const float* mask,
               const float* decode, const float* light, float* grid, Byte* amount, int h, int w,
               int rows, int columns, int radius, float certain, float headroom, float low,
               float high) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= h * w) return;
  const Light& of = *(const Light*)light;
  float a = 0, b = 0;
  for (int down = -radius; down <= radius; ++down)
    for (int across = -radius; across <= radius; ++across) {
      const int at = reflected(i / w + down, h) * w + reflected(i % w + across, w);
      a += fitted[2 * at], b += fitted[2 * at + 1];
    }
  const float part = 1.0f / ((2 * radius + 1) * (2 * radius + 1)), steep = 1 / (1 - 2 * certain);
  float* cell = grid + 8 * i;
  cell[0] = a * part * steep, cell[1] = (b * part - certain) * steep;
  const Place across = placed(i % w, w, columns), down = placed(i / w, h, rows);
  const float *upper = gain + 3 * down.first * columns, *lower = gain + 3 * down.second * columns;
  float linear[3], person[3], around[3];
  for (int c = 0; c < 3; ++c) {
    linear[c] = decode[image[3 * i + 2 - c]];
    person[c] =
        of.lift[c] *
        mixed(mixed(upper[3 * across.first + c], upper[3 * across.second + c], across.share),
              mixed(lower[3 * across.first + c], lower[3 * across.second + c], across.share),
              down.share);
    around[c] = of.wall[c];
  }
  const float hold = held(linear, person, headroom);
  const float back = of.walls != 0 ? held(linear, around, headroom) : 1;
  const float weights[3] = {0.2126f, 0.7152f, 0.0722f};
  float luminance = 0;
  for (int c = 0; c < 3; ++c) {
    person[c] *= hold;
    around[c] = of.walls != 0 ? around[c] * back : 1;
    luminance += weights[c] * (person[c] * mask[i] + around[c] * (1 - mask[i]));
    cell[2 + c] = powf(person[c], of.power), cell[5 + c] = powf(around[c], of.power);
  }
  const float grown = of.strength * logf(most(luminance, 1e-3f));
  amount[i] = Byte(int(clamped((grown - low) / (high - low), 0, 1) * 255 + 0.5f));
}
KERNEL(plan_gains)

// What squares add to the person's gains of encoded values: patches (2, area, 3), of the square's
// gain and of the person's there, (2, area, 3) both, alpha (2, area), and linear light (2, area,
// 3).
extern "C" __global__ void __launch_bounds__(256)
    plan_patches(const float* gain, const float* base, const float* alpha, const float* linear,
                 const float* light, float* patches, int area, float headroom, float least_base) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= 2 * area) return;
  const Light& of = *(const Light*)light;
  const bool counts = i / area < int(of.patches);
  float own[3], others[3];
  for (int c = 0; c < 3; ++c)
    own[c] = gain[3 * i + c] * of.lift[c], others[c] = base[3 * i + c] * of.lift[c];
  const float hold = held(linear + 3 * i, own, headroom);
  const float hold_others = held(linear + 3 * i, others, headroom);
  for (int c = 0; c < 3; ++c) {
    const float before = powf(most(others[c] * hold_others, least_base), of.power);
    patches[3 * i + c] = counts ? (powf(own[c] * hold, of.power) - before) * alpha[i] : 0;
  }
}
KERNEL(plan_patches)

// How much of a cell is between two places.
ON_BOTH float part_of(int cell, float from, float to) {
  return least(to, cell + 1.0f) - most(from, float(cell));
}

// Where a pixel is among those of a smaller image, and the shares of both neighbours in 2048 steps.
struct Step {
  int first, second, near_, far_;
};
ON_BOTH Step step_of(int i, int fine, int coarse, bool held) {
  const float at = (i + 0.5f) * (float(coarse) / fine) - 0.5f;
  const int first = int(floorf(at));
  const float share = held && (first < 0 || first >= coarse - 1) ? 0 : at - first;
  return {within(first, coarse), within(first + 1, coarse), int((1 - share) * 2048 + 0.5f),
          int(share * 2048 + 0.5f)};
}

// amount (h, w) in another size, as OpenCV's `resize` of bytes makes it bit by bit: where nothing
// is to go, the frame's pixels stay.
extern "C" __global__ void __launch_bounds__(256)
    spread_amount(const Byte* amount, Byte* spread, int h, int w, int high, int wide) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= high * wide) return;
  const int x = i % wide, y = i / wide;
  if (wide < w || high < h) {
    const float by_x = float(w) / wide, by_y = float(h) / high;
    const float left = x * by_x, top = y * by_y;
    const float right = least(left + by_x, float(w)), bottom = least(top + by_y, float(h));
    float value = 0;
    for (int row = int(top); row < h && row < bottom; ++row)
      for (int column = int(left); column < w && column < right; ++column)
        value +=
            amount[row * w + column] * part_of(row, top, bottom) * part_of(column, left, right);
    spread[i] = level(value / ((right - left) * (bottom - top)));
    return;
  }
  const Step across = step_of(x, wide, w, true), down = step_of(y, high, h, false);
  const Byte *upper = amount + down.first * w, *lower = amount + down.second * w;
  const int above = upper[across.first] * across.near_ + upper[across.second] * across.far_;
  const int below = lower[across.first] * across.near_ + lower[across.second] * across.far_;
  const int sum = (down.near_ * (above >> 4) >> 16) + (down.far_ * (below >> 4) >> 16);
  spread[i] = Byte((sum + 2) >> 2);
}
KERNEL(spread_amount)
