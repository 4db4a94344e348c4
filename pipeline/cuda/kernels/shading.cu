// From what is known of a head and a light to the gain of each pixel; shading.py, visibility.py,
// highlights.py and network/refiner.py in pipeline/engines/triplane say the same for a CPU.
#include "device.h"

struct Lobe {  // a light with edges
  float towards[3], rgb[3];
  float widest;   // tangent of the half-angle that its shadows are made for
  float half[3];  // between it and the camera
  float square[2], k[2],
      share[2];    // of GGX in two roughnesses: alpha^2, alpha / 2, how much of each
  float mirrored;  // Fresnel's reflectance times pi / 4
};

// What differs from gain to gain; `_uniforms` in cuda_shading.py writes it. SH of order 2 are RGB,
// with what makes irradiance (or a blurred reflection) of radiance multiplied in.
struct Uniforms {
  float even[9][3], gloss[9][3], source[9][3];
  float floor[3], dark;                           // keep the target's irradiance from darkness
  float source_floor[3], source_dark;             // and the source's
  float shadows, highlights, colour;              // amounts
  float least_albedo, reflectance, rise, facing;  // of skin
  float difference, lobes, scale;  // of the lights; how many lobes; half crop sides a dm
  Lobe lobe[16];
};

// Maps of a crop, n pixels each: normal 3, albedo 3, present 3, occlusion, mask, linear RGB 3,
// removable shading's level 3 and colour 3.
enum {
  NORMAL = 0,
  ALBEDO = 3,
  PRESENT = 6,
  OCCLUSION = 9,
  MASK = 10,
  LINEAR = 11,
  LEVEL = 14,
  COLOUR = 17
};

ON_BOTH float smooth_step(float low, float high, float value) {
  const float t = clamped((value - low) / (high - low), 0, 1);
  return t * t * (3 - 2 * t);
}
ON_BOTH int mirrored(int i, int count) {  // beyond the edges, as cv2.BORDER_REFLECT_101
  if (count == 1) return 0;
  while (i < 0 || i >= count) i = i < 0 ? -i : 2 * count - 2 - i;
  return i;
}

// Gaussian blur of (count, side, side), weights (7,); blockIdx.y: which.
extern "C" __global__ void __launch_bounds__(256)
    blur(const float* image, const float* weights, float* output, int side) {
  const int i = blockIdx.x * 256 + threadIdx.x, area = side * side;
  if (i >= area) return;
  const int x = i % side, y = i / side;
  const float* from = image + blockIdx.y * area;
  float sum = 0;
  for (int v = -3; v <= 3; ++v) {
    float row = 0;
    for (int u = -3; u <= 3; ++u)
      row += weights[u + 3] * from[mirrored(y + v, side) * side + mirrored(x + u, side)];
    sum += weights[v + 3] * row;
  }
  output[blockIdx.y * area + i] = sum;
}
KERNEL(blur)

// How much of each light (blockIdx.y) the points of a head see past the rest of it: (K, S, S).
// depth and opacity (S, S); surface: depth, blurred; ways (steps,) dm along a ray.
extern "C" __global__ void __launch_bounds__(256)
    hide(const float* depth, const float* opacity, const float* surface, const float* ways,
         const float* uniforms, float* seen, int side, int steps, float opaque, float bias,
         float bias_each) {
  const Uniforms& of = *(const Uniforms*)uniforms;
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= side * side || int(blockIdx.y) >= int(of.lobes)) return;
  const Lobe& lobe = of.lobe[blockIdx.y];
  const auto solid = [&](int x, int y) {
    const bool inside = x >= 0 && y >= 0 && x < side && y < side;
    return inside && opacity[y * side + x] > opaque ? depth[y * side + x] : -10.0f;
  };
  const float cells = of.scale * side / 2;
  float closest = 1;
  for (int n = 0; n < steps; ++n) {
    const float way = ways[n], step = way * cells;
    const float across = i % side + step * lobe.towards[0];
    const float down = i / side - step * lobe.towards[1];
    const int x = int(floorf(across)), y = int(floorf(down));
    const float u = across - x, v = down - y;
    const float there = solid(x, y) * ((1 - u) * (1 - v)) + solid(x + 1, y) * (u * (1 - v)) +
                        solid(x, y + 1) * ((1 - u) * v) + solid(x + 1, y + 1) * (u * v);
    const float clear = surface[i] + way * lobe.towards[2] - there + bias + bias_each * way;
    closest = least(closest, clear / (way * lobe.widest));
  }
  seen[blockIdx.y * side * side + i] = smooth_step(-1, 1, closest);
}
KERNEL(hide)

