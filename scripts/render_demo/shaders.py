"""GLSL of the rasteriser: surface shading in linear light, the backdrop and the final resolve."""

SURFACE_VERTEX = """
#version 330
uniform mat4 view_projection;
in vec3 in_position;
in vec3 in_normal;
in vec2 in_uv;
in vec4 in_light;
in float in_cover;
out vec3 position;
out vec3 normal;
out vec2 uv;
out vec4 light;
out float cover;
void main() {
    position = in_position;
    normal = in_normal;
    uv = in_uv;
    light = in_light;
    cover = in_cover;
    gl_Position = view_projection * vec4(in_position, 1.0);
}
"""

SURFACE_FRAGMENT = """
#version 330
const float PI = 3.14159265;
uniform sampler2D albedo_map;
uniform sampler2D normal_map;
uniform sampler2DArray reflection_map;
uniform float reflection_roughness[4];
uniform vec3 harmonics[9];
uniform vec3 camera;
uniform vec3 tint;
uniform vec3 cover_albedo;
uniform float roughness;
uniform float f0;
uniform float bump;
uniform bool has_normals;
uniform bool clear_coat;
in vec3 position;
in vec3 normal;
in vec2 uv;
in vec4 light;
in float cover;
out vec4 colour;

vec3 irradiance(vec3 n) {
    vec3 e = harmonics[0] * 0.282095
        + harmonics[1] * 0.488603 * n.y + harmonics[2] * 0.488603 * n.z
        + harmonics[3] * 0.488603 * n.x + harmonics[4] * 1.092548 * n.x * n.y
        + harmonics[5] * 1.092548 * n.y * n.z + harmonics[6] * 0.315392 * (3.0 * n.z * n.z - 1.0)
        + harmonics[7] * 1.092548 * n.x * n.z + harmonics[8] * 0.546274 * (n.x * n.x - n.y * n.y);
    return max(e, vec3(0.02));
}

vec3 reflected(vec3 r) {
    vec2 place = vec2(atan(r.x, -r.z) / (2.0 * PI), 0.5 - asin(clamp(r.y, -1.0, 1.0)) / PI);
    int layer = 0;
    while (layer < 2 && roughness > reflection_roughness[layer + 1]) layer++;
    float low = reflection_roughness[layer], high = reflection_roughness[layer + 1];
    float blend = clamp((roughness - low) / (high - low), 0.0, 1.0);
    return mix(textureLod(reflection_map, vec3(place, layer), 0.0).rgb,
               textureLod(reflection_map, vec3(place, layer + 1), 0.0).rgb, blend);
}

// Relief from the texture's fine brightness (Mikkelsen 2010, surface gradient).
vec3 bumped(vec3 n) {
    vec3 weights = vec3(0.3, 0.5, 0.2);
    float height = bump * dot(weights, texture(albedo_map, uv).rgb
                                       - texture(albedo_map, uv, 3.0).rgb);
    vec3 px = dFdx(position), py = dFdy(position);
    vec3 r1 = cross(py, n), r2 = cross(n, px);
    float area = dot(px, r1);
    vec3 gradient = sign(area) * (dFdx(height) * r1 + dFdy(height) * r2);
    return normalize(abs(area) * n - gradient);
}

// Tangent-space normal with the tangent frame from derivatives (Schueler 2013).
vec3 mapped(vec3 n) {
    vec3 px = dFdx(position), py = dFdy(position);
    vec2 ux = dFdx(uv), uy = dFdy(uv);
    vec3 a = cross(py, n), b = cross(n, px);
    vec3 tangent = a * ux.x + b * uy.x, bitangent = -(a * ux.y + b * uy.y);
    float size = inversesqrt(max(max(dot(tangent, tangent), dot(bitangent, bitangent)), 1e-20));
    vec3 t = texture(normal_map, uv).xyz * 2.0 - 1.0;
    return normalize(1.6 * size * (t.x * tangent + t.y * bitangent) + max(t.z, 0.1) * n);
}

void main() {
    vec4 texel = texture(albedo_map, uv);
    vec3 albedo = mix(texel.rgb * tint, cover_albedo, cover);
    vec3 n = normalize(normal);
    vec3 view = normalize(camera - position);
    vec3 received = light.rgb;
    if (bump > 0.0 || has_normals) {
        vec3 fine = has_normals ? mapped(n) : bumped(n);
        received *= irradiance(fine) / irradiance(n);
        n = fine;
    }
    float facing = clamp(dot(n, view), 0.05, 1.0);
    float openness = clamp(light.a, 0.0, 1.0);
    // Split-sum approximation of the GGX lobe (Karis 2014).
    vec4 c0 = vec4(-1.0, -0.0275, -0.572, 0.022), c1 = vec4(1.0, 0.0425, 1.04, -0.04);
    vec4 r = roughness * c0 + c1;
    float a004 = min(r.x * r.x, exp2(-9.28 * facing)) * r.x + r.y;
    vec2 scale = vec2(-1.04, 1.04) * a004 + r.zw;
    // Specular occlusion from openness (Lagarde and de Rousiers 2014).
    float seen = clamp(pow(facing + openness, exp2(-16.0 * roughness - 1.0)) - 1.0 + openness,
                       0.0, 1.0);
    vec3 specular = reflected(reflect(-view, n)) * (f0 * scale.x + scale.y) * seen;
    specular *= 1.0 - cover;
    vec3 diffuse = albedo * received / PI;
    float alpha = clear_coat ? 0.0 : texel.a;
    colour = vec4(diffuse * alpha + specular * (clear_coat ? 1.0 : alpha), alpha);
}
"""

SCREEN_VERTEX = """
#version 330
in vec2 in_corner;
out vec2 place;
void main() {
    place = in_corner * 0.5 + 0.5;
    gl_Position = vec4(in_corner, 0.0, 1.0);
}
"""

BACKDROP_FRAGMENT = """
#version 330
uniform sampler2D backdrop;
in vec2 place;
out vec4 colour;
void main() { colour = vec4(texture(backdrop, vec2(place.x, 1.0 - place.y)).rgb, 1.0); }
"""

# Averages the samples in linear light, encodes as sRGB and dithers by half a
# code value so that the soft background does not band.
RESOLVE_FRAGMENT = """
#version 330
uniform sampler2D samples;
uniform int factor;
uniform float exposure;
out vec4 colour;
void main() {
    ivec2 corner = ivec2(gl_FragCoord.xy) * factor;
    vec3 sum = vec3(0.0);
    for (int y = 0; y < factor; y++)
        for (int x = 0; x < factor; x++)
            sum += min(texelFetch(samples, corner + ivec2(x, y), 0).rgb * exposure, vec3(1.5));
    vec3 linear = clamp(sum / float(factor * factor), 0.0, 1.0);
    vec3 encoded = mix(12.92 * linear, 1.055 * pow(linear, vec3(1.0 / 2.4)) - 0.055,
                       step(0.0031308, linear));
    float dither = fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
    colour = vec4(encoded + (dither - 0.5) / 255.0, 1.0);
}
"""
