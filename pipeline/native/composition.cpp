// Applies a light change to the full frame in one pass. pipeline/compositing/opencv.py says the
// same with OpenCV, which goes through memory a dozen times, and is what this is tested against.
//
// A plain library: pipeline/native/composition.py calls it with numpy's memory.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "pixel.h"
#include "pixels.h"
#include "vec.h"

using Pixel = Vec4;  // a pixel's channels
using Cell = Vec8;   // those of a cell of the grid

static Pixel lerp(Pixel a, Pixel b, float share) { return a + (b - a) * share; }

// Where a pixel of one image lies between the pixels of another: first neighbour, share of the
// second.
struct Place {
  int64_t first;
  float share;
  Place(double at, int64_t count) {
    at = std::clamp(at, 0.0, double(count - 1));
    first = std::min<int64_t>(int64_t(at), std::max<int64_t>(count - 2, 0));
    share = float(at - first);
  }
};

// What composition.py passes of a square of the half-size frame where more is known of the gain:
// (count, count, 3) RGB.
struct Patch {
  const float* values;
  int64_t count;
  double left, top, side;
};

struct Residual {
  std::vector<Pixel> change;
  int64_t count;
  double left, top, scale;
  Residual(const Patch& patch)
      : change(patch.count * patch.count), count(patch.count), left(patch.left), top(patch.top),
        scale(patch.side / patch.count) {
    const float* from = patch.values;
    for (auto& p : change) p = Pixel{from[2], from[1], from[0], 0}, from += 3;
  }
  void add(int64_t y, int64_t from, int64_t to, Pixel* row, std::vector<Pixel>& between) const {
    const double at = (y + 0.5 - top) / scale - 0.5;
    if (at < 0 || at > count - 1) return;
    const Place v(at, count);
    between.resize(count);
    const Pixel* upper = &change[v.first * count];
    const Pixel* lower = count > 1 ? upper + count : upper;
    for (int64_t i = 0; i < count; ++i) between[i] = lerp(upper[i], lower[i], v.share);
    from = std::max(from, int64_t(std::ceil(left + 0.5 * scale - 0.5)));
    to = std::min(to, int64_t(std::floor(left + (count - 0.5) * scale - 0.5)) + 1);
    for (int64_t x = from; x < to; ++x) {
      const Place h((x + 0.5 - left) / scale - 0.5, count);
      row[x] += lerp(between[h.first], between[std::min(h.first + 1, count - 1)], h.share);
    }
  }
};

