// What denoising does to every pixel. pipeline/compositing/opencv_denoise.py says the same with
// OpenCV, which goes through memory dozens of times, and is what this is tested against.
//
// Half-size images are planar, (3, h, w): Y, Cr and Cb. Everything goes row by row, each channel in
// an array of its own, in loops that compilers turn into vector instructions.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "pixel.h"
#include "pixels.h"

namespace {

using std::min, std::max;

int64_t within(int64_t i, int64_t count) { return min(max<int64_t>(i, 0), count - 1); }

// Sums of four pixels to Y, Cr and Cb.
void to_ycrcb(const uint16_t* __restrict b, const uint16_t* __restrict g,
              const uint16_t* __restrict r, int64_t count, uint8_t* __restrict luma,
              uint8_t* __restrict cr, uint8_t* __restrict cb) {
  for (int64_t x = 0; x < count; ++x) {
    const Ycc of = ycc_of_sums(b[x], g[x], r[x]);
    luma[x] = of.y, cr[x] = of.cr, cb[x] = of.cb;
  }
}

// Places of a finer image in a coarser one: first neighbour, share of the second.
struct Places {
  std::vector<int64_t> first;
  std::vector<float> share;
  Places(int64_t fine, int64_t coarse) : first(fine), share(fine) {
    for (int64_t i = 0; i < fine; ++i) {
      const double at = min(max((i + 0.5) * coarse / fine - 0.5, 0.0), double(coarse - 1));
      first[i] = min(int64_t(at), max<int64_t>(coarse - 2, 0)), share[i] = float(at - first[i]);
    }
  }
};

// An image of three planes where its things have moved by a flow (rows, columns, 2) in its pixels,
// to sixteenths of one. A pixel's channels are 16 bits each of one number, so that weights whose
// sum is 256 multiply all of them at once.
void move(const uint8_t* image, int64_t h, int64_t w, const float* flow, int64_t rows,
          int64_t columns, uint8_t* out) {
  const Places across(w, columns), down(h, rows);
  const int64_t area = h * w;
  std::vector<float> line(2 * (columns + 1)), dx(w), dy(w);
  std::vector<int32_t> column(w), row(w);
  std::vector<uint64_t> packed((h + 1) * (w + 1) + 1);  // beyond the edges weights are 0
  for (int64_t y = 0; y < h; ++y) {
    const uint8_t* from = image + y * w;
    for (int64_t x = 0; x < w; ++x)
      packed[y * (w + 1) + x] =
          from[x] | uint64_t(from[area + x]) << 16 | uint64_t(from[2 * area + x]) << 32;
  }
  std::copy_n(image, 3 * area, out);
  for (int64_t y = 0; y < h; ++y) {
    const float* upper = flow + down.first[y] * columns * 2;
    const float* lower = rows > 1 ? upper + columns * 2 : upper;
    float moves = 0;
    for (int64_t i = 0; i < 2 * columns; ++i) {
      line[i] = upper[i] + (lower[i] - upper[i]) * down.share[y];
      moves += std::fabs(line[i]);
    }
    if (moves == 0) continue;
    for (int64_t x = 0; x < w; ++x) {
      const float* cell = &line[2 * across.first[x]];
      dx[x] = cell[0] + (cell[2] - cell[0]) * across.share[x];
      dy[x] = cell[1] + (cell[3] - cell[1]) * across.share[x];
    }
    for (int64_t x = 0; x < w; ++x) column[x] = sixteenths(x + dx[x], int(w));
    for (int64_t x = 0; x < w; ++x) row[x] = sixteenths(y + dy[x], int(h));
    uint8_t* to = out + y * w;
    for (int64_t x = 0; x < w; ++x) {
      const uint64_t u = column[x] & 15, v = row[x] & 15;
      const uint64_t* at = &packed[(row[x] >> 4) * (w + 1) + (column[x] >> 4)];
      const uint64_t upper = (16 - u) * at[0] + u * at[1];
      const uint64_t lower = (16 - u) * at[w + 1] + u * at[w + 2];
      const uint64_t seen = ((16 - v) * upper + v * lower + 0x0000008000800080) >> 8;
      to[x] = uint8_t(seen), to[x + area] = uint8_t(seen >> 16);
      to[x + 2 * area] = uint8_t(seen >> 32);
    }
  }
}

}  // namespace

