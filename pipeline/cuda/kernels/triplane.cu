// What the tri-plane network does beside convolutions; pipeline/engines/triplane/network/model.py
// says the same in torch. Images as in convolution.cu.
#include "device.h"

// What differs from one inference to the next; `_uniforms` in cuda_network.py writes it.
struct Uniforms {
  float rotation[9], scale, shift[2];  // of the pose
  float fresh;                         // 1: there is no state
  float floor;                         // of the light's irradiance
  float light[9], bare[9];             // SH in head space, and times what makes it irradiance
  float least;                         // share of a small change that is followed
};

// (256, 256, 3) BGR to (130, 130, 16): of each square of four pixels RGB one after the other, then
// zeros.
extern "C" __global__ void __launch_bounds__(256)
    squares(const Byte* image, Half2* output, int side) {
  const int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= side * side) return;
  const int x = i % side, y = i / side;
  float values[16] = {};
  for (int n = 0; n < 4; ++n)
    for (int c = 0; c < 3; ++c)
      values[3 * n + c] =
          image[((2 * y + n / 2) * 2 * side + 2 * x + n % 2) * 3 + 2 - c] * (1 / 127.5f) - 1;
  Half2* to = output + ((y + 1) * (side + 2) + x + 1) * 8;
  for (int n = 0; n < 8; ++n) to[n] = halves(values[2 * n], values[2 * n + 1]);
}
KERNEL(squares)

// Adds to all pixels of (S + 2, S + 2, C) what a fully connected layer and a ReLU make of their
// mean; weight (C, C) and bias (C,). One block; C is 128 at most.
extern "C" __global__ void __launch_bounds__(512)
    add_context(Half2* image, const float* weight, const float* bias, int side, int channels) {
  __shared__ float sums[8][128];
  __shared__ float mean[128];
  const int words = channels / 2, word = threadIdx.x % 64, part = threadIdx.x / 64;
  float one = 0, two = 0;
  if (word < words)
    for (int i = part; i < side * side; i += 8) {
      const float2 both =
          floats(image[((i / side + 1) * (side + 2) + i % side + 1) * words + word]);
      one += both.x, two += both.y;
    }
  sums[part][2 * word] = one, sums[part][2 * word + 1] = two;
  __syncthreads();
  if (threadIdx.x < 128) {
    float all = 0;
    for (int i = 0; i < 8; ++i) all += sums[i][threadIdx.x];
    mean[threadIdx.x] = all / (side * side);
  }
  __syncthreads();
  if (int(threadIdx.x) < channels) {
    float all = bias[threadIdx.x];
    for (int i = 0; i < channels; ++i) all += weight[threadIdx.x * channels + i] * mean[i];
    sums[0][threadIdx.x] = most(all, 0);
  }
  __syncthreads();
  if (word < words)
    for (int i = part; i < side * side; i += 8) {
      Half2* at = image + ((i / side + 1) * (side + 2) + i % side + 1) * words + word;
      const float2 both = floats(*at);
      *at = halves(both.x + sums[0][2 * word], both.y + sums[0][2 * word + 1]);
    }
}
KERNEL(add_context)

struct Spot {  // where a place is among `side` cells: the first of two, share of the second
  int first;
  float share;
};
ON_BOTH Spot spot(float place, int side) {  // in -1..1 from edge to edge
  const float at = clamped((place + 1) * side / 2 - 0.5f, 0, side - 1.0f);
  const int first = int(at);
  return {first, at - first};
}

// Calls f(share, number of a cell) for the four cells of (S + 2, S + 2) around a place; what lies
// beyond the last one has no share.
template <class F> ON_BOTH void around(float x, float y, int side, F f) {
  const Spot across = spot(x, side), down = spot(y, side);
  const int cell = (down.first + 1) * (side + 2) + across.first + 1;
  f((1 - across.share) * (1 - down.share), cell), f(across.share * (1 - down.share), cell + 1);
  f((1 - across.share) * down.share, cell + side + 2);
  f(across.share * down.share, cell + side + 3);
}

