// Applies a light change to the full frame in one pass. pipeline/compositing/opencv.py says the same with
// OpenCV, which goes through memory a dozen times, and is what this is tested against.
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

using at::Tensor;

// GCC's and Clang's portable vectors: a pixel's channels, and those of a cell of the grid.
typedef float Pixel __attribute__((vector_size(16), aligned(4)));
typedef float Cell __attribute__((vector_size(32), aligned(4)));
static Pixel& pixel(float* p) { return *reinterpret_cast<Pixel*>(p); }
static const Cell& cell(const float* p) { return *reinterpret_cast<const Cell*>(p); }

static Pixel lerp(Pixel a, Pixel b, float share) { return a + (b - a) * share; }

// Where a pixel of one picture lies between the pixels of another: first neighbour, share of the
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

// A square of the half-size frame where more is known of the gain.
struct Inset {
  std::vector<Pixel> change;
  int64_t count;
  double left, top, scale;
  Inset(const Tensor& values, double left, double top, double side)
      : count(values.size(0)), left(left), top(top), scale(side / count) {
    const float* from = values.data_ptr<float>();
    change.resize(count * count);
    for (auto& p : change) p = Pixel{from[0], from[1], from[2], 0}, from += 3;
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

// frame (H, W, 3) uint8; grid (h, w, 8): a, b of the mask = a luma + b, the person's and the
// background's gain of encoded values; insets (n, n, 3) with left, top and side each in pixels of
// the half-size frame; window: left, top, right, bottom in those. Writes the window's pixels.
static void compose(const Tensor& frame, const Tensor& grid, at::TensorList insets,
                    at::ArrayRef<double> places, at::IntArrayRef window, Tensor& output) {
  const uint8_t* const in = frame.data_ptr<uint8_t>();
  uint8_t* const out = output.data_ptr<uint8_t>();
  const int64_t height = frame.size(0), width = frame.size(1);
  const int64_t half_h = std::max<int64_t>(height / 2, 1);
  const int64_t half_w = std::max<int64_t>(width / 2, 1);
  const int64_t left = window[0], top = window[1], right = window[2], bottom = window[3];
  const int64_t last_x = right == half_w ? width : 2 * right;
  const int64_t last_y = bottom == half_h ? height : 2 * bottom;
  const int64_t rows = grid.size(0), columns = grid.size(1);
  const float* const cells = grid.data_ptr<float>();

  std::vector<Inset> finer;
  for (size_t i = 0; i < insets.size(); ++i)
    finer.emplace_back(insets[i], places[3 * i], places[3 * i + 1], places[3 * i + 2]);
  std::vector<Place> across;
  for (int64_t x = 0; x < half_w; ++x)
    across.emplace_back((x + 0.5) * columns / half_w - 0.5, columns);
  std::vector<Pixel> above(half_w), here(half_w), between;
  std::vector<float> line(8 * (columns + 1)), gain(6 * half_w + 8);
  std::vector<uint16_t> pair(3 * std::max<int64_t>(width, 2));

  // The gains of one row of the half-size frame.
  const auto gains = [&](int64_t y, std::vector<Pixel>& row) {
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
    std::fill(row.begin() + left, row.begin() + right, Pixel{});
    for (const Inset& inset : finer) inset.add(y, left, right, row.data(), between);
    for (int64_t x = left; x < right; ++x) {
      const float* place = &line[8 * across[x].first];
      const Cell here = cell(place) + (cell(place + 8) - cell(place)) * across[x].share;
      const uint16_t* bgr = &pair[6 * x];
      const float luma = 0.114f * (bgr[0] + bgr[3]) + 0.587f * (bgr[1] + bgr[4]) +
                         0.299f * (bgr[2] + bgr[5]);
      const float share = std::min(std::max(here[0] * luma * (1 / 1020.0f) + here[1], 0.f), 1.f);
      const Pixel person = {here[2], here[3], here[4], 1}, around = {here[5], here[6], here[7], 1};
      row[x] = around + (row[x] + person - around) * share;
    }
  };
  // One row of the frame, from the gains above and below it.
  const auto write = [&](int64_t y, const std::vector<Pixel>& a, const std::vector<Pixel>& b,
                         float share) {
    if (y < 2 * top || y >= last_y) return;
    Pixel before = lerp(a[left], b[left], share), mine = before;
    for (int64_t x = left; x < right; ++x) {
      const int64_t next = std::min(x + 1, right - 1);
      const Pixel after = lerp(a[next], b[next], share);
      pixel(&gain[6 * x]) = lerp(mine, before, 0.25f);
      pixel(&gain[6 * x + 3]) = lerp(mine, after, 0.25f);
      pixel(&gain[6 * x + 6]) = mine;  // of an odd last column
      before = mine, mine = after;
    }
    const uint8_t* __restrict from = in + y * width * 3;
    uint8_t* __restrict to = out + y * width * 3;
    for (int64_t i = 6 * left; i < 3 * last_x; ++i) {
      const float value = from[i];
      const float offset = std::min(value * (0.055f / 0.04045f), 0.055f * 255);
      const float lit = (value + offset) * gain[i] - offset + 0.5f;
      to[i] = uint8_t(int32_t(std::min(std::max(lit, 0.f), 255.f)));
    }
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

TORCH_LIBRARY_FRAGMENT(vcam, m) {
  m.def("compose(Tensor frame, Tensor grid, Tensor[] insets, float[] places, int[] window,"
        " Tensor(a!) output) -> ()", compose);
}
