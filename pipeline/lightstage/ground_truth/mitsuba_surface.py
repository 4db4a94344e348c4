"""The light stage's parts as one mitsuba mesh, with the reflection model of `glossy`."""

from typing import Any

import numpy as np

from vcam_relight.pipeline.core.color import decode_srgb
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.core.scene import Label, Part, Posed
from vcam_relight.pipeline.lightstage.ground_truth.mitsuba_llvm import dr, mi

_CLOSED = (Label.SKIN, Label.EYES, Label.MOUTH)


class Surface(mi.BSDF):  # type: ignore[misc]
    """What each triangle looks like: the model of `glossy`, seen through by alpha."""

    def __init__(self, parts: tuple[Part, ...], min_roughness: float) -> None:
        super().__init__(mi.Properties())
        both = mi.BSDFFlags.FrontSide | mi.BSDFFlags.BackSide
        self.m_components = [mi.BSDFFlags.GlossyReflection | both, mi.BSDFFlags.Null | both]
        self.m_flags = self.m_components[0] | self.m_components[1]
        counts = [len(part.triangles) for part in parts]
        self._part = mi.UInt32(np.repeat(np.arange(len(parts)), counts).astype(np.uint32))
        rough = [max(part.material.roughness, min_roughness) for part in parts]
        self._width = mi.Float(np.square(rough).astype(np.float32))
        self._f0 = mi.Float(np.array([part.material.f0 for part in parts], np.float32))
        self._blended = mi.Bool(np.array([part.blended for part in parts]))
        self._coat = mi.Bool(np.array([part.coat for part in parts]))
        self._hair = mi.Bool(np.array([part.hair for part in parts]))
        self._closed = mi.Bool(np.array([part.label in _CLOSED for part in parts]))
        sizes = np.array([part.texture.shape[:2] for part in parts], np.uint32)
        starts = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))[:-1]]).astype(np.uint32)
        self._rows, self._columns = mi.UInt32(sizes[:, 0]), mi.UInt32(sizes[:, 1])
        self._start = mi.UInt32(starts)
        self._texels = mi.Float(np.concatenate([_linear(part).ravel() for part in parts]))

    def coat(self, si: Any, active: Any = True) -> Any:
        """Whether the surface is a clear coat."""
        return dr.gather(mi.Bool, self._coat, self._index(si, active), active)

    def hair(self, si: Any, active: Any = True) -> Any:
        """Whether the surface is a card of hair."""
        return dr.gather(mi.Bool, self._hair, self._index(si, active), active)

    def closed(self, si: Any, active: Any = True) -> Any:
        """Whether the surface is of a part whose inside is never to be seen."""
        return dr.gather(mi.Bool, self._closed, self._index(si, active), active)

    def albedo_alpha(self, si: Any, active: Any = True) -> tuple[Any, Any]:
        """Linear albedo and alpha: 1 for opaque parts, 0 for clear coats."""
        part = self._index(si, active)
        rows = dr.gather(mi.UInt32, self._rows, part, active)
        columns = dr.gather(mi.UInt32, self._columns, part, active)
        start = dr.gather(mi.UInt32, self._start, part, active)
        x = si.uv.x * mi.Float(columns) - 0.5
        y = (1 - si.uv.y) * mi.Float(rows) - 0.5
        left, top = dr.floor(x), dr.floor(y)
        texel = mi.Vector4f(0)
        for down in (0, 1):
            for right in (0, 1):
                column, row = _wrap(left + right, columns), _wrap(top + down, rows)
                weight = (x - left if right else 1 - x + left) * (y - top if down else 1 - y + top)
                place = start + row * columns + column
                texel += weight * dr.gather(mi.Vector4f, self._texels, place, active)
        blended = dr.gather(mi.Bool, self._blended, part, active)
        coat = dr.gather(mi.Bool, self._coat, part, active)
        alpha = dr.select(coat, 0.0, dr.select(blended, texel.w, 1.0))
        return mi.Color3f(texel.x, texel.y, texel.z), alpha

    def gloss(self, si: Any, active: Any = True) -> tuple[Any, Any]:
        """GGX width and reflectance at normal incidence."""
        part = self._index(si, active)
        width = dr.gather(mi.Float, self._width, part, active)
        return width, dr.gather(mi.Float, self._f0, part, active)

    def _index(self, si: Any, active: Any) -> Any:
        return dr.gather(mi.UInt32, self._part, si.prim_index, active)

    def eval(self, ctx: Any, si: Any, wo: Any, active: Any = True) -> Any:
        """Reflected radiance times the cosine, see `mitsuba.BSDF.eval`."""
        albedo, alpha = self.albedo_alpha(si, active)
        width, f0 = self.gloss(si, active)
        half = dr.normalize(si.wi + wo)
        specular = specular_cosine(si.wi.z, wo.z, half.z, dr.dot(wo, half), width, f0)
        opaque = dr.select(self.coat(si, active), 1.0, alpha)
        value = alpha * albedo * dr.maximum(wo.z, 0) / dr.pi + opaque * specular
        return mi.Color3f(dr.select(active, value, 0.0))

    def pdf(self, ctx: Any, si: Any, wo: Any, active: Any = True) -> Any:
        """Density with which `sample` draws `wo`."""
        _, alpha = self.albedo_alpha(si, active)
        return alpha * mi.warp.square_to_cosine_hemisphere_pdf(wo)

    def eval_pdf(self, ctx: Any, si: Any, wo: Any, active: Any = True) -> tuple[Any, Any]:
        """`eval` and `pdf`."""
        return self.eval(ctx, si, wo, active), self.pdf(ctx, si, wo, active)

    def eval_null_transmission(self, si: Any, active: Any = True) -> Any:
        """Share of light that passes straight through."""
        return mi.Color3f(1 - self.albedo_alpha(si, active)[1])

    def sample(
        self, ctx: Any, si: Any, sample1: Any, sample2: Any, active: Any = True
    ) -> tuple[Any, Any]:
        """Passes through by alpha, else draws a cosine-weighted direction."""
        _, alpha = self.albedo_alpha(si, active)
        through = sample1 >= alpha
        sample = mi.BSDFSample3f()
        bounced = mi.warp.square_to_cosine_hemisphere(sample2)
        density = alpha * mi.warp.square_to_cosine_hemisphere_pdf(bounced)
        sample.wo = dr.select(through, -si.wi, bounced)
        sample.pdf = dr.select(through, 1 - alpha, density)
        sample.eta = mi.Float(1)
        kinds = [mi.UInt32(int(flag)) for flag in self.m_components]
        sample.sampled_type = dr.select(through, kinds[1], kinds[0])
        sample.sampled_component = dr.select(through, mi.UInt32(1), mi.UInt32(0))
        value = self.eval(ctx, si, sample.wo, active & ~through) / density
        weight = dr.select(through, mi.Color3f(1), value)
        return sample, dr.select(active & (sample.pdf > 0), weight, 0.0)

    def to_string(self) -> str:
        """Its name in mitsuba's messages."""
        return "Surface[]"