// Features (S + 2, S + 2, 64) to the cells of three planes (3, S + 2, S + 2, 144): what both ends
// of a cell's line see, 64 each, and how much each faces the camera. anchors: (3, 2, S^2, 6) points
// and normals. A warp for each end.
extern "C" __global__ void __launch_bounds__(128)
    unproject(const Half2* features, const float* anchors, const float* uniforms, Half2* planes,
              int side) {
  const Uniforms& u = *(const Uniforms*)uniforms;
  const int lane = threadIdx.x % 32, i = blockIdx.x * 4 + threadIdx.x / 32, cells = side * side;
  if (i >= 6 * cells) return;
  const int plane = i / cells / 2, end = i / cells % 2, cell = i % cells;
  const float* r = u.rotation;
  const float* p = anchors + 6 * i;
  const float x = (r[0] * p[0] + r[1] * p[1] + r[2] * p[2]) * u.scale + u.shift[0];
  const float y = -(r[3] * p[0] + r[4] * p[1] + r[5] * p[2]) * u.scale + u.shift[1];
  float one = 0, two = 0;
  around(x, y, side, [&](float share, int at) {
    const float2 both = floats(features[at * 32 + lane]);
    one += share * both.x, two += share * both.y;
  });
  Half2* to = planes + ((plane * (side + 2) + cell / side + 1) * (side + 2) + cell % side + 1) * 72;
  to[32 * end + lane] = halves(one, two);
  if (end == 0 && lane == 0) {
    const float *near_ = p + 3, *other = p + 6 * cells + 3;
    to[64] = halves(r[6] * near_[0] + r[7] * near_[1] + r[8] * near_[2],
                    r[6] * other[0] + r[7] * other[1] + r[8] * other[2]);
  }
}
KERNEL(unproject)

// What the temporal gate decides by: of each cell the new, the old, and how far they are apart.
// mixed_planes (3, S + 2, S + 2, C); place and state (3, S, S, C); joined (3, S + 2, S + 2, 3 C).
extern "C" __global__ void __launch_bounds__(256)
    join(const Half2* mixed_planes, const float* place, const float* state, const float* uniforms,
         Half2* joined, int side, int channels) {
  const int words = channels / 2, i = blockIdx.x * 256 + threadIdx.x;
  if (i >= 3 * side * side * words) return;
  const int c = i % words, x = i / words % side, y = i / words / side % side;
  const int cell = (i / words / side / side * (side + 2) + y + 1) * (side + 2) + x + 1;
  float2 fresh = floats(mixed_planes[cell * words + c]), old = {0, 0};
  fresh.x += place[2 * i], fresh.y += place[2 * i + 1];
  if (((const Uniforms*)uniforms)->fresh == 0) old = {state[2 * i], state[2 * i + 1]};
  Half2* to = joined + cell * 3 * words + c;
  to[0] = halves(fresh.x, fresh.y), to[words] = halves(old.x, old.y);
  to[2 * words] = halves(fabsf(fresh.x - old.x), fabsf(fresh.y - old.y));
}
KERNEL(join)

// The next state, in place, and its image (3, S + 2, S + 2, C); gate (3, S + 2, S + 2, C) logits.
extern "C" __global__ void __launch_bounds__(256)
    remember(const Half2* mixed_planes, const float* place, const Half2* gate,
             const float* uniforms, float* state, Half2* planes, int side, int channels) {
  const int words = channels / 2, i = blockIdx.x * 256 + threadIdx.x;
  if (i >= 3 * side * side * words) return;
  const int c = i % words, x = i / words % side, y = i / words / side % side;
  const int cell = (i / words / side / side * (side + 2) + y + 1) * (side + 2) + x + 1;
  float2 next = floats(mixed_planes[cell * words + c]);
  next.x += place[2 * i], next.y += place[2 * i + 1];
  if (((const Uniforms*)uniforms)->fresh == 0) {
    const float2 logits = floats(gate[cell * words + c]);
    next.x = mixed(state[2 * i], next.x, 1 / (1 + expf(-logits.x)));
    next.y = mixed(state[2 * i + 1], next.y, 1 / (1 + expf(-logits.y)));
  }
  state[2 * i] = next.x, state[2 * i + 1] = next.y;
  planes[cell * words + c] = halves(next.x, next.y);
}
KERNEL(remember)

