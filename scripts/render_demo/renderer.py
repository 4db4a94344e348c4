"""Draws the posed, lit figure with OpenGL (EGL, no window) into 8-bit sRGB frames."""

from dataclasses import dataclass

import moderngl
import numpy as np

from scripts.render_demo import shaders
from scripts.render_demo.environment import REFLECTION_ROUGHNESS
from scripts.render_demo.figure import DemoPart
from scripts.render_demo.person import HAIR_TINT
from scripts.render_demo.transport import shading_normals

# Texture storage; the first is filtered in linear light.
_GL_SRGB8_ALPHA8, _GL_RGBA8 = 0x8C43, 0x8058
# Samples per pixel along each axis.
_SUPERSAMPLING = 2
# Scalp under hair: the hair's own dark brown, linear RGB.
_SCALP_ALBEDO = np.array(HAIR_TINT) * 0.03


@dataclass(frozen=True)
class DemoCamera:
    """A level pinhole camera that looks along -z.

    position: (3,) dm; fov_y: vertical field of view in radians.
    """

    position: np.ndarray
    fov_y: float
    width: int
    height: int

    def view_projection(self) -> np.ndarray:
        """World to clip space, (4, 4)."""
        near, far = 1.0, 40.0
        focal = 1 / np.tan(self.fov_y / 2)
        view = np.eye(4)
        view[:3, 3] = -self.position
        projection = np.zeros((4, 4))
        projection[0, 0] = focal * self.height / self.width
        projection[1, 1] = focal
        projection[2, 2:] = (far + near) / (near - far), 2 * far * near / (near - far)
        projection[3, 2] = -1
        return projection @ view


class _DrawnPart:
    """GPU buffers of one part."""

    def __init__(
        self, context: moderngl.Context, program: moderngl.Program, part: DemoPart
    ) -> None:
        self.part = part
        vertex_count = len(part.corner_positions)
        flipped = np.column_stack([part.corner_uvs[:, 0], 1 - part.corner_uvs[:, 1]])
        self._uvs = context.buffer(flipped.astype("f4").tobytes())
        self._cover = context.buffer(np.zeros(vertex_count, "f4").tobytes())
        self._vertices = context.buffer(reserve=vertex_count * 10 * 4)
        self._index = context.buffer(part.render_triangles.astype("i4").tobytes())
        self._array = context.vertex_array(
            program,
            [
                (self._vertices, "3f 3f 4f", "in_position", "in_normal", "in_light"),
                (self._uvs, "2f", "in_uv"),
                (self._cover, "1f", "in_cover"),
            ],
            self._index,
        )
        self.texture = _texture(context, part.image, _GL_SRGB8_ALPHA8)
        self.normals = _texture(context, part.normal_image, _GL_RGBA8)

    def set_cover(self, cover: np.ndarray) -> None:
        """Upload how much of each position vertex (V,) lies under hair."""
        self._cover.write(cover[self.part.corner_positions].astype("f4").tobytes())

    def update(self, positions: np.ndarray, light: np.ndarray, camera: np.ndarray) -> None:
        """Upload the pose; translucent triangles are sorted from far to near."""
        normals = shading_normals(self.part, positions)
        table = np.column_stack([positions, normals, light])[self.part.corner_positions]
        self._vertices.write(table.astype("f4").tobytes())
        if self.part.spec.translucent:
            centres = positions[self.part.triangles].mean(1)
            order = np.argsort(-np.linalg.norm(centres - camera, axis=1), kind="stable")
            self._index.write(self.part.render_triangles[order].astype("i4").tobytes())

    def draw(self) -> None:
        """Draw with the material already set."""
        self._array.render()


def _texture(context: moderngl.Context, image: np.ndarray, storage: int) -> moderngl.Texture:
    """A mipmapped texture of RGBA `image` (H, W, 4) uint8."""
    texture = context.texture(image.shape[1::-1], 4, image.tobytes(), internal_format=storage)
    texture.build_mipmaps()
    texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
    texture.anisotropy = 4.0
    return texture


