"""Light transport per vertex: ray-traced shadowing of the environment, with skin diffusion."""

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from scipy import sparse

from scripts.render_demo.environment import Lights
from scripts.render_demo.figure import DemoFigure, DemoPart
from vcam_relight.pipeline.lightstage.person.skeleton import vertex_normals

# Rays start this far off the surface, dm.
_RAY_OFFSET = 0.012
# Hair shells cross each other; leaving them further avoids black specks.
_HAIR_RAY_OFFSET = 0.12
# Light that concave places receive from nearby skin: its mean albedo, linear RGB.
_BOUNCE = np.array([0.42, 0.25, 0.18])
# Smoothing passes per colour channel: skin scatters red furthest.
_DIFFUSION = {"body": (7, 3, 2), "hair": (10, 10, 10), "teeth": (20, 20, 20)}
_DEFAULT_DIFFUSION = (1, 1, 1)
# Hair at most this far above the scalp colours it, dm.
_COVER_DISTANCE = 0.5


class DemoTransport:
    """Computes the light that reaches every vertex of a posed figure.

    floor: height in dm below which nothing is seen, so nothing is lit.
    """

    def __init__(self, figure: DemoFigure, lights: Lights, floor: float) -> None:
        self._parts = figure.parts
        self._lights = lights
        self._floor = floor
        # Irradiance averaged over all directions: what nearby skin is lit by.
        self._ambient = lights.irradiance.sum(0) / 4
        self._smoothers = {
            name: _smoother(part.triangles, part.operator.shape[0])
            for name, part in figure.parts.items()
        }

    def light(self, posed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Irradiance in linear RGB and openness in 0..1 of every vertex: part -> (V, 4)."""
        scene = _scene(self._parts, posed)
        return {name: self._light_part(scene, name, posed[name]) for name in self._parts}

    def _light_part(self, scene: EmbreeScene, name: str, positions: np.ndarray) -> np.ndarray:
        lights = self._lights
        normals = shading_normals(self._parts[name], positions)
        offset = _HAIR_RAY_OFFSET if name == "hair" else _RAY_OFFSET
        cosine = normals @ lights.directions.T
        cosine[positions[:, 1] < self._floor] = 0
        vertex, light = np.nonzero(cosine > 0)
        blocked = _occluded(
            scene, positions[vertex] + offset * normals[vertex], lights.directions[light]
        )
        received = np.clip(cosine, 0, None)
        full = received @ lights.solid_angle
        received[vertex[blocked], light[blocked]] = 0
        openness = received @ lights.solid_angle / np.maximum(full, 1e-6)
        irradiance = received @ lights.irradiance
        irradiance += (1 - openness[:, None]) * _BOUNCE * self._ambient
        values = np.column_stack([irradiance, openness])
        smoother = self._smoothers[name]
        passes = _DIFFUSION.get(name, _DEFAULT_DIFFUSION)
        for channel, count in enumerate((*passes, 2)):
            for _ in range(count):
                values[:, channel] = smoother @ values[:, channel]
        return values


def scalp_cover(figure: DemoFigure, posed: dict[str, np.ndarray]) -> np.ndarray:
    """How much of each body vertex lies under hair, (V,) in 0..1.

    The scalp takes the hair's colour there, so that no skin shines through.
    """
    body, hair = figure.parts["body"], figure.parts["hair"]
    normals = shading_normals(body, posed["body"])
    scene = EmbreeScene()
    _add(scene, posed["hair"], hair.triangles[hair.blocks_light])
    distance = scene.run(
        (posed["body"] + 0.001 * normals).astype(np.float32),
        normals.astype(np.float32),
        query="DISTANCE",
    )
    cover = (distance < _COVER_DISTANCE).astype(float)
    smoother = _smoother(body.triangles, len(cover))
    for _ in range(6):
        cover = smoother @ cover
    return cover


def shading_normals(part: DemoPart, positions: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3); those of hair point out of the head whatever its cards' winding."""
    normals = vertex_normals(positions, part.triangles)
    if part.spec.name != "hair":
        return normals
    outward = positions - positions.mean(0)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    facing = np.where(np.einsum("vc,vc->v", normals, outward) < 0, -1.0, 1.0)
    bent = normals * facing[:, None] + outward
    return bent / np.linalg.norm(bent, axis=1, keepdims=True)


def _scene(parts: dict[str, DemoPart], posed: dict[str, np.ndarray]) -> EmbreeScene:
    scene = EmbreeScene()
    for name, part in parts.items():
        if part.blocks_light.any():
            _add(scene, posed[name], part.triangles[part.blocks_light])
    return scene


def _add(scene: EmbreeScene, positions: np.ndarray, triangles: np.ndarray) -> None:
    TriangleMesh(scene, positions.astype(np.float32), triangles.astype(np.int32))


def _occluded(scene: EmbreeScene, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Whether each ray hits something, (N,) bool."""
    if len(origins) == 0:
        return np.zeros(0, bool)
    hits = scene.run(origins.astype(np.float32), directions.astype(np.float32), query="OCCLUDED")
    return hits >= 0


def _smoother(triangles: np.ndarray, count: int) -> sparse.csr_matrix:
    """One diffusion pass: half the value stays, half comes from the neighbours."""
    rows = triangles[:, [0, 1, 2, 1, 2, 0]].ravel()
    columns = triangles[:, [1, 2, 0, 0, 1, 2]].ravel()
    adjacency = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    adjacency.setdiag(0)
    adjacency.data[:] = np.minimum(adjacency.data, 1)
    degree = np.asarray(adjacency.sum(1)).ravel()
    spread = sparse.diags(0.5 / np.maximum(degree, 1)) @ adjacency
    return (spread + sparse.diags(np.where(degree > 0, 0.5, 1.0))).tocsr()
