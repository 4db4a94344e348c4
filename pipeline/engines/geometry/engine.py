"""The first engine: light from geometry, no network that relights.

Face mesh and mask give normals; skin pixels give the present light; the frame is multiplied by
the ratio of the shading asked for to the shading there is.
"""

import cv2
import numpy as np

from vcam_relight.pipeline.compositing.gain import bounded, rolled_off
from vcam_relight.pipeline.compositing.opencv import Compositor
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.color import DECODE_8BIT, LUMA_BGR
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.head.normals import NormalMapper, grid_size
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.auto import auto_gain, auto_target
from vcam_relight.pipeline.lighting.estimation import AMBIENT, estimate, exposure, follow, skin_mask
from vcam_relight.pipeline.lighting.sh import LAMBERT, basis
from vcam_relight.pipeline.lighting.target import adjusted, levelled

_FLOOR = 0.08
"""Share of a light's exposure added to its shading everywhere: light that order-2 SH does not know
of, bounced by whatever is near."""


class GeometryEngine:
    """Ratio relighting with MediaPipe's face geometry; CPU only."""

    name = "geometry"
    needs_faces = True

    def __init__(self) -> None:
        self._mapper = NormalMapper()

    def open_stream(self, timer: StageTimer) -> "GeometryStream":
        """See `pipeline.engines.base.Engine`."""
        return GeometryStream(self._mapper, timer)

    def source_lighting(self, frame: BgrImage, faces: FaceState) -> FloatArray | None:
        """See `pipeline.engines.base.Engine`."""
        width, height = grid_size(*faces.size)
        small = resize(frame, (width, height))
        linear = np.asarray(cv2.LUT(small, DECODE_8BIT), np.float32)
        normals, own = self._mapper.normals(faces, resize(faces.mask, (width, height)))
        return estimate(linear, normals, skin_mask(faces.faces, faces.size), own)

    def close(self) -> None:
        """Nothing is held."""


class GeometryStream:
    """See `pipeline.engines.base.Stream`."""

    def __init__(self, mapper: NormalMapper, timer: StageTimer) -> None:
        self._mapper = mapper
        self._timer = timer
        self._compositor = Compositor()
        self._present: FloatArray | None = None
        self._gain: FloatArray | None = None
        self._time = 0.0

    def reset(self) -> None:
        """Forgets the frames before."""
        self._present = None
        self._gain = None

    def close(self) -> None:
        """Nothing is held."""

    def relight(
        self, frame: BgrImage, faces: FaceState, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """See `pipeline.engines.base.Stream`; a frame without faces passes through."""
        if not faces.faces or lighting.mode == "off":
            return frame
        weight = max(face.weight for face in faces.faces) * settings.strength
        width, height = grid_size(*faces.size)
        with self._timer.stage("normals"):
            small = resize(frame, (width, height))
            linear = np.asarray(cv2.LUT(small, DECODE_8BIT), np.float32)
            mask = resize(faces.mask, (width, height))
            normals, own = self._mapper.normals(faces, mask)
        with self._timer.stage("present light"):
            skins = skin_mask(faces.faces, faces.size)
            seen = estimate(linear, normals, skins, own)
            dt, self._time = faces.time - self._time, faces.time
            if seen is not None:
                self._present = follow(self._present, seen, dt)
            present = AMBIENT if self._present is None else self._present
            if lighting.mode == "auto":
                if skins or self._gain is None:
                    wanted = np.array([auto_gain(linear, mask, skins)], np.float32)
                    self._gain = follow(self._gain, wanted, dt)
                target = auto_target(present) * self._gain
            else:
                self._gain = None
                target = levelled(lighting.sh)
        if weight == 0.0:
            return frame
        with self._timer.stage("ratio"):
            target = adjusted(target, settings) * np.float32(settings.intensity)
            gain = _gain(normals, present, target, linear)
            behind = background_gain(present, target, linear, settings.background)
            luma = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY) * np.float32(1 / 255)
        with self._timer.stage("composition"):
            gain = np.asarray(cv2.pow(gain, weight), np.float32)
            if behind is not None:
                behind = np.asarray(cv2.pow(behind, weight), np.float32)
            return self._compositor.apply(frame, gain, behind, mask, luma)


def _gain(
    normals: FloatArray, present: FloatArray, target: FloatArray, linear: FloatArray
) -> FloatArray:
    """`(h, w, 3)` BGR gain of linear light, bounded, rolled off where it would clip."""
    both = np.concatenate([present[:, ::-1], target[:, ::-1]], axis=1)
    # A row for each channel, of both lights: rows are contiguous, pixels of three channels are not.
    functions = np.moveaxis(basis(normals), -1, 0).reshape(9, -1)
    light = np.maximum((both * LAMBERT[:, None]).T @ functions, 0.0)
    floor = _floor(both)[:, None]
    ratio = cv2.log(_tamed(light[3:]) + floor[3:]) - cv2.log(_tamed(light[:3]) + floor[:3])
    rows = bounded(np.asarray(ratio, np.float32))
    gain = cv2.merge(list(rows.reshape(3, *linear.shape[:2])))
    return rolled_off(np.asarray(gain, np.float32), linear)


def _tamed(light: FloatArray) -> FloatArray:
    """`(3, n)` BGR irradiance, grayer where it is dark: what order 2 makes of darkness has a sign
    for each channel, and their ratio would be a colour that is not there.
    """
    gray = LUMA_BGR @ light
    share = gray / (gray + np.float32(_FLOOR))
    return np.asarray(gray + (light - gray) * share, np.float32)


def _floor(sh: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(exposure(sh), 0.05) * np.float32(_FLOOR), np.float32)


def background_gain(
    present: FloatArray, target: FloatArray, linear: FloatArray, share: float
) -> FloatArray | None:
    """`(h, w, 3)` BGR gain of everything but people, as of a wall behind them that faces the
    camera; None for none.
    """
    if share == 0.0:
        return None
    facing = basis(np.array([0, 0, 1], np.float32)) * LAMBERT
    ratio = (np.maximum(facing @ target, 0) + _floor(target)) / (
        np.maximum(facing @ present, 0) + _floor(present)
    )
    wall = np.clip(ratio, 0.2, 3.0)[::-1] ** np.float32(share)
    return rolled_off(np.broadcast_to(wall, linear.shape).astype(np.float32), linear)
