"""Draws a posed, lit person with OpenGL (EGL, no window) into all channels at once.

Edges and blended parts are resolved from several samples a pixel in linear light. What cannot be
averaged (labels, depth, flow) is that of the front-most, mostly opaque surface in most of the
pixel's samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.lighting.light_map import COLUMNS, ROWS
from vcam_relight.pipeline.lightstage.core.scene import Label, Part, PinholeCamera, Posed, Texture
from vcam_relight.pipeline.lightstage.render import shaders
from vcam_relight.pipeline.lightstage.render.brdf import LAYERS, TERMS, reflected_share, split_sum
from vcam_relight.pipeline.lightstage.render.mipmaps import mipmaps
from vcam_relight.pipeline.lightstage.render.transfer import Lit

LIGHTS = 2
"""Lightings of one drawing."""

_NEAR, _FAR = 0.5, 60.0  # dm
_EGL: Any = {"backend": "egl"}
_GL_SRGB8_ALPHA8 = 0x8C43
# Blended surfaces this opaque are drawn first and hide what lies behind; the others, far to near.
_SOLID = 0.9
_FAINTEST = 1 / 255
# From this alpha a blended surface is what a pixel shows.
_MOSTLY = 0.4
_PLACE = 6  # the target that holds depth, which half floats are too coarse for
# Of these the camera never sees the inside; clothes and cards show both sides.
_CLOSED = (Label.SKIN, Label.EYES, Label.MOUTH)
_ATTRIBUTES = (
    "in_position",
    "in_normal",
    "in_irradiance_0",
    "in_irradiance_1",
    "in_reflected",
    "in_following",
)


@dataclass(frozen=True, slots=True)
class Buffers:
    """All channels of one drawing, `H x W`, rows from top to bottom.

    images = albedo x shading + specular, exactly but for rounding.
    """

    images: FloatArray
    """`(lights, H, W, 3)` linear RGB radiance, premultiplied by `alpha`."""
    shading: FloatArray
    """`(lights, H, W, 3)` irradiance / pi, RGB; not premultiplied; at edges the mean of the
    surfaces, weighted by albedo."""
    specular: FloatArray
    """`(lights, H, W, 3)` linear RGB radiance, premultiplied."""
    albedo: FloatArray
    """`(H, W, 3)` linear RGB, premultiplied."""
    normal: FloatArray
    """`(H, W, 3)` unit vectors in world space; 0 where nothing is."""
    alpha: Map
    """`(H, W)` in 0..1."""
    depth: Map
    """`(H, W)` dm along the optical axis; 0 where nothing is."""
    labels: NDArray[np.uint8]
    """`(H, W)` of `scene.Label`."""
    flow: FloatArray | None
    """`(H, W, 2)` pixels right and down to where the surface is in the following frame."""
    following_depth: Map | None
    """`(H, W)` dm, of that place in the following frame, whether hidden there or not."""

    def flow_valid(self, following: "Buffers", tolerance: float = 0.1) -> NDArray[np.bool_]:
        """Pixels `(H, W)` whose surface is seen in the following frame, inside the image.

        Args:
            following: the following frame from the same camera.
            tolerance: between depths, dm.

        Raises:
            ValueError: drawn without the following frame's pose.
        """
        if self.flow is None or self.following_depth is None:
            raise ValueError("flow needs the following frame's pose when drawing")
        height, width = self.depth.shape
        there = self.flow + np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
        x, y = np.round(there[..., 0]).astype(int), np.round(there[..., 1]).astype(int)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
        close = np.abs(following.depth[y, x] - self.following_depth) < tolerance
        result: NDArray[np.bool_] = inside & close & (following.labels[y, x] == self.labels)
        return result


class _Drawn:
    """The buffers of one part on the graphics device."""

    def __init__(self, context: moderngl.Context, part: Part, programs: "_Programs") -> None:
        count = len(part.source)
        self.part = part
        self.texture = _texture(context, part.texture)
        self._vertices = context.buffer(reserve=count * 17 * 4)
        uvs = np.column_stack([part.uvs[:, 0], 1 - part.uvs[:, 1]]).astype("f4")
        self._uvs = context.buffer(uvs.tobytes())
        self._index = context.buffer(part.triangles.astype("i4").tobytes())
        self._table = np.zeros((count, 17), np.float32)
        self.triangles = context.vertex_array(
            programs.surface,
            [
                (self._vertices, "3f 3f 3f 3f 2f 3f", *_ATTRIBUTES),
                (self._uvs, "2f", "in_uv"),
            ],
            self._index,
        )

    def update(
        self,
        posed: Posed,
        lights: Sequence[Lit],
        camera: PinholeCamera,
        index: int,
        following: Posed,
    ) -> None:
        """Uploads part `index` of the pose; blended triangles are sorted from far to near."""
        part, table, source = self.part, self._table, self.part.source
        positions = posed.positions[index]
        table[:, :3] = positions[source]
        table[:, 3:6] = posed.normals[index][source]
        for k, lit in enumerate(lights):
            table[:, 6 + 3 * k : 9 + 3 * k] = lit.irradiance[index][source]
        if lights:
            share = reflected_share(
                positions,
                posed.normals[index],
                camera.position,
                part.material.roughness,
                lights[0].visible[index],
                [lit.lobes for lit in lights],
            )
            table[:, 12 : 12 + len(lights)] = share[source]
        table[:, 14:] = following.positions[index][source]
        self._vertices.write(table)
        if part.blended:
            depth = (positions @ camera.rotation[2])[source[part.triangles]].sum(1)
            order = np.argsort(depth, kind="stable")
            self._index.write(np.ascontiguousarray(part.triangles[order], "i4"))

    def release(self) -> None:
        for item in (self.triangles, self._vertices, self._uvs, self._index, self.texture):
            item.release()


class _Programs:
    def __init__(self, context: moderngl.Context) -> None:
        self.surface = context.program(shaders.SURFACE_VERTEX, shaders.SURFACE_FRAGMENT)
        self.resolve = context.program(shaders.SCREEN_VERTEX, shaders.RESOLVE_FRAGMENT)
        for unit, name in enumerate(("albedo_map", "glossy_0", "glossy_1", "split_sum")):
            self.surface[name] = unit
        self.resolve["samples"] = tuple(range(8))


class _Targets:
    """What is drawn into, for one size of image."""

    def __init__(self, context: moderngl.Context, size: tuple[int, int], samples: int) -> None:
        self.size = size
        fine = (size[0] * samples, size[1] * samples)
        self.samples = [
            context.texture(fine, 4, dtype="f4" if k == _PLACE else "f2") for k in range(8)
        ]
        self._depth = context.depth_renderbuffer(fine)
        self.fine = context.framebuffer(self.samples, self._depth)
        self._means = [context.texture(size, 4, dtype="f4") for _ in range(6)]
        self.mean = context.framebuffer(self._means)

    def release(self) -> None:
        self.fine.release()
        self.mean.release()
        self._depth.release()
        for texture in (*self.samples, *self._means):
            texture.release()


class Rasterizer:
    """Draws one person at a time; one per process and thread.

    Args:
        samples: 1 or 2 per pixel along each axis.

    Raises:
        OSError: OpenGL 3.3 is not to be had through EGL.
    """

    def __init__(self, samples: int = 2) -> None:
        try:
            self._context = moderngl.create_context(standalone=True, **_EGL)
        except Exception as error:  # moderngl raises bare Exception
            raise OSError(
                "no OpenGL 3.3 through EGL; on Debian: apt install libegl1 libgl1-mesa-dri"
            ) from error
        self._context.front_face = "cw"  # counter-clockwise before the projection turns y
        self._samples = samples
        self._programs = _Programs(self._context)
        self._programs.resolve["factor"] = samples
        self._targets: _Targets | None = None
        self._parts: list[_Drawn] = []
        self._terms = self._context.texture((TERMS, TERMS), 2, split_sum().tobytes(), dtype="f4")
        self._terms.repeat_x = self._terms.repeat_y = False
        self._glossy = [
            self._context.texture_array((COLUMNS, ROWS, len(LAYERS)), 3, dtype="f4")
            for _ in range(LIGHTS)
        ]
        for maps in self._glossy:
            maps.repeat_y = False
        corners = self._context.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], "f4").tobytes())
        self._screen = self._context.simple_vertex_array(
            self._programs.resolve, corners, "in_corner"
        )

    def load(self, parts: Sequence[Part]) -> None:
        """Uploads the parts that following drawings show; what was loaded before is dropped.

        Args:
            parts: blended ones in the order in which they lie above one another.
        """
        for drawn in self._parts:
            drawn.release()
        self._parts = [_Drawn(self._context, part, self._programs) for part in parts]

    def draw(
        self,
        posed: Posed,
        camera: PinholeCamera,
        lights: Sequence[Lit] = (),
        following: Posed | None = None,
    ) -> Buffers:
        """Draws the loaded parts.

        Args:
            posed: the person now.
            camera: any; lights and normals stay in world space.
            lights: up to two lightings, of one `Transfer`.
            following: the person in the following frame, for the flow.

        Raises:
            ValueError: too many lights, or the pose is not of the loaded parts.
        """
        if len(lights) > LIGHTS:
            raise ValueError(f"at most {LIGHTS} lights are drawn at once, not {len(lights)}")
        if len(posed.positions) != len(self._parts):
            raise ValueError(
                f"the pose has {len(posed.positions)} parts, {len(self._parts)} are loaded"
            )
        size = (camera.width, camera.height)
        if self._targets is None or self._targets.size != size:
            if self._targets is not None:
                self._targets.release()
            self._targets = _Targets(self._context, size, self._samples)
        for index, drawn in enumerate(self._parts):
            drawn.update(posed, lights, camera, index, following or posed)
        for maps, lit in zip(self._glossy, lights, strict=False):
            maps.write(lit.glossy.maps)
        self._draw_samples(self._targets, camera)
        return _read(self._targets, len(lights), following is not None)

    def _draw_samples(self, targets: _Targets, camera: PinholeCamera) -> None:
        context, program = self._context, self._programs.surface
        targets.fine.use()
        targets.fine.clear()
        context.enable_only(moderngl.DEPTH_TEST)
        program["to_clip"] = tuple(_to_clip(camera).T.ravel().tolist())
        program["size"] = targets.fine.size
        program["mostly"] = _MOSTLY
        program["solid"] = _SOLID
        program["eye"] = tuple(float(v) for v in camera.position)
        for unit, maps in enumerate(self._glossy):
            maps.use(1 + unit)
        self._terms.use(1 + len(self._glossy))
        opaque = [drawn for drawn in self._parts if not drawn.part.blended]
        self._draw_parts([drawn for drawn in opaque if drawn.part.label not in _CLOSED], 0.0)
        context.enable(moderngl.CULL_FACE)
        self._draw_parts([drawn for drawn in opaque if drawn.part.label in _CLOSED], 0.0)
        context.disable(moderngl.CULL_FACE)
        blended = [drawn for drawn in self._parts if drawn.part.blended]
        self._draw_parts([drawn for drawn in blended if not drawn.part.coat], _SOLID)
        context.enable(moderngl.BLEND)
        context.blend_func = moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA
        targets.fine.depth_mask = False
        self._draw_parts(blended, _FAINTEST, _SOLID)
        targets.fine.depth_mask = True
        context.enable_only(moderngl.NOTHING)
        targets.mean.use()
        for unit, texture in enumerate(targets.samples):
            texture.use(unit)
        self._screen.render(moderngl.TRIANGLE_STRIP)

    def _draw_parts(self, parts: list[_Drawn], lowest: float, highest: float = 2.0) -> None:
        program = self._programs.surface
        for drawn in parts:
            part = drawn.part
            program["roughness"] = part.material.roughness
            program["f0"] = part.material.f0
            program["layer"] = _layer(part.material.roughness)
            program["opaque"] = not part.blended
            program["coat"] = part.coat
            program["lowest"] = 0.0 if part.coat else lowest
            program["highest"] = 2.0 if part.coat else highest
            program["label"] = float(part.label)
            drawn.texture.use(0)
            drawn.triangles.render()


def _to_clip(camera: PinholeCamera) -> NDArray[np.float64]:
    """World to clip space `(4, 4)`, y down."""
    view = np.eye(4)
    view[:3, :3] = camera.rotation
    view[:3, 3] = -camera.rotation @ camera.position
    projection = np.zeros((4, 4))
    projection[0, 0] = 2 * camera.focal * camera.height / camera.width
    projection[1, 1] = -2 * camera.focal
    projection[2, 2:] = (_FAR + _NEAR) / (_NEAR - _FAR), 2 * _FAR * _NEAR / (_NEAR - _FAR)
    projection[3, 2] = -1
    result: NDArray[np.float64] = projection @ view
    return result


def _layer(roughness: float) -> float:
    place = float(np.interp(roughness, LAYERS, np.arange(len(LAYERS))))
    return min(place, len(LAYERS) - 1.001)


def _texture(context: moderngl.Context, image: Texture) -> moderngl.Texture:
    height, width = image.shape[:2]
    levels = mipmaps(image)
    texture = context.texture((width, height), 4, internal_format=_GL_SRGB8_ALPHA8)
    texture.build_mipmaps(0, len(levels) - 1)
    for level, pixels in enumerate(levels):
        texture.write(np.ascontiguousarray(pixels), level=level)
    texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
    return texture


def _read(targets: _Targets, lights: int, flow: bool) -> Buffers:
    width, height = targets.size

    def pixels(attachment: int) -> FloatArray:
        data = targets.mean.read(components=4, attachment=attachment, dtype="f4")
        return np.frombuffer(data, np.float32).reshape(height, width, 4)

    first, second, surface, gloss_0, gloss_1, place = map(pixels, range(6))
    albedo = surface[..., :3].copy()
    diffuse: FloatArray = np.stack([first[..., :3], second[..., :3]][:lights] or [albedo])[:lights]
    specular = np.stack([gloss_0[..., :3], gloss_1[..., :3]][:lights] or [albedo])[:lights]
    normal = np.stack([second[..., 3], surface[..., 3], gloss_0[..., 3]], axis=-1)
    length = np.sqrt(np.einsum("hwc,hwc->hw", normal, normal))
    normal /= np.maximum(length, 1e-6)[..., None]
    return Buffers(
        images=diffuse + specular,
        shading=np.divide(diffuse, np.maximum(albedo, 1e-7), dtype=np.float32),
        specular=specular,
        albedo=albedo,
        normal=normal,
        alpha=first[..., 3].copy(),
        depth=place[..., 2].copy(),
        labels=(gloss_1[..., 3] + 0.5).astype(np.uint8),
        flow=place[..., :2].copy() if flow else None,
        following_depth=place[..., 3].copy() if flow else None,
    )