class Renderer:
    """Renders frames of one figure.

    harmonics: (9, 3) irradiance coefficients; reflections: (layers, H, W, 3);
    backdrop: (H, W, 3); all linear RGB. exposure: factor from radiance to
    display-linear light.
    """

    def __init__(
        self,
        parts: dict[str, DemoPart],
        camera: DemoCamera,
        harmonics: np.ndarray,
        reflections: np.ndarray,
        backdrop: np.ndarray,
        exposure: float,
    ) -> None:
        self._camera = camera
        context = moderngl.create_standalone_context(backend="egl")
        self._context = context
        size = (camera.width * _SUPERSAMPLING, camera.height * _SUPERSAMPLING)
        self._samples = context.texture(size, 4, dtype="f2")
        self._target = context.framebuffer([self._samples], context.depth_renderbuffer(size))
        self._frame = context.simple_framebuffer((camera.width, camera.height), 3)
        self._surface = context.program(shaders.SURFACE_VERTEX, shaders.SURFACE_FRAGMENT)
        self._surface["view_projection"].write(camera.view_projection().T.astype("f4").tobytes())
        self._surface["camera"].value = tuple(camera.position)
        self._surface["harmonics"].write(harmonics.astype("f4").tobytes())
        self._surface["reflection_roughness"].value = REFLECTION_ROUGHNESS
        self._surface["cover_albedo"].value = tuple(_SCALP_ALBEDO)
        self._surface["albedo_map"].value = 0
        self._surface["reflection_map"].value = 1
        self._surface["normal_map"].value = 2
        layers, rows, columns = reflections.shape[:3]
        self._reflections = context.texture_array(
            (columns, rows, layers), 3, reflections.astype("f4").tobytes(), dtype="f4"
        )
        self._reflections.repeat_y = False
        self._backdrop = context.texture(
            backdrop.shape[1::-1], 3, backdrop.astype("f4").tobytes(), dtype="f4"
        )
        self._backdrop.repeat_x = self._backdrop.repeat_y = False
        self._backdrop_quad = self._quad(shaders.BACKDROP_FRAGMENT)
        self._resolve_quad = self._quad(shaders.RESOLVE_FRAGMENT)
        self._resolve_quad.program["factor"].value = _SUPERSAMPLING
        self._resolve_quad.program["exposure"].value = exposure
        self._parts = {
            name: _DrawnPart(context, self._surface, part) for name, part in parts.items()
        }

    def set_scalp_cover(self, cover: np.ndarray) -> None:
        """Set how much of each body vertex (V,) lies under hair."""
        self._parts["body"].set_cover(cover)

    def render(self, posed: dict[str, np.ndarray], lit: dict[str, np.ndarray]) -> np.ndarray:
        """Draw positions (V, 3) with light (V, 4) per part; returns (H, W, 3) uint8 sRGB."""
        context = self._context
        self._target.use()
        context.disable(moderngl.DEPTH_TEST | moderngl.BLEND)
        self._target.clear(depth=1.0)
        self._backdrop.use(0)
        self._backdrop_quad.render(moderngl.TRIANGLE_STRIP)
        context.enable(moderngl.DEPTH_TEST)
        self._reflections.use(1)
        context.blend_func = moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA
        for name, drawn in self._parts.items():
            drawn.update(posed[name], lit[name], self._camera.position)
            self._set_material(drawn.part)
            drawn.texture.use(0)
            drawn.normals.use(2)
            if drawn.part.spec.translucent:
                context.enable(moderngl.BLEND)
                self._target.depth_mask = False
            drawn.draw()
            context.disable(moderngl.BLEND)
            self._target.depth_mask = True
        self._frame.use()
        context.disable(moderngl.DEPTH_TEST)
        self._samples.use(0)
        self._resolve_quad.render(moderngl.TRIANGLE_STRIP)
        pixels = np.frombuffer(self._frame.read(components=3, alignment=1), np.uint8)
        return pixels.reshape(self._camera.height, self._camera.width, 3)[::-1]

    def _set_material(self, part: DemoPart) -> None:
        material = part.spec.material
        self._surface["tint"].value = material.tint
        self._surface["roughness"].value = material.roughness
        self._surface["f0"].value = material.f0
        self._surface["bump"].value = material.bump
        self._surface["has_normals"].value = material.normals is not None
        self._surface["clear_coat"].value = part.spec.keep == "clear"

    def _quad(self, fragment: str) -> moderngl.VertexArray:
        corners = np.array([-1, -1, 1, -1, -1, 1, 1, 1], "f4")
        program = self._context.program(shaders.SCREEN_VERTEX, fragment)
        buffer = self._context.buffer(corners.tobytes())
        return self._context.simple_vertex_array(program, buffer, "in_corner")