// The sum over a block of 256 threads, for each of them.
ON_BOTH float block_sum(float value, float* shared) {
  for (int by = 16; by; by /= 2) value += __shfl_xor_sync(~0u, value, by);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < 8; ++i) sum += shared[i];
  __syncthreads();
  return sum;
}

// The sums of N numbers over parts (count, N), for all threads of a block.
template <int N> ON_BOTH void sum_up(const float* partial, int count, float* sums) {
  if (threadIdx.x < N) {
    float all = 0;
    for (int n = 0; n < count; ++n) all += partial[N * n + threadIdx.x];
    sums[threadIdx.x] = all;
  }
  __syncthreads();
}

ON_BOTH float sigmoid(float value) { return 1 / (1 + expf(-value)); }
// What of a crop albedo and the source lighting's shading do not explain.
ON_BOTH float unexplained(const float* maps, int area, int i, int c, float black) {
  return logf(maps[(LINEAR + c) * area + i] + black) - logf(maps[(ALBEDO + c) * area + i] + black) -
         maps[(PRESENT + c) * area + i];
}
ON_BOTH float mean_present(const float* maps, int area, int i) {
  float sum = 0;
  for (int c = 0; c < 3; ++c) sum += maps[(PRESENT + c) * area + i];
  return sum / 3;
}

// Sums over the person, of each block of 256 pixels: of what is not explained (all channels), of
// the source shading, and of the person. partial (blocks, 3).
extern "C" __global__ void __launch_bounds__(256)
    weigh(const float* maps, float* partial, int area, float black) {
  __shared__ float shared[8];
  const int i = blockIdx.x * 256 + threadIdx.x;
  float values[3] = {};
  if (i < area) {
    values[2] = sigmoid(maps[MASK * area + i]);
    for (int c = 0; c < 3; ++c) values[0] += unexplained(maps, area, i, c, black) * values[2];
    values[1] = mean_present(maps, area, i) * values[2];
  }
  for (int n = 0; n < 3; ++n) {
    const float sum = block_sum(values[n], shared);
    if (threadIdx.x == 0) partial[3 * blockIdx.x + n] = sum;
  }
}
KERNEL(weigh)

// The nine polynomials of SH of order 2, see `basis_terms` in pipeline/lighting/sh.py.
struct Terms {
  float of[9];
};
ON_BOTH Terms terms_of(const float* n) {
  const float x = n[0], y = -n[2], z = n[1];
  return {{1, y, z, x, y * x, y * z, 3 * z * z - 1, x * z, x * x - y * y}};
}
ON_BOTH float series(const float (*coefficients)[3], const Terms& terms, int c) {
  float sum = 0;
  for (int k = 0; k < 9; ++k) sum += coefficients[k][c] * terms.of[k];
  return sum;
}
// `log_irradiance` in pipeline/lighting/sh_torch.py, of RGB in place.
ON_BOTH void log_irradiance(float* light, const float* floor, float dark) {
  const float gray = 0.2126f * light[0] + 0.7152f * light[1] + 0.0722f * light[2];
  const float share = gray / (gray + dark);
  for (int c = 0; c < 3; ++c) light[c] = logf(gray + (light[c] - gray) * share + floor[c]);
}
ON_BOTH float gray_of(const float* rgb) { return (rgb[0] + rgb[1] + rgb[2]) / 3; }

