"""The light stage's reference renderer: mitsuba, one light at a time and direct renders.

It shares nothing with the rasterizer but the parts, their posed vertices and the reflection model
of `render.brdf`. Visibility, to the camera and to each light, is traced and follows the textures'
alpha; light that comes from another part of the person is traced too. Single lights are hard: their
shadows have no penumbra.

Needs PyPI's `mitsuba` 3.9 and LLVM 19's shared library; importing it fails where they are missing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.light_map import LightMap
from vcam_relight.pipeline.lightstage.core.scene import Part, PinholeCamera, Posed
from vcam_relight.pipeline.lightstage.ground_truth.mitsuba_llvm import dr, mi
from vcam_relight.pipeline.lightstage.ground_truth.mitsuba_surface import (
    Surface,
    mesh,
    specular_cosine,
)

_LAYERS = 12
"""Surfaces that a ray may pass; what lies behind more is not seen."""
_COATS = 3
"""Clear coats before one surface: both sides of a lens and a cornea."""
_OFFSET, _HAIR_OFFSET = 0.006, 0.08
"""Shadow rays start this far off the surface in dm: hair's cards cross each other."""
_FARTHEST = 0.06
"""And at most this much further where a triangle stands for a round surface."""
_MIN_ROUGHNESS = 0.35
"""64 directions stand 14 degrees apart; a smoother surface would mirror them as separate points."""
_BOUNCES = 2


@dataclass(frozen=True, slots=True)
class Layers:
    """What one image shows, at the first surface that is no clear coat."""

    alpha: FloatArray
    """`(H, W)` in 0..1."""
    normal: FloatArray
    """`(H, W, 3)` unit shading normals in world space, 0 outside the person."""
    albedo: FloatArray
    """`(H, W, 3)` linear, premultiplied by alpha."""
    depth: FloatArray
    """`(H, W)` dm along the optical axis, 0 outside the person."""


@dataclass
class _Points:
    """Places that light is gathered for, of many samples (a Dr.Jit tree: every field is wide)."""

    pixel: Any
    place: Any
    normal: Any
    view: Any
    """Unit vectors to the camera."""
    diffuse: Any
    """Albedo; behind a bounce the product of both albedos; 0 on clear coats."""
    gloss: Any
    """Share of the specular lobe: 0 behind a bounce."""
    width: Any
    f0: Any

    def reflected(self, towards: Any) -> Any:
        """Radiance per irradiance of unshadowed light from the direction `towards`."""
        cosine = dr.dot(self.normal, towards)
        half = dr.normalize(self.view + towards)
        specular = specular_cosine(
            dr.dot(self.normal, self.view),
            cosine,
            dr.dot(self.normal, half),
            dr.dot(towards, half),
            self.width,
            self.f0,
        )
        return self.diffuse * (dr.maximum(cosine, 0) / dr.pi) + self.gloss * specular


