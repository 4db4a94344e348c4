"""GLSL of the rasterizer. Rows of all images run from top to bottom: the projection turns y."""

SURFACE_VERTEX = """
#version 330
uniform mat4 to_clip;
in vec3 in_position;
in vec3 in_normal;
in vec2 in_uv;
in vec3 in_irradiance_0;
in vec3 in_irradiance_1;
in vec2 in_reflected;
in vec3 in_following;
out vec3 position;
out vec3 normal;
out vec2 uv;
out vec3 irradiance_0;
out vec3 irradiance_1;
out vec2 reflected;
out vec3 following;  // x, y, w in the following frame's clip space
void main() {
    position = in_position;
    normal = in_normal;
    uv = in_uv;
    irradiance_0 = in_irradiance_0;
    irradiance_1 = in_irradiance_1;
    reflected = in_reflected;
    following = (to_clip * vec4(in_following, 1.0)).xyw;
    gl_Position = to_clip * vec4(in_position, 1.0);
}
"""

# The model of glossy.py. A fragment is drawn if its alpha is in [lowest, highest). Blending takes
# each output's own alpha: those of `place` and `kind` are 0 or 1, which keeps or replaces.
SURFACE_FRAGMENT = """
#version 330
const float PI = 3.14159265;
const float DARKEST = 0.001;  // albedo that shading can still be divided out of
uniform sampler2D albedo_map;
uniform sampler2DArray glossy_0;
uniform sampler2DArray glossy_1;
uniform sampler2D split_sum;
uniform vec3 eye;
uniform float roughness;
uniform float f0;
uniform float layer;  // of the glossy maps, for the roughness
uniform bool opaque;
uniform bool coat;
uniform float lowest;
uniform float highest;
uniform float solid;   // from this alpha nothing shines through
uniform float mostly;  // from this alpha the surface is what a pixel shows
uniform float label;
uniform vec2 size;     // of the target
in vec3 position;
in vec3 normal;
in vec2 uv;
in vec3 irradiance_0;
in vec3 irradiance_1;
in vec2 reflected;
in vec3 following;
layout(location = 0) out vec4 diffuse_0;
layout(location = 1) out vec4 diffuse_1;
layout(location = 2) out vec4 surface;
layout(location = 3) out vec4 specular_0;
layout(location = 4) out vec4 specular_1;
layout(location = 5) out vec4 direction;
layout(location = 6) out vec4 place;  // flow in samples, depth
layout(location = 7) out vec4 kind;   // label, depth in the following frame

vec3 radiance(sampler2DArray maps, vec2 reading) {
    float low = floor(layer);
    return mix(textureLod(maps, vec3(reading, low), 0.0).rgb,
               textureLod(maps, vec3(reading, low + 1.0), 0.0).rgb, layer - low);
}

void main() {
    vec4 texel = texture(albedo_map, uv);
    float alpha = opaque ? 1.0 : texel.a;
    if (alpha < lowest || alpha >= highest) discard;
    if (alpha >= solid) alpha = 1.0;
    vec3 albedo = max(texel.rgb, vec3(DARKEST));
    vec3 n = normalize(normal);
    vec3 view = normalize(eye - position);
    float facing = max(dot(n, view), 0.05);
    vec3 ray = normalize(2.0 * facing * n - view);
    vec2 terms = texture(split_sum, vec2(facing, roughness)).rg;
    float strength = (f0 * terms.x + terms.y) * (coat ? 1.0 : alpha);
    vec2 reading = vec2(0.5 - atan(ray.x, ray.z) / (2.0 * PI),
                        0.5 - asin(clamp(ray.y, -1.0, 1.0)) / PI);
    if (coat) alpha = 0.0;
    diffuse_0 = vec4(albedo * irradiance_0 * (alpha / PI), alpha);
    diffuse_1 = vec4(albedo * irradiance_1 * (alpha / PI), alpha);
    surface = vec4(albedo * alpha, alpha);
    specular_0 = vec4(radiance(glossy_0, reading) * strength * reflected.x, alpha);
    specular_1 = vec4(radiance(glossy_1, reading) * strength * reflected.y, alpha);
    direction = vec4(n * alpha, alpha);
    float shown = step(mostly, alpha);
    vec2 there = (following.xy / following.z * 0.5 + 0.5) * size;
    place = vec4(there - gl_FragCoord.xy, 1.0 / gl_FragCoord.w, 1.0) * shown;
    kind = vec4(label, following.z, 0.0, 1.0) * shown;
}
"""

SCREEN_VERTEX = """
#version 330
in vec2 in_corner;
void main() { gl_Position = vec4(in_corner, 0.0, 1.0); }
"""

# Colours are the mean of each pixel's samples, with three channels more packed into the fourths.
# Place and kind are the mean of the samples that show what most of them show, the nearest of a tie.
RESOLVE_FRAGMENT = """
#version 330
uniform sampler2D samples[8];
uniform int factor;  // 1 or 2
layout(location = 0) out vec4 diffuse_0;
layout(location = 1) out vec4 diffuse_1;
layout(location = 2) out vec4 surface;
layout(location = 3) out vec4 specular_0;
layout(location = 4) out vec4 specular_1;
layout(location = 5) out vec4 place;

// Between four samples a linear filter gives their mean in one fetch.
vec4 mean(sampler2D source) {
    return textureLod(source, gl_FragCoord.xy * float(factor) / vec2(textureSize(source, 0)), 0.0);
}

void main() {
    vec3 direction = mean(samples[5]).xyz;
    diffuse_0 = mean(samples[0]);
    diffuse_1 = vec4(mean(samples[1]).rgb, direction.x);
    surface = vec4(mean(samples[2]).rgb, direction.y);
    specular_0 = vec4(mean(samples[3]).rgb, direction.z);
    ivec2 a = ivec2(gl_FragCoord.xy) * factor;
    ivec2 d = a + factor - 1;
    ivec2 b = ivec2(d.x, a.y), c = ivec2(a.x, d.y);
    mat4 places = mat4(texelFetch(samples[6], a, 0), texelFetch(samples[6], b, 0),
                       texelFetch(samples[6], c, 0), texelFetch(samples[6], d, 0));
    mat4x2 kinds = mat4x2(texelFetch(samples[7], a, 0).xy, texelFetch(samples[7], b, 0).xy,
                          texelFetch(samples[7], c, 0).xy, texelFetch(samples[7], d, 0).xy);
    vec4 label = vec4(kinds[0].x, kinds[1].x, kinds[2].x, kinds[3].x);
    vec4 depth = vec4(places[0].z, places[1].z, places[2].z, places[3].z);
    depth += vec4(equal(label, vec4(0.0))) * 900.0;
    vec4 same = vec4(1.0);
    float best = -1.0;
    for (int k = 0; k < 4; k++) {
        vec4 mine = vec4(equal(label, vec4(label[k])));
        float score = dot(mine, vec4(1.0)) - depth[k] / 1000.0;
        if (score > best) { best = score; same = mine; }
    }
    same /= dot(same, vec4(1.0));
    vec4 here = places * same;
    vec2 what = kinds * same;
    place = vec4(here.xy / float(factor), here.z, what.y);
    specular_1 = vec4(mean(samples[4]).rgb, what.x);
}
"""