// What a light change puts into a pixel, logarithms: `shading_terms` in shading.py.
struct Shaded {
  float fresh[3], shadows, cast, shine;
};
ON_BOTH Shaded shaded(const Uniforms& of, const float* maps, const float* tables, const float* seen,
                      const float* n, int i, int side, float shadows, float highlights) {
  const int area = side * side, small = side / 2;
  const Terms terms = terms_of(n);
  float bare[3], direct[3], shine[3] = {};
  for (int c = 0; c < 3; ++c) bare[c] = direct[c] = most(series(of.even, terms, c), 0);
  const Pair across = pair_of(i % side, 0, small - 1), down = pair_of(i / side, 0, small - 1);
  const float facing = most(n[2], of.facing);
  for (int k = 0; k < int(of.lobes); ++k) {
    const Lobe& lobe = of.lobe[k];
    const float* from = seen + k * small * small;
    const float *over = from + down.near_ * small, *under = from + down.far_ * small;
    const float upper = 0.75f * over[across.near_] + 0.25f * over[across.far_];
    const float lower = 0.75f * under[across.near_] + 0.25f * under[across.far_];
    const float sees = 1 - (1 - (0.75f * upper + 0.25f * lower)) * shadows;
    const float towards = n[0] * lobe.towards[0] + n[1] * lobe.towards[1] + n[2] * lobe.towards[2];
    const float share = tables[k * 4096 + int((clamped(towards, -1, 1) + 1) * 2047.5f + 0.5f)];
    const float lit_ = clamped(towards, 0, 1);
    const float cosine =
        clamped(n[0] * lobe.half[0] + n[1] * lobe.half[1] + n[2] * lobe.half[2], 0, 1);
    float glossy = 0;
    for (int s = 0; s < 2; ++s) {
      const float spread = cosine * cosine * (lobe.square[s] - 1) + 1, rest = 1 - lobe.k[s];
      const float hidden =
          lit_ / (lit_ * rest + lobe.k[s]) * (facing / (facing * rest + lobe.k[s]));
      glossy += lobe.share[s] * lobe.square[s] / (3.14159265f * spread * spread) * hidden;
    }
    glossy *= lobe.mirrored / facing * sees;
    for (int c = 0; c < 3; ++c) {
      bare[c] += share * lobe.rgb[c], direct[c] += share * sees * lobe.rgb[c];
      shine[c] += glossy * lobe.rgb[c];
    }
  }
  const float occlusion = maps[OCCLUSION * area + i], learned = expf(shadows * occlusion);
  Shaded result;
  float diffuse[3];
  for (int c = 0; c < 3; ++c) {
    const float cast = direct[c] / most(bare[c], of.least_albedo);
    diffuse[c] = bare[c] * (learned < 1 ? least(cast, learned) : cast * learned);
  }
  log_irradiance(bare, of.floor, of.dark), log_irradiance(direct, of.floor, of.dark);
  log_irradiance(diffuse, of.floor, of.dark);
  for (int c = 0; c < 3; ++c) result.fresh[c] = diffuse[c];
  if (highlights > 0) {
    // Harmonics blurred by a rough lobe are seen in the mirror direction.
    const float front = clamped(n[2], 0, 1);
    float mirror[3] = {2 * front * n[0], 2 * front * n[1], 2 * front * n[2] - 1};
    const float length =
        sqrtf(mirror[0] * mirror[0] + mirror[1] * mirror[1] + mirror[2] * mirror[2]);
    for (int c = 0; c < 3; ++c) mirror[c] /= length;
    const Terms there = terms_of(mirror);
    const float away = 1 - front;
    const float rise = of.rise * (away * away * away * away * away);
    const float fresnel = (of.reflectance + rise) * expf(least(occlusion, 0));
    for (int c = 0; c < 3; ++c) {
      const float all = most(series(of.gloss, there, c), 0) * fresnel + shine[c];
      const float albedo = most(maps[(ALBEDO + c) * area + i], of.least_albedo);
      result.fresh[c] = logf(expf(diffuse[c]) + all * highlights / albedo);
    }
  }
  result.shadows = gray_of(diffuse) - gray_of(bare);
  result.cast = gray_of(direct) - gray_of(bare);
  result.shine = gray_of(result.fresh) - gray_of(diffuse);
  return result;
}

