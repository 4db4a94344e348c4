"""Builds what is drawn of a person: parts and what moves their vertices."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack
from vcam_relight.pipeline.lightstage.core.scene import Label, Material, Part, Texture
from vcam_relight.pipeline.lightstage.core.wavefront import triangulate
from vcam_relight.pipeline.lightstage.person import wardrobe
from vcam_relight.pipeline.lightstage.person.eyes import Eyes
from vcam_relight.pipeline.lightstage.person.identity import Identity
from vcam_relight.pipeline.lightstage.person.skeleton import BONE_COUNT, HEAD, vertex_normals
from vcam_relight.pipeline.lightstage.person.subdivision import catmull_clark, subdivide_uvs
from vcam_relight.pipeline.lightstage.wear import glasses, headwear
from vcam_relight.pipeline.lightstage.wear.accessories import Accessory, HeadShape

Quads = NDArray[np.int32]

# Triangles with a mean alpha above this block light.
_OPAQUE_ALPHA = 0.5
# What lies on the skin is brought to these heights above it, dm: at least the first, and up to the
# second things are squeezed together.
_HAIR_GAP, _BROW_GAP, _CLOTH_GAP = (0.025, 0.12), (0.008, 0.012), (0.02, 0.03)
# What lies deeper inside than this is meant to, dm.
_DEEPEST = 0.6
_LASHES = (0.012, 0.009, 0.008)  # linear RGB
# Share of the direction out of the head in the normals of hair; the rest is the card's own.
_OUTWARD = 0.8
# Neighbours that a soft cloth's vertex follows.
_FOLLOWED = 6

_SKIN = Material(roughness=0.42, f0=0.028, scatter=0.025)
_EYE = Material(roughness=0.3, f0=0.02)
_CORNEA = Material(roughness=0.08, f0=0.03)
_TEETH = Material(roughness=0.35, f0=0.015)
_TONGUE = Material(roughness=0.3, f0=0.028)
_CLOTH = Material(roughness=0.85, f0=0.03)
_STRANDS = Material(roughness=0.5, f0=0.02)
_HAIR = Material(roughness=0.45, f0=0.022)


@dataclass(frozen=True)
class RiggedPart:
    """One part before posing: C coarse vertices, V refined ones."""

    part: Part
    rest: FloatArray
    """`(C, 3)` dm: where they are on the neutral base mesh."""
    bones: FloatArray
    """`(C, BONE_COUNT)` skinning weights."""
    follow: sparse.csr_matrix | None = None
    """`(C, base)` how they follow displacements of the base mesh; None for what does not."""
    refine: sparse.csr_matrix | None = None
    """`(V, C)` subdivision."""
    eyes: bool = False
    """Turns with the eyes."""
    normals: FloatArray | None = None
    """`(V, 3)` in the neutral pose, where they are not the surface's own."""
    skin: NDArray[np.int64] | None = None
    """`(V,)` vertex of the skin whose normal is taken instead."""

    @property
    def triangles(self) -> NDArray[np.int32]:
        """`(N, 3)` into the V vertices."""
        result: NDArray[np.int32] = self.part.source[self.part.triangles]
        return result


class _Surface:
    """Points all over the neutral skin, with their normals."""

    def __init__(self, faces: Quads, positions: FloatArray) -> None:
        normals = vertex_normals(positions, triangulate(faces))
        shares = np.array(
            [
                (a * b, a * (1 - b), (1 - a) * (1 - b), (1 - a) * b)
                for a in (0, 0.25, 0.5, 0.75)
                for b in (0, 0.25, 0.5, 0.75)
            ]
        )
        self._points = np.einsum("sk,fkc->fsc", shares, positions[faces]).reshape(-1, 3)
        around = np.einsum("sk,fkc->fsc", shares, normals[faces]).reshape(-1, 3)
        self._normals = around / np.linalg.norm(around, axis=1, keepdims=True)
        self._tree = cKDTree(self._points)

    def lifted(self, points: FloatArray, gap: float, reach: float) -> FloatArray:
        """Lifts points (N, 3) out of the skin, keeping the order of layers.

        All that is lower than `reach` dm above the skin comes to between `gap` and `reach`. What is
        very deep inside is left there.
        """
        result = points.astype(np.float64)
        span = reach - gap
        for step in range(3):
            _, nearest = self._tree.query(result)
            normals = self._normals[nearest]
            height = np.einsum("vc,vc->v", result - self._points[nearest], normals)
            if step == 0:
                wanted = gap + span * np.exp(np.minimum(height - reach, 0) / span)
            else:
                # What was pushed out may have come nearer to another part of the skin.
                wanted = np.maximum(height, gap)
            low = (height < (reach if step == 0 else gap)) & (height > -_DEEPEST)
            result += normals * np.where(low, wanted - height, 0)[:, None]
        return result.astype(np.float32)