// frame (H, W, 3) uint8 BGR; grid (h, w, 8): a, b of the matte = a luma + b, the person's and the
// background's RGB gain of encoded values; window: left, top, right, bottom in pixels of the
// half-size frame. Writes the window's pixels of output (H, W, 3).
extern "C" void compose(const uint8_t* in, int64_t height, int64_t width, const float* cells,
                        int64_t rows, int64_t columns, const Patch* patches, int64_t patch_count,
                        const int64_t* window, uint8_t* out) {
  const int64_t half_h = std::max<int64_t>(height / 2, 1);
  const int64_t half_w = std::max<int64_t>(width / 2, 1);
  const int64_t left = window[0], top = window[1], right = window[2], bottom = window[3];
  const int64_t last_x = right == half_w ? width : 2 * right;
  const int64_t last_y = bottom == half_h ? height : 2 * bottom;

  const std::vector<Residual> finer(patches, patches + patch_count);
  std::vector<Place> across;
  for (int64_t x = 0; x < half_w; ++x)
    across.emplace_back((x + 0.5) * columns / half_w - 0.5, columns);
  // Gains of a row of the half-size frame: blue, green and red, with a pixel more on each side.
  const int64_t padded = half_w + 2;
  std::vector<float> above(3 * padded), here(3 * padded);
  std::vector<Pixel> added(half_w), between;
  std::vector<float> line(8 * (columns + 1)), coarse(padded), fine(2 * half_w + 1);
  std::vector<uint8_t> planes(6 * width);
  std::vector<uint16_t> pair(3 * std::max<int64_t>(width, 2));

  const auto gains = [&](int64_t y, std::vector<float>& row) {
    const Place down((y + 0.5) * rows / half_h - 0.5, rows);
    const float* upper = cells + down.first * columns * 8;
    const float* lower = rows > 1 ? upper + columns * 8 : upper;
    for (int64_t i = 0; i < 8 * columns; ++i)
      line[i] = upper[i] + (lower[i] - upper[i]) * down.share;
    const uint8_t* first = in + std::min(2 * y, height - 1) * width * 3;
    const uint8_t* second = in + std::min(2 * y + 1, height - 1) * width * 3;
    for (int64_t i = 6 * left; i < std::min(6 * right, 3 * width); ++i)
      pair[i] = first[i] + second[i];
    if (width == 1) std::copy_n(pair.begin(), 3, pair.begin() + 3);
    std::fill(added.begin() + left, added.begin() + right, Pixel{});
    for (const Residual& residual : finer) residual.add(y, left, right, added.data(), between);
    float *blue = &row[1], *green = blue + padded, *red = green + padded;
    for (int64_t x = left; x < right; ++x) {
      const float* place = &line[8 * across[x].first];
      const Cell here = vec8(place) + (vec8(place + 8) - vec8(place)) * across[x].share;
      const uint16_t* bgr = &pair[6 * x];
      const float luma = luma_of(bgr[0] + bgr[3], bgr[1] + bgr[4], bgr[2] + bgr[5]);
      const float share = matte_of(here[0], here[1], luma);
      const Pixel person = {here[4], here[3], here[2], 1}, around = {here[7], here[6], here[5], 1};
      const Pixel gain = around + (added[x] + person - around) * share;
      blue[x] = gain[0], green[x] = gain[1], red[x] = gain[2];
    }
    for (float* channel : {blue, green, red})
      channel[left - 1] = channel[left], channel[right] = channel[right - 1];
  };
  // One row of the frame, from the gains above and below it.
  const int64_t begin = 2 * left, count = last_x - begin, halves = right - left;
  const auto write = [&](int64_t y, const std::vector<float>& a, const std::vector<float>& b,
                         float share) {
    if (y < 2 * top || y >= last_y) return;
    uint8_t* const bgr[3] = {&planes[0], &planes[count], &planes[2 * count]};
    split(in + (y * width + begin) * 3, count, bgr[0], bgr[1], bgr[2]);
    for (int64_t c = 0; c < 3; ++c) {
      const float* __restrict upper = &a[c * padded + left];
      const float* __restrict lower = &b[c * padded + left];
      float* __restrict mixed = coarse.data();
      for (int64_t x = 0; x < halves + 2; ++x) mixed[x] = upper[x] + (lower[x] - upper[x]) * share;
      float* __restrict gain = fine.data();
      for (int64_t x = 0; x < halves; ++x) {
        gain[2 * x] = 0.25f * mixed[x] + 0.75f * mixed[x + 1];
        gain[2 * x + 1] = 0.75f * mixed[x + 1] + 0.25f * mixed[x + 2];
      }
      gain[2 * halves] = mixed[halves];  // of an odd last column
      const uint8_t* __restrict from = bgr[c];
      uint8_t* __restrict to = &planes[(3 + c) * count];
      for (int64_t x = 0; x < count; ++x) to[x] = lit(from[x], gain[x]);
    }
    merge(&planes[3 * count], &planes[4 * count], &planes[5 * count], count,
          out + (y * width + begin) * 3);
  };
  for (int64_t y = top; y < bottom; ++y) {
    gains(y, here);
    const auto& before = y == top ? here : above;
    write(2 * y - 1, before, here, 0.25f);
    write(2 * y, before, here, 0.75f);
    std::swap(above, here);
  }
  write(2 * bottom - 1, above, above, 0);
  write(2 * bottom, above, above, 0);
}