// The gain's logarithm before it is refined (3, S, S), and what the refiner sees of it, halves, in
// squares of two by two (S/2 + 2, S/2 + 2, 96): channel 4 f + 2 row + column of feature f of 21,
// then zeros. tables (K, 4096): irradiance by cosine. seen (K, S/2, S/2). partial: of `weigh`.
extern "C" __global__ void __launch_bounds__(128)
    shade_head(const float* maps, const float* tables, const float* seen, const float* partial,
               const float* uniforms, float* gain, Half* features, int side, int partials,
               float black) {
  __shared__ float sums[3];
  sum_up<3>(partial, partials, sums);
  const Uniforms& of = *(const Uniforms*)uniforms;
  const int i = blockIdx.x * 128 + threadIdx.x, area = side * side;
  if (i >= area) return;
  const auto old = [&](int c) {
    return maps[(LEVEL + c) * area + i] + maps[(COLOUR + c) * area + i] * of.colour;
  };
  float n[3];
  for (int c = 0; c < 3; ++c) n[c] = maps[(NORMAL + c) * area + i];
  const Shaded asked = shaded(of, maps, tables, seen, n, i, side, of.shadows, of.highlights);
  for (int c = 0; c < 3; ++c) gain[c * area + i] = asked.fresh[c] - old(c);
  // The refiner has learned what is amiss where all is shown.
  const bool whole = of.shadows == 1 && of.highlights == 1;
  const Shaded all = whole ? asked : shaded(of, maps, tables, seen, n, i, side, 1, 1);
  const int x = i % side, y = i / side, small = side / 2;
  Half* to = features + ((y / 2 + 1) * (small + 2) + x / 2 + 1) * 96 + y % 2 * 2 + x % 2;
  const auto put = [&](int feature, float value) {
    to[4 * feature] = Half(halves(clamped(value, -4, 4), 0));
  };
  put(17, all.shadows), put(18, all.cast), put(19, all.shine);
  const float person = sigmoid(maps[MASK * area + i]);
  const float rest_mean = sums[0] / (3 * sums[2] + 1);
  for (int c = 0; c < 3; ++c) {
    put(c, n[c]), put(10 + c, old(c)), put(14 + c, all.fresh[c]);
    put(3 + c, logf(maps[(ALBEDO + c) * area + i] + black) + 1);
    const float rest = (unexplained(maps, area, i, c, black) - rest_mean) * person;
    put(6 + c, clamped(rest, -1.5f, 1.5f));
  }
  put(9, mean_present(maps, area, i) - sums[1] / (sums[2] + 1)), put(20, person);
  float smooth[3];
  const Terms terms = terms_of(n);
  for (int c = 0; c < 3; ++c) smooth[c] = most(series(of.source, terms, c), 0);
  log_irradiance(smooth, of.source_floor, of.source_dark);
  put(13, gray_of(smooth));
}
KERNEL(shade_head)

// The refiner's residual of a pixel, RGB, of what it puts out (S/2 + 2, S/2 + 2, 16).
struct Residual {
  float of[3];
};
ON_BOTH Residual residual_of(const Half2* refined, int i, int side, float gray, float color) {
  const int x = i % side, y = i / side, small = side / 2, part = y % 2 * 2 + x % 2;
  const Half2* from = refined + ((y / 2 + 1) * (small + 2) + x / 2 + 1) * 8 + part / 2;
  float out[4];
  for (int c = 0; c < 4; ++c) {
    const float2 both = floats(from[2 * c]);
    out[c] = part % 2 ? both.y : both.x;
  }
  const float mean = (out[1] + out[2] + out[3]) / 3, base = gray * tanhf(out[0] / gray);
  Residual result;
  for (int c = 0; c < 3; ++c) result.of[c] = base + color * tanhf((out[1 + c] - mean) / color);
  return result;
}

// Sums of it over the person, and of the person, of each block of 256 pixels: partial (blocks, 4).
extern "C" __global__ void __launch_bounds__(256)
    weigh_residual(const float* maps, const Half2* refined, float* partial, int side, float gray,
                   float color) {
  __shared__ float shared[8];
  const int i = blockIdx.x * 256 + threadIdx.x;
  float values[4] = {};
  if (i < side * side) {
    const Residual residual = residual_of(refined, i, side, gray, color);
    values[3] = sigmoid(maps[MASK * side * side + i]);
    for (int c = 0; c < 3; ++c) values[c] = residual.of[c] * values[3];
  }
  for (int n = 0; n < 4; ++n) {
    const float sum = block_sum(values[n], shared);
    if (threadIdx.x == 0) partial[4 * blockIdx.x + n] = sum;
  }
}
KERNEL(weigh_residual)

// The gain of linear light (S, S, 3) of its logarithm (3, S, S) and the residual, bent by
// `soft_limit` of pipeline/compositing/gain.py.
extern "C" __global__ void __launch_bounds__(128)
    finish_gain(const float* logarithm, const Half2* refined, const float* partial,
                const float* uniforms, float* gain, int side, int partials, float gray, float color,
                float limit) {
  __shared__ float sums[4];
  sum_up<4>(partial, partials, sums);
  const int i = blockIdx.x * 128 + threadIdx.x, area = side * side;
  if (i >= area) return;
  const Residual residual = residual_of(refined, i, side, gray, color);
  for (int c = 0; c < 3; ++c) {
    const float own = residual.of[c] - sums[c] / (sums[3] + 1);
    const float value = (logarithm[c * area + i] + own) * ((const Uniforms*)uniforms)->difference;
    const float lift = most(value, 0) / limit, square = lift * lift;
    gain[3 * i + c] = expf(value / sqrtf(sqrtf(1 + square * square)));
  }
}
KERNEL(finish_gain)