def build(
    pack: AssetPack, identity: Identity, head: HeadShape, eyes: Eyes, levels: int
) -> tuple[RiggedPart, ...]:
    """What is drawn of a person, the skin first, blended parts last in the order of drawing."""
    return tuple(_Builder(pack, identity, head, eyes, levels).parts())


class _Builder:
    def __init__(
        self, pack: AssetPack, identity: Identity, head: HeadShape, eyes: Eyes, levels: int
    ) -> None:
        self._pack, self._identity, self._head = pack, identity, head
        self._eyes, self._levels = eyes, levels
        base = pack.base
        clothes = pack.garments[f"clothes/{identity.clothing.garment}"]
        body = base.groups == "body"
        bare = ~np.isin(base.faces, clothes.hidden).all(1)
        self._rows = np.flatnonzero(body & bare)
        self._vertices = np.unique(base.faces[self._rows])
        self._skin_surface = _Surface(base.faces[body & ~base.cavity], head.positions)

    def parts(self) -> Iterator[RiggedPart]:
        pack, identity = self._pack, self._identity
        skin = self._skin()
        yield skin
        yield from self._eyeballs(coat=False)
        teeth = wardrobe.teeth_texture(pack.textures["teeth/teeth_base"])
        yield self._garment("teeth", "teeth/teeth_base", Label.MOUTH, _TEETH, teeth)
        tongue = pack.textures["tongue/tongue01"]
        yield self._garment("tongue", "tongue/tongue01", Label.MOUTH, _TONGUE, tongue)
        clothing = identity.clothing
        yield self._garment(
            "clothes", f"clothes/{clothing.garment}", Label.CLOTHES, _CLOTH,
            wardrobe.clothing_texture(pack, clothing), gap=_CLOTH_GAP,
        )  # fmt: skip
        hair = None
        if identity.hair is not None and not (identity.headwear and identity.headwear.hides_hair):
            hair = self._hair(identity.hair)
        accessories: list[Accessory] = []
        if identity.headwear is not None:
            accessories += headwear.make(identity.headwear, self._head, hair.rest if hair else None)
        if identity.glasses is not None:
            accessories += glasses.make(identity.glasses, self._head)
        yield from (
            self._accessory(item) for item in accessories if not item.blended and not item.coat
        )
        brows = wardrobe.denser(
            wardrobe.strands(pack.textures[f"brows/{identity.brows}"], identity.brow_colour)
        )
        yield self._strands("brows", f"brows/{identity.brows}", brows, skin, _BROW_GAP)
        lashes = wardrobe.strands(pack.textures[f"lashes/{identity.lashes}"], _LASHES)
        yield self._strands("lashes", f"lashes/{identity.lashes}", lashes, skin, None)
        yield from self._eyeballs(coat=True)
        if hair is not None:
            yield hair
        yield from (self._accessory(item) for item in accessories if item.blended or item.coat)

    def _skin(self) -> RiggedPart:
        base = self._pack.base
        quads = np.searchsorted(self._vertices, base.faces[self._rows]).astype(np.int32)
        texture = wardrobe.skin_texture(self._pack, self._identity)
        part, refine = _part(
            "skin", Label.SKIN, _SKIN, texture, quads, base.uvs, base.uv_faces[self._rows],
            len(self._vertices), self._levels,
        )  # fmt: skip
        count = len(self._vertices)
        follow = sparse.csr_matrix(
            (np.ones(count, np.float32), (np.arange(count), self._vertices)),
            shape=(count, len(base.positions)),
        )
        return RiggedPart(
            part, self._head.positions[self._vertices], base.bones[self._vertices], follow, refine
        )

    def _eyeballs(self, coat: bool) -> Iterator[RiggedPart]:
        """The eyes as MakeHuman's template has them, moved and scaled to this person's."""
        name = "eyes/high-poly"
        garment, base = self._pack.garments[name], self._pack.base
        texture = wardrobe.eye_texture(self._pack.textures[name], self._identity.iris)
        clear = _alpha(texture, garment.uvs, garment.uv_faces) < _OPAQUE_ALPHA
        keep = clear if coat else ~clear
        vertices, faces = np.unique(garment.faces[keep], return_inverse=True)
        template = Eyes.of(base, base.positions)
        rest = garment.fit(base.positions)[vertices].astype(np.float32)
        for side in range(2):
            mine = (rest[:, 0] > 0) == (side == 0)
            size = self._eyes.radii[side] / template.radii[side]
            rest[mine] = (rest[mine] - template.centres[side]) * size + self._eyes.centres[side]
        part, _ = _part(
            "cornea" if coat else "eyes", Label.EYES, _CORNEA if coat else _EYE, texture,
            faces.reshape(-1, 4).astype(np.int32), garment.uvs, garment.uv_faces[keep],
            len(vertices), 0, blended=coat, coat=coat,
        )  # fmt: skip
        yield RiggedPart(part, rest, _rigid(len(rest)), eyes=True)

    def _garment(
        self, name: str, key: str, label: Label, material: Material, texture: Texture,
        gap: tuple[float, float] | None = None, blended: bool = False, hair: bool = False,
        follows: bool = True,
    ) -> RiggedPart:  # fmt: skip
        garment, base = self._pack.garments[key], self._pack.base
        rest = garment.fit(self._head.positions).astype(np.float32)
        if gap is not None:
            rest = self._skin_surface.lifted(rest, *gap)
        bones = np.maximum(garment.interpolate(base.bones), 0)
        bones /= bones.sum(1, keepdims=True)
        part, _ = _part(
            name, label, material, texture, garment.faces, garment.uvs, garment.uv_faces,
            len(rest), 0, blended=blended, hair=hair,
        )  # fmt: skip
        follow = None
        if follows:
            rows = np.repeat(np.arange(len(rest)), 3)
            follow = sparse.csr_matrix(
                (garment.weights.ravel().astype(np.float32), (rows, garment.triangles.ravel())),
                shape=(len(rest), len(base.positions)),
            )
        return RiggedPart(part, rest, bones.astype(np.float32), follow)

    def _strands(
        self,
        name: str,
        key: str,
        texture: Texture,
        skin: RiggedPart,
        gap: tuple[float, float] | None,
    ) -> RiggedPart:
        rigged = self._garment(name, key, Label.BROWS, _STRANDS, texture, gap, blended=True)
        refined = skin.rest if skin.refine is None else skin.refine @ skin.rest
        _, nearest = cKDTree(refined).query(rigged.rest)
        return RiggedPart(rigged.part, rigged.rest, rigged.bones, rigged.follow, skin=nearest)

    def _hair(self, style: str) -> RiggedPart:
        key = f"hair/{style}"
        texture = wardrobe.strands(self._pack.textures[key], self._identity.hair_colour)
        rigged = self._garment(
            "hair", key, Label.HAIR, _HAIR, texture, _HAIR_GAP, True, hair=True, follows=False
        )
        return RiggedPart(
            rigged.part, rigged.rest, rigged.bones, normals=self._hair_normals(rigged)
        )

    def _hair_normals(self, rigged: RiggedPart) -> FloatArray:
        """Out of the head, whatever the cards' winding, with a share of the cards' own."""
        own = vertex_normals(rigged.rest, rigged.triangles)
        ears = self._head.positions[[12353, 5756]].mean(0)
        centre = np.tile(ears, (len(own), 1))
        centre[:, 1] = np.minimum(rigged.rest[:, 1], self._eyes.centres[:, 1].mean() + 0.2)
        outward = _unit(rigged.rest - centre)
        facing = np.where(np.einsum("vc,vc->v", own, outward) < 0, -1.0, 1.0)
        return _unit((1 - _OUTWARD) * own * facing[:, None] + _OUTWARD * outward)

    def _accessory(self, item: Accessory) -> RiggedPart:
        # Both sides of a texture seam are one vertex: two would have normals of their own.
        rounded = np.round(item.positions, 5)
        _, first, source = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
        positions, count = item.positions[first], len(first)
        alpha = _alpha(item.texture, item.uvs, item.triangles)
        part = Part(
            item.name, item.label, item.material, item.texture, item.uvs,
            source.astype(np.int32), item.triangles,
            (alpha > _OPAQUE_ALPHA) & (not item.coat), item.blended or item.coat, item.coat,
        )  # fmt: skip
        if item.rigid:
            return RiggedPart(part, positions, _rigid(count))
        base = self._pack.base
        skin = np.unique(base.faces[(base.groups == "body") & ~base.cavity])
        distance, near = cKDTree(self._head.positions[skin]).query(positions, k=_FOLLOWED)
        weight = 1 / (distance + 0.05) ** 2
        weight = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
        rows = np.repeat(np.arange(count), _FOLLOWED)
        follow = sparse.csr_matrix(
            (weight.ravel(), (rows, skin[near].ravel())), shape=(count, len(base.positions))
        )
        return RiggedPart(part, positions, np.asarray(follow @ base.bones), follow)