def specular_cosine(
    facing: Any, cosine: Any, half_cosine: Any, light_half: Any, width: Any, f0: Any
) -> Any:
    """The specular lobe of `glossy`'s model times the light's cosine.

    Args:
        facing: cosine between normal and view.
        cosine: between normal and light.
        half_cosine: between normal and the vector halfway from view to light.
        light_half: between light and that vector.
        width: GGX alpha.
        f0: reflectance at normal incidence.
    """
    squared = width * width

    def smith(cosine: Any) -> Any:  # G1 / (2 cosine)
        return 1 / (cosine + dr.sqrt(squared + (1 - squared) * cosine * cosine))

    spread = 1 + half_cosine * half_cosine * (squared - 1)
    density = squared / (dr.pi * spread * spread)
    fresnel = f0 + (1 - f0) * (1 - dr.maximum(light_half, 0)) ** 5
    # At silhouettes shading normals may face away from the camera.
    shape = smith(dr.maximum(facing, 0.05)) * smith(dr.maximum(cosine, 0))
    return dr.maximum(cosine, 0) * density * fresnel * shape


def mesh(parts: tuple[Part, ...], posed: Posed, surface: Surface) -> Any:
    """All parts as one `mitsuba.Mesh`."""
    properties = mi.Properties()
    properties["bsdf"] = surface
    sources = [part.source for part in parts]
    positions = _joined(posed.positions, sources)
    shape = mi.Mesh(
        "person",
        vertex_count=len(positions),
        face_count=sum(len(part.triangles) for part in parts),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=properties,
    )
    first = np.concatenate([[0], np.cumsum([len(source) for source in sources])[:-1]])
    faces = [part.triangles + start for part, start in zip(parts, first, strict=True)]
    tables = mi.traverse(shape)
    tables["vertex_positions"] = positions.ravel()
    tables["vertex_normals"] = _joined(posed.normals, sources).ravel()
    tables["vertex_texcoords"] = np.concatenate([part.uvs for part in parts]).ravel()
    tables["faces"] = np.concatenate(faces).astype(np.uint32).ravel()
    tables.update()
    return shape


def _joined(values: tuple[FloatArray, ...], sources: list[Any]) -> FloatArray:
    rows = [value[source] for value, source in zip(values, sources, strict=True)]
    result: FloatArray = np.concatenate(rows).astype(np.float32)
    return result


def _linear(part: Part) -> FloatArray:
    texture = part.texture.astype(np.float32) / np.float32(255)
    result: FloatArray = np.concatenate([decode_srgb(texture[..., :3]), texture[..., 3:]], axis=-1)
    return result


def _wrap(place: Any, size: Any) -> Any:
    """Index of a texel in a texture that repeats."""
    length = mi.Float(size)
    return dr.minimum(mi.UInt32(place - dr.floor(place / length) * length), size - 1)