// Calls f(share, number of a cell) for the cells of three planes around a point of head space.
template <class F> ON_BOTH void cells_around(const float* point, int side, F f) {
  const float places[3][2] = {{point[0], -point[1]}, {point[2], -point[1]}, {point[0], -point[2]}};
  for (int n = 0; n < 3; ++n)
    around(places[n][0], places[n][1], side,
           [&](float share, int cell) { f(share, n * (side + 2) * (side + 2) + cell); });
}
ON_BOTH float softplus(float value) { return value > 20 ? value : log1pf(expf(value)); }

// Rays through the planes (3, S + 2, S + 2, 16), of which number 12 of the albedo's is the density
// before its softplus. Eight lanes share a ray: each takes one of 8 coarse samples, then half of
// the features of one of 4 fine ones. Writes to each of `rays`^2 36 numbers: 16 of albedo, 16 of
// shading, depth, coarse depth, opacity, 0.
extern "C" __global__ void __launch_bounds__(128)
    render(const uint4* albedo, const uint4* shading, const float* uniforms, float* output,
           int side, int rays, float nearest, float farthest, float spread, float half,
           float bias) {
  const Uniforms& of = *(const Uniforms*)uniforms;
  const unsigned id = blockIdx.x * 128 + threadIdx.x, lane = id % 8, ray = id / 8;
  const float u = ((2 * (ray % rays) + 1.0f) / rays - 1 - of.shift[0]) / of.scale;
  const float v = ((2 * (ray / rays) + 1.0f) / rays - 1 - of.shift[1]) / of.scale;
  const float* r = of.rotation;
  const auto lifted = [&](float depth, float* point) {
    for (int i = 0; i < 3; ++i) point[i] = (u * r[i] - v * r[3 + i] + depth * r[6 + i]) / half;
  };
  float point[3], depth = nearest + lane * ((farthest - nearest) / 7), value = bias;
  lifted(depth, point);
  cells_around(point, side,
               [&](float share, int cell) { value += share * floats(albedo[2 * cell + 1].z).x; });
  float own = softplus(value) * (10 * (nearest - farthest) / 7), sum = own;
  for (int by = 1; by < 8; by *= 2) {
    const float before = __shfl_up_sync(~0u, sum, by, 8);
    if (lane >= unsigned(by)) sum += before;
  }
  float mean = (expf(own - sum) - expf(-sum)) * depth;
  for (int by = 1; by < 8; by *= 2) mean += __shfl_xor_sync(~0u, mean, by);
  const float opacity = 1 - expf(-__shfl_sync(~0u, sum, 7, 8));
  const float centre = (mean + farthest * 1e-3f) / (opacity + 1e-3f);
  depth = centre + (1.5f - lane / 2) * spread;
  lifted(depth, point);
  const uint4* planes = lane % 2 ? shading : albedo;
  float f[16] = {};
  cells_around(point, side, [&](float share, int cell) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint4 eight = planes[2 * cell + i];
      const Half2 twos[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const float2 both = floats(twos[k]);
        f[8 * i + 2 * k] += share * both.x, f[8 * i + 2 * k + 1] += share * both.y;
      }
    }
  });
  own = sum = softplus(__shfl_sync(~0u, f[12], lane & ~1u, 8) + bias) * (10 * spread);
  for (int by = 2; by < 8; by *= 2) {
    const float before = __shfl_up_sync(~0u, sum, by, 8);
    if (lane >= unsigned(by)) sum += before;
  }
  float share = expf(own - sum) - expf(-sum), total = share;
  for (int by = 2; by < 8; by *= 2) total += __shfl_xor_sync(~0u, total, by);
  share = share / (total + 1e-3f) + (1 - total / (total + 1e-3f)) / 4;
  float surface = share * depth;