// frame (H, W, 3) BGR to half (3, h, w); adds to histogram (511) how often |2 b - a - c| of three
// neighbours' luma in every `every`th row has each value.
extern "C" void denoise_halve(const uint8_t* frame, int64_t height, int64_t width, int64_t every,
                              uint8_t* half, int64_t* histogram) {
  const int64_t h = max<int64_t>(height / 2, 1), w = max<int64_t>(width / 2, 1);
  std::vector<uint8_t> rows(6 * (width + 1)), luma(width);
  std::vector<uint16_t> sums(3 * w);
  for (int64_t y = 0; y < h; ++y) {
    for (int64_t i = 0; i < 2; ++i) {
      uint8_t* plane = &rows[3 * i * (width + 1)];
      const int64_t row = min(2 * y + i, height - 1);
      split(frame + row * width * 3, width, plane, plane + width + 1, plane + 2 * (width + 1));
      for (int64_t c = 0; c < 3; ++c)  // of a single column
        plane[c * (width + 1) + width] = plane[c * (width + 1) + width - 1];
      if (row % every || (i && 2 * y + 1 != row)) continue;
      const uint8_t *b = plane, *g = b + width + 1, *r = g + width + 1;
      for (int64_t x = 0; x < width; ++x)
        luma[x] = uint8_t((29 * b[x] + 150 * g[x] + 77 * r[x] + 128) >> 8);
      for (int64_t x = 1; x + 1 < width; ++x)
        ++histogram[std::abs(2 * luma[x] - luma[x - 1] - luma[x + 1])];
    }
    for (int64_t c = 0; c < 3; ++c) {
      const uint8_t* __restrict a = &rows[c * (width + 1)];
      const uint8_t* __restrict b = &rows[(3 + c) * (width + 1)];
      uint16_t* __restrict sum = &sums[c * w];
      for (int64_t x = 0; x < w; ++x) sum[x] = a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1];
    }
    uint8_t* to = half + y * w;
    to_ycrcb(&sums[0], &sums[w], &sums[2 * w], w, to, to + h * w, to + 2 * h * w);
  }
}

// Averages now (3, h, w) with the frame before, which has moved by `flow` (rows, columns, 2) in
// half-size pixels, if that is given. amount (h, w): 255 for all of it. limit: difference of luma
// up to which they agree. Writes clean (3, h, w) and share (h, w), of 255, what of it is from
// before.
extern "C" void denoise_average(const uint8_t* now, const uint8_t* before, int64_t h, int64_t w,
                                const float* flow, int64_t rows, int64_t columns,
                                const uint8_t* amount, double limit, double keep, uint8_t* clean,
                                uint8_t* share) {
  std::vector<uint8_t> moved;
  if (flow) {
    moved.resize(3 * h * w);
    move(before, h, w, flow, rows, columns, moved.data());
    before = moved.data();
  }
  const float inverse = float(1 / (9 * limit)), most = float(keep);
  std::vector<int16_t> column(w + 2);
  std::vector<float> part(w);
  for (int64_t y = 0; y < h; ++y) {
    const int64_t lines[3] = {within(y - 1, h), y, within(y + 1, h)};
    std::fill(column.begin(), column.end(), 0);
    for (const int64_t line : lines) {
      const uint8_t* __restrict a = now + line * w;
      const uint8_t* __restrict b = before + line * w;
      int16_t* __restrict sum = &column[1];
      for (int64_t x = 0; x < w; ++x) sum[x] += int16_t(a[x] - b[x]);
    }
    column[0] = column[1], column[w + 1] = column[w];
    const uint8_t* __restrict wanted = amount + y * w;
    uint8_t* __restrict taken = share + y * w;
    float* __restrict of = part.data();
    for (int64_t x = 0; x < w; ++x) {
      const float apart = std::fabs(float(column[x] + column[x + 1] + column[x + 2])) * inverse;
      of[x] = most * min(max(2 - apart, 0.f), 1.f) * wanted[x] * (1 / 255.f);
      taken[x] = uint8_t(int32_t(of[x] * 255 + 0.5f));
    }
    for (int64_t plane = 0; plane < 3; ++plane) {
      const uint8_t* __restrict a = now + (plane * h + y) * w;
      const uint8_t* __restrict b = before + (plane * h + y) * w;
      uint8_t* __restrict to = clean + (plane * h + y) * w;
      for (int64_t x = 0; x < w; ++x)
        to[x] = uint8_t(int32_t(a[x] + (float(b[x]) - float(a[x])) * of[x] + 0.5f));
    }
  }
}