class ReferenceRenderer:
    """One moment of a person before one camera."""

    def __init__(self, parts: tuple[Part, ...], posed: Posed, camera: PinholeCamera) -> None:
        """Builds mitsuba's scene.

        Args:
            parts: with `posed`, what is drawn.
            posed: positions and normals per part.
            camera: what the person is seen by.
        """
        self._camera = camera
        self._surface = Surface(parts, _MIN_ROUGHNESS)
        self._mesh = mesh(parts, posed, self._surface)
        self._scene = mi.load_dict({"type": "scene", "person": self._mesh})

    def olat(
        self, directions: FloatArray, samples: int, seed: int = 0
    ) -> tuple[FloatArray, Layers]:
        """The person lit by one distant light after the other.

        Args:
            directions: `(L, 3)` unit vectors to the lights, world space.
            samples: per pixel; all lights use the same ones.
            seed: of the samples.

        Returns:
            `(L, H, W, 3)` float32 linear radiance, premultiplied by alpha, under lights that give
            an irradiance of 1 on a surface that faces them; and the layers.
        """
        height, width = self._camera.height, self._camera.width
        waves, layers = self._visible_points(samples, seed)
        images = np.zeros((len(directions), height, width, 3), np.float32)
        for index, direction in enumerate(np.asarray(directions, np.float64)):
            towards = mi.Vector3f(*(mi.Float(float(value)) for value in direction))
            dr.make_opaque(towards)  # one kernel for all lights
            sums = dr.zeros(mi.Color3f, height * width)
            for points in waves:
                radiance = points.reflected(towards)
                radiance *= self._transmission(points.place, towards, dr.max(radiance) > 0)
                dr.scatter_reduce(dr.ReduceOp.Add, sums, radiance, points.pixel)
            images[index] = np.array(sums).T.reshape(height, width, 3) / samples
        return images, layers

    def render(self, light: LightMap, samples: int, seed: int = 0) -> FloatArray:
        """The person under a light map, by mitsuba's own path tracer.

        Args:
            light: `(rows, 2 * rows, 3)` radiance.
            samples: per pixel.
            seed: of the samples.

        Returns:
            `(H, W, 3)` float32 linear radiance, premultiplied by alpha.
        """
        # Nearest neighbours: mitsuba would interpolate between the map's coarse pixels.
        fine = np.repeat(np.repeat(light, 8, axis=0), 8, axis=1)
        bitmap = mi.Bitmap(np.ascontiguousarray(fine, np.float32))
        return self._trace({"sky": {"type": "envmap", "bitmap": bitmap}}, samples, seed)

    def render_lobes(
        self, directions: FloatArray, irradiance: FloatArray, samples: int, seed: int = 0
    ) -> FloatArray:
        """The person under distant lights, by mitsuba's own path tracer.

        Args:
            directions: `(L, 3)` unit vectors to the lights.
            irradiance: `(L, 3)` on a surface that faces each.
            samples: per pixel.
            seed: of the samples.

        Returns:
            `(H, W, 3)` float32 linear radiance, premultiplied by alpha.
        """
        lights = {
            f"light{index}": {
                "type": "directional",
                "direction": [-float(value) for value in direction],
                "irradiance": {"type": "rgb", "value": [float(value) for value in colour]},
            }
            for index, (direction, colour) in enumerate(zip(directions, irradiance, strict=True))
        }
        return self._trace(lights, samples, seed)

    def _trace(self, lights: dict[str, Any], samples: int, seed: int) -> FloatArray:
        # The volumetric path tracer is the one that looks through surfaces to the lights.
        integrator = {"type": "volpath", "max_depth": 2 + _BOUNCES, "hide_emitters": True}
        scene = mi.load_dict(
            {
                "type": "scene",
                "person": self._mesh,
                "integrator": {**integrator, "rr_depth": 99},
                "sensor": self._sensor(),
                **lights,
            }
        )
        image: FloatArray = np.array(mi.render(scene, spp=samples, seed=seed))[..., :3]
        return image

    def _sensor(self) -> dict[str, Any]:
        camera = self._camera
        place = camera.position.astype(float)
        ahead = place - camera.rotation[2].astype(float)
        frame = mi.ScalarTransform4f().look_at(
            place.tolist(), ahead.tolist(), camera.rotation[1].astype(float).tolist()
        )
        return {
            "type": "perspective",
            "to_world": frame,
            "fov_axis": "y",
            "fov": float(np.degrees(2 * np.arctan(0.5 / camera.focal))),
            "near_clip": 0.1,
            "film": {
                "type": "hdrfilm",
                "width": camera.width,
                "height": camera.height,
                "rfilter": {"type": "box"},
                "pixel_format": "rgba",
            },
        }

    def _visible_points(self, samples: int, seed: int) -> tuple[list[_Points], Layers]:
        """What the camera sees: the points that light is gathered for, and the layers."""
        camera = self._camera
        size = camera.height * camera.width
        pixel = dr.arange(mi.UInt32, size * samples) // samples
        random = mi.PCG32(size=size * samples, initstate=seed)
        x = mi.Float(pixel % camera.width) + random.next_float32() - camera.width / 2
        y = mi.Float(pixel // camera.width) + random.next_float32() - camera.height / 2
        scale = 1 / (camera.focal * camera.height)
        axes = mi.Matrix3f(camera.rotation.T.astype(float).tolist())
        eye = mi.Point3f(*(float(value) for value in camera.position))
        ray = mi.Ray3f(eye, axes @ dr.normalize(mi.Vector3f(x * scale, -y * scale, -1)))
        seen, coats = self._walk(ray, random, dr.full(mi.Bool, True, size * samples))
        waves = [self._points(seen, ray.d, pixel)]
        depth = dr.dot(seen.p - eye, axes @ mi.Vector3f(0, 0, -1))
        depth = dr.gather(mi.Float, depth, dr.compress(seen.is_valid()))
        layers = self._layers(waves[0], depth, samples)
        for _ in range(_BOUNCES):
            waves.append(self._bounced(waves[-1], seed := seed + 1))
        waves += [self._points(coat, ray.d, pixel, coat=True) for coat in coats]
        return [wave for wave in waves if len(wave.pixel)], layers

    def _bounced(self, points: _Points, seed: int) -> _Points:
        """Where light comes from that matte points reflect: one cosine-weighted ray of each."""
        random = mi.PCG32(size=len(points.pixel), initstate=seed)
        sample = mi.Point2f(random.next_float32(), random.next_float32())
        ahead = mi.Frame3f(points.normal).to_world(mi.warp.square_to_cosine_hemisphere(sample))
        seen, _ = self._walk(
            mi.Ray3f(points.place, ahead), random, dr.full(mi.Bool, True, len(points.pixel))
        )
        bounced = self._points(seen, ahead, points.pixel)
        index = dr.compress(seen.is_valid())
        bounced.diffuse *= dr.gather(mi.Color3f, points.diffuse, index)
        bounced.gloss = dr.zeros(mi.Float, len(bounced.pixel))
        return bounced

    def _walk(self, ray: Any, random: Any, active: Any) -> tuple[Any, list[Any]]:
        """The first surface of each ray, alpha taken by chance, and the clear coats before it.

        Closed parts are not seen from within, where they poke out of each other.
        """
        seen = dr.zeros(mi.SurfaceInteraction3f, dr.width(active))
        coats = [dr.zeros(mi.SurfaceInteraction3f, dr.width(active)) for _ in range(_COATS)]
        met = dr.zeros(mi.UInt32, dr.width(active))
        for _ in range(_LAYERS):
            hit = self._scene.ray_intersect(ray, active)
            active &= hit.is_valid()
            _, alpha = self._surface.albedo_alpha(hit, active)
            is_coat = active & self._surface.coat(hit, active)
            stops = active & (random.next_float32() < alpha)
            stops &= ~self._surface.closed(hit, active) | (dr.dot(hit.n, ray.d) < 0)
            seen = dr.select(stops, hit, seen)
            for index, coat in enumerate(coats):
                coats[index] = dr.select(is_coat & (met == index), hit, coat)
            met += mi.UInt32(is_coat)
            active &= ~stops
            ray = hit.spawn_ray(ray.d)
            dr.eval(seen, coats, met, active, ray, random)
            if not dr.any(active):
                break
        return seen, coats

    def _points(self, hit: Any, ahead: Any, pixel: Any, coat: bool = False) -> _Points:
        """The valid ones of surfaces met by rays in the directions `ahead`."""
        albedo, _ = self._surface.albedo_alpha(hit, hit.is_valid())
        width, f0 = self._surface.gloss(hit, hit.is_valid())
        normal = hit.sh_frame.n
        offset = dr.select(self._surface.hair(hit, hit.is_valid()), _HAIR_OFFSET, _OFFSET)
        every = _Points(
            pixel=pixel,
            place=hit.p + self._lift(hit) + normal * offset,
            normal=normal,
            view=-ahead,
            diffuse=albedo * (0.0 if coat else 1.0),
            gloss=dr.full(mi.Float, 1, dr.width(pixel)),
            width=width,
            f0=f0,
        )
        points: _Points = dr.gather(_Points, every, dr.compress(hit.is_valid()))
        dr.eval(points)
        return points

    def _lift(self, hit: Any) -> Any:
        """From flat triangles to the round surface that their normals stand for.

        Edges of triangles must not show where light grazes (Hanika 2021, Hacking the shadow
        terminator).
        """
        seen = hit.is_valid()
        corners = list(self._mesh.face_indices(hit.prim_index, seen))
        places = [self._mesh.vertex_position(corner, seen) for corner in corners]
        whole = dr.cross(places[1] - places[0], places[2] - places[0])
        lift = mi.Vector3f(0)
        for k, corner in enumerate(corners):
            across = places[(k + 2) % 3] - places[(k + 1) % 3]
            share = dr.dot(dr.cross(across, hit.p - places[(k + 1) % 3]), whole)
            normal = self._mesh.vertex_normal(corner, seen)
            away = dr.maximum(dr.dot(places[k] - hit.p, normal), 0)
            lift += share / dr.squared_norm(whole) * away * normal
        lift *= dr.minimum(1, _FARTHEST / dr.maximum(dr.norm(lift), 1e-6))
        return dr.select(seen, lift, 0)

    def _transmission(self, place: Any, towards: Any, active: Any) -> Any:
        """What share of light from the direction `towards` arrives."""

        def step(passed: Any, ray: Any, layers: Any, active: Any) -> tuple[Any, Any, Any, Any]:
            hit = self._scene.ray_intersect(ray, active)
            active &= hit.is_valid()
            _, alpha = self._surface.albedo_alpha(hit, active)
            passed = dr.select(active, passed * (1 - alpha), passed)
            layers += 1
            return passed, hit.spawn_ray(ray.d), layers, active & (passed > 0.01)

        passed, _, _, _ = dr.while_loop(
            (dr.select(active, mi.Float(1), 0), mi.Ray3f(place, towards), mi.UInt32(0), active),
            lambda passed, ray, layers, active: active & (layers < _LAYERS),
            step,
        )
        return passed

    def _layers(self, points: _Points, depth: Any, samples: int) -> Layers:
        shape = (self._camera.height, self._camera.width)
        size = shape[0] * shape[1]

        def mean(values: Any) -> FloatArray:
            sums = dr.zeros(type(values), size)
            dr.scatter_reduce(dr.ReduceOp.Add, sums, values, points.pixel)
            rows = np.array(sums, np.float32).reshape(-1, size).T
            result: FloatArray = (rows / samples).reshape(*shape, -1).astype(np.float32)
            return result

        alpha = mean(dr.full(mi.Float, 1, len(points.pixel)))[..., 0]
        normal = mean(points.normal)
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        return Layers(
            alpha=alpha,
            normal=(normal / np.maximum(length, 1e-6)).astype(np.float32),
            albedo=mean(points.diffuse),
            depth=(mean(depth)[..., 0] / np.maximum(alpha, 1e-6)).astype(np.float32),
        )