def _part(
    name: str, label: Label, material: Material, texture: Texture, quads: Quads, uvs: FloatArray,
    uv_quads: Quads, count: int, levels: int, blended: bool = False, coat: bool = False,
    hair: bool = False,
) -> tuple[Part, sparse.csr_matrix | None]:  # fmt: skip
    """The drawn part of quads over `count` vertices, and its subdivision."""
    refine = None
    for _ in range(levels):
        uvs, uv_quads = subdivide_uvs(uvs, uv_quads)
        step, quads = catmull_clark(quads, count)
        refine = step if refine is None else step @ refine
        count = step.shape[0]
    triangles, uv_triangles = triangulate(quads), triangulate(uv_quads)
    whole = (triangles != np.roll(triangles, 1, axis=1)).all(1)
    triangles, uv_triangles = triangles[whole], uv_triangles[whole]
    corners = np.stack([triangles.ravel(), uv_triangles.ravel()], axis=1)
    unique, inverse = np.unique(corners, axis=0, return_inverse=True)
    solid = ~np.full(len(triangles), coat)
    if blended:
        solid &= _alpha(texture, uvs, uv_triangles) > _OPAQUE_ALPHA
    part = Part(
        name, label, material, texture, uvs[unique[:, 1]].astype(np.float32),
        unique[:, 0].astype(np.int32), inverse.reshape(-1, 3).astype(np.int32), solid,
        blended, coat, hair,
    )  # fmt: skip
    return part, None if refine is None else refine.astype(np.float32)


def _alpha(texture: Texture, uvs: FloatArray, faces: NDArray[np.int32]) -> FloatArray:
    """Mean alpha (F,) in 0..1 over some points of each face."""
    height, width = texture.shape[:2]
    corners = uvs[faces]
    centre = corners.mean(1, keepdims=True)
    points = np.concatenate([centre, (corners + centre) / 2], axis=1)
    column = np.clip((points[..., 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - points[..., 1]) * height).astype(int), 0, height - 1)
    result: FloatArray = texture[row, column, 3].mean(1).astype(np.float32) / 255
    return result


def _rigid(count: int) -> FloatArray:
    bones = np.zeros((count, BONE_COUNT), np.float32)
    bones[:, HEAD] = 1
    return bones


def _unit(vectors: FloatArray) -> FloatArray:
    length = np.sqrt(np.einsum("vc,vc->v", vectors, vectors))[:, None]
    result: FloatArray = (vectors / np.maximum(length, 1e-9)).astype(np.float32)
    return result