#pragma unroll
  for (int i = 0; i < 16; ++i) f[i] *= share;
  for (int by = 2; by < 8; by *= 2) {
    surface += __shfl_xor_sync(~0u, surface, by);
#pragma unroll
    for (int i = 0; i < 16; ++i) f[i] += __shfl_xor_sync(~0u, f[i], by);
  }
  float* to = output + ray * 36;
#pragma unroll
  for (int i = 0; i < 16; ++i)
    if (unsigned(i / 4) == lane / 2) to[16 * (lane % 2) + i] = f[i];
  if (lane == 0) to[32] = surface, to[33] = centre, to[34] = opacity, to[35] = 0;
}
KERNEL(render)

// The pixel head's first layers, on what was rendered (S^2, 36): normals in camera space, of any
// length, (S, S, 4), and what the maps begin with (S + 2, S + 2, 16). weight: (16, 12) of albedo,
// (16, 12) of shading, (16, 5) of normal, depth and opacity, (16,) biases; (3, 12) of the normal
// and (3,) biases.
extern "C" __global__ void __launch_bounds__(128)
    begin_maps(const float* rendered, const float* weight, const float* uniforms, float4* normals,
               Half2* maps, int side) {
  __shared__ float w[519];
  for (int i = threadIdx.x; i < 519; i += 128) w[i] = weight[i];
  __syncthreads();
  const int i = blockIdx.x * 128 + threadIdx.x;
  if (i >= side * side) return;
  const float* seen = rendered + 36 * i;
  const float* r = ((const Uniforms*)uniforms)->rotation;
  float own[3], five[5];
  for (int c = 0; c < 3; ++c) {
    own[c] = w[516 + c];
    for (int k = 0; k < 12; ++k) own[c] += w[480 + 12 * c + k] * seen[k];
  }
  for (int c = 0; c < 3; ++c)
    five[c] = r[3 * c] * own[0] + r[3 * c + 1] * own[1] + r[3 * c + 2] * own[2];
  five[3] = seen[32], five[4] = seen[34];
  normals[i] = {five[0], five[1], five[2], 0};
  Half2* to = maps + ((i / side + 1) * (side + 2) + i % side + 1) * 8;
  for (int n = 0; n < 8; ++n) {
    float both[2];
    for (int one = 0; one < 2; ++one) {
      const int c = 2 * n + one;
      float sum = w[464 + c];
      for (int k = 0; k < 12; ++k)
        sum += w[12 * c + k] * seen[k] + w[192 + 12 * c + k] * seen[16 + k];
      for (int k = 0; k < 5; ++k) sum += w[384 + 5 * c + k] * five[k];
      both[one] = sum;
    }
    to[n] = halves(both[0], both[1]);
  }
}
KERNEL(begin_maps)