// Shrinks details of clean (3, h, w) around means of 5x5 pixels; luma's as much less as frames were
// averaged (share, of 255, times `averaged`). Writes change (3, h, w), of BGR less the luma of
// `now` (h, w), in sixteenths of a level.
extern "C" void denoise_filter(const uint8_t* clean, const uint8_t* now, const uint8_t* share,
                               const uint8_t* amount, int64_t h, int64_t w, double luma_limit,
                               double chroma_limit, double averaged, int16_t* change) {
  const float squares[3] = {float(luma_limit * luma_limit), float(chroma_limit * chroma_limit),
                            float(chroma_limit * chroma_limit)};
  std::vector<uint16_t> sums(w + 4);
  std::vector<float> wanted(2 * w), rows(3 * w);
  for (int64_t y = 0; y < h; ++y) {
    const uint8_t* __restrict full = amount + y * w;
    const uint8_t* __restrict held = share + y * w;
    float* __restrict of_luma = &wanted[0];
    float* __restrict of_chroma = &wanted[w];
    const float less = float(averaged / 255);
    for (int64_t x = 0; x < w; ++x) {
      of_chroma[x] = full[x] * (1 / 255.f);
      of_luma[x] = of_chroma[x] * (1 - less * held[x]);
    }
    for (int64_t plane = 0; plane < 3; ++plane) {
      const uint8_t* image = clean + plane * h * w;
      std::fill(sums.begin(), sums.end(), 0);
      for (int64_t i = y - 2; i <= y + 2; ++i) {
        const uint8_t* __restrict from = image + within(i, h) * w;
        uint16_t* __restrict sum = &sums[2];
        for (int64_t x = 0; x < w; ++x) sum[x] += from[x];
      }
      sums[0] = sums[1] = sums[2], sums[w + 2] = sums[w + 3] = sums[w + 1];
      const uint8_t* __restrict mine = image + y * w;
      const uint16_t* __restrict sum = sums.data();
      const float* __restrict part = plane ? of_chroma : of_luma;
      float* __restrict to = &rows[plane * w];
      const float square = squares[plane];
      for (int64_t x = 0; x < w; ++x) {
        const float smooth = (sum[x] + sum[x + 1] + sum[x + 2] + sum[x + 3] + sum[x + 4]) * 0.04f;
        to[x] = mine[x] - noise_of(mine[x] - smooth, square) * part[x];
      }
    }
    const float* __restrict luma = &rows[0];
    const float* __restrict cr = luma + w;
    const float* __restrict cb = cr + w;
    const uint8_t* __restrict before = now + y * w;
    int16_t* __restrict b = change + y * w;
    int16_t* __restrict g = b + h * w;
    int16_t* __restrict r = g + h * w;
    for (int64_t x = 0; x < w; ++x) {
      const Bgr of = bgr_change(luma[x] - before[x], cr[x] - 128, cb[x] - 128);
      b[x] = rounded(16 * of.b), g[x] = rounded(16 * of.g), r[x] = rounded(16 * of.r);
    }
  }
}

// frame (H, W, 3) to out: its luma, less `amount` (h, w) of the noise in what the half-size luma
// (h, w) does not show, and `change` (3, h, w) on it. limit: size of a detail that counts as noise.
// Where `amount` is 0 pixels stay.
extern "C" void denoise_finish(const uint8_t* frame, int64_t height, int64_t width,
                               const uint8_t* half, const int16_t* change, const uint8_t* amount,
                               double limit, uint8_t* out) {
  const int64_t h = max<int64_t>(height / 2, 1), w = max<int64_t>(width / 2, 1);
  const int64_t padded = w + 2, full = 2 * w + 2;
  const float square = float(limit * limit);
  std::vector<float> coarse(padded), fine(4 * full), part(2 * full);
  std::vector<uint8_t> planes(6 * width);
  const auto enlarge = [&](auto* upper, auto* lower, float unit, float* __restrict to) {
    float* __restrict row = &coarse[1];
    for (int64_t x = 0; x < w; ++x) row[x] = (0.75f * unit) * upper[x] + (0.25f * unit) * lower[x];
    coarse[0] = coarse[1], coarse[w + 1] = coarse[w];
    const float* __restrict from = coarse.data();
    for (int64_t x = 0; x < w; ++x) {
      to[2 * x] = 0.25f * from[x] + 0.75f * from[x + 1];
      to[2 * x + 1] = 0.75f * from[x + 1] + 0.25f * from[x + 2];
    }
    to[2 * w] = coarse[w];  // of an odd last column
  };
  for (int64_t y = 0; y < height; ++y) {
    const int64_t mine = within(y / 2, h), other = within(y / 2 + (y % 2 ? 1 : -1), h);
    const uint8_t* __restrict wanted = amount + mine * w;
    float* __restrict share = part.data();
    float* __restrict on = &part[full];
    for (int64_t x = 0; x < w; ++x) share[2 * x] = share[2 * x + 1] = wanted[x] * (1 / 255.f);
    share[2 * w] = share[2 * w - 1];
    for (int64_t x = 0; x < full; ++x) on[x] = min(share[x] * 255, 1.f);
    enlarge(half + mine * w, half + other * w, 1.f, &fine[0]);
    for (int64_t c = 0; c < 3; ++c)
      enlarge(change + (c * h + mine) * w, change + (c * h + other) * w, 1 / 16.f,
              &fine[(1 + c) * full]);
    uint8_t *b = &planes[0], *g = b + width, *r = g + width;
    split(frame + y * width * 3, width, b, g, r);
    const float* __restrict smooth = &fine[0];
    float* __restrict kept = &fine[0];
    for (int64_t x = 0; x < width; ++x) {
      const float luma = luma_of(b[x], g[x], r[x]);
      kept[x] = luma - noise_of(luma - smooth[x], square) * share[x];
    }
    for (int64_t c = 0; c < 3; ++c) {
      const uint8_t* __restrict before = &planes[c * width];
      uint8_t* __restrict after = &planes[(3 + c) * width];
      const float* __restrict add = &fine[(1 + c) * full];
      for (int64_t x = 0; x < width; ++x)
        after[x] = level(before[x] + (kept[x] + add[x] - before[x]) * on[x]);
    }
    const uint8_t* done = &planes[3 * width];
    merge(done, done + width, done + 2 * width, width, out + y * width * 3);
  }
}