// The maps (11, S, S) of the last layer's (S + 2, S + 2, 32) and the volume's normals (S/2, S/2,
// 4): normal 3, albedo 3, present 3, occlusion, mask.
extern "C" __global__ void __launch_bounds__(128)
    finish_maps(const Half2* layer, const float4* normals, const float* uniforms, float* maps,
                int side) {
  const Uniforms& of = *(const Uniforms*)uniforms;
  const int i = blockIdx.x * 128 + threadIdx.x, area = side * side, small = side / 2;
  if (i >= area) return;
  const int x = i % side, y = i / side;
  float out[20];
  const Half2* from = layer + ((y + 1) * (side + 2) + x + 1) * 16;
  for (int n = 0; n < 10; ++n) {
    const float2 both = floats(from[n]);
    out[2 * n] = both.x, out[2 * n + 1] = both.y;
  }
  const Pair across = pair_of(x, 0, small - 1), down = pair_of(y, 0, small - 1);
  const float4 *upper = normals + down.near_ * small, *lower = normals + down.far_ * small;
  const float4 a = upper[across.near_], b = upper[across.far_];
  const float4 c = lower[across.near_], d = lower[across.far_];
  float n[3] = {out[0] + (9 * a.x + 3 * (b.x + c.x) + d.x) / 16,
                out[1] + (9 * a.y + 3 * (b.y + c.y) + d.y) / 16,
                out[2] + (9 * a.z + 3 * (b.z + c.z) + d.z) / 16};
  const float length = most(sqrtf(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]), 1e-4f);
  for (int k = 0; k < 3; ++k) n[k] /= length;
  // SH of order 2 in the head's axes; y is towards the camera there and z up, see lighting/sh.py.
  const float* r = of.rotation;
  const float p = r[0] * n[0] + r[3] * n[1] + r[6] * n[2];
  const float q = -(r[2] * n[0] + r[5] * n[1] + r[8] * n[2]);
  const float s = r[1] * n[0] + r[4] * n[1] + r[7] * n[2];
  const float terms[9] = {1, q, s, p, q * p, q * s, 3 * s * s - 1, p * s, p * p - q * q};
  float bare = 0, change = 0;
  for (int k = 0; k < 9; ++k) bare += of.bare[k] * terms[k], change += of.light[k] * out[10 + k];
  const float arriving = softplus((bare + change) * 4) / 4;
  const float share = logf((arriving + of.floor) / (most(bare, 0) + of.floor));
  for (int k = 0; k < 3; ++k) {
    maps[k * area + i] = n[k];
    maps[(3 + k) * area + i] = 1 / (1 + expf(-out[3 + k]));
    maps[(6 + k) * area + i] = out[6 + k];
  }
  maps[9 * area + i] = clamped(share, -2.5f, 1);
  maps[10 * area + i] = out[9];
}
KERNEL(finish_maps)

// Follows small changes of the maps (11, S, S) slowly, those of a surface that has moved with it:
// normals and source shading, in place; `smooth_maps` in temporal/smoothing.py. before and followed
// (6, S, S): both, as they were and as they are. flow (2, S, S): where things were, x and y.
extern "C" __global__ void __launch_bounds__(256)
    follow(float* maps, const float* before, const float* flow, const float* uniforms,
           float* followed, int side, float sure_normal, float sure_present) {
  const Uniforms& of = *(const Uniforms*)uniforms;
  const int i = blockIdx.x * 256 + threadIdx.x, area = side * side;
  if (i >= area) return;
  float last[6] = {};
  if (of.fresh == 0) {
    const float x = clamped(flow[i], 0, side - 1.0f), y = clamped(flow[area + i], 0, side - 1.0f);
    const int left = int(x), top = int(y), right = left + 1 < side ? left + 1 : left;
    const int below = top + 1 < side ? top + 1 : top;
    for (int c = 0; c < 6; ++c) {
      const float* from = before + c * area;
      last[c] =
          mixed(mixed(from[top * side + left], from[top * side + right], x - left),
                mixed(from[below * side + left], from[below * side + right], x - left), y - top);
    }
  }
  for (int part = 0; part < 2; ++part) {
    float* fresh = maps + 6 * part * area + i;
    float square = 0;
    for (int c = 0; c < 3; ++c) {
      const float step = fresh[c * area] - last[3 * part + c];
      square += step * step;
    }
    const float sure = part ? sure_present : sure_normal;
    float share = least(of.least + (1 - of.least) * square / (sure * sure), 1);
    if (of.fresh != 0) share = 1;
    for (int c = 0; c < 3; ++c) {
      const float value = mixed(last[3 * part + c], fresh[c * area], share);
      fresh[c * area] = followed[(3 * part + c) * area + i] = value;
    }
  }
}
KERNEL(follow)
