"""DPR (Zhou et al., Deep Single-Image Portrait Relighting, ICCV 2019) as a method to compare with.

Its weights are for research only: they are read from a folder that the user names, never shipped,
and never a teacher. The network itself is in `pipeline.engines.paper.dpr`.
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.effort import FULL
from vcam_relight.pipeline.engines.paper import CheckpointError
from vcam_relight.pipeline.engines.paper.crop import largest
from vcam_relight.pipeline.engines.paper.dpr import SIDE, WEIGHTS, DprNetwork, load_network
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import Lighting

_FIRST = 0.76
"""Coefficient 0 of the lights in its authors' demonstration; sets the brightness."""
_DIRECTED = 0.6
"""Factor on the other coefficients, divided by the first: trained on lights of photographs, the
network overshoots with harder ones."""


class DprEngine:
    """DPR as an engine.

    The largest square around a face is relit, as its authors' demonstration does with whole images;
    everything in the square changes.
    """

    name = "dpr"
    runs_on = "CPU"
    needs_faces = True
    card = None
    effort = FULL

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Loads the network.

        Args:
            folder: holds `trained_model_03.t7` of DPR's repository.
            device: a torch device.

        Raises:
            OSError: there is no such file.
            ValueError: it holds something else.
        """
        self._device = device
        self._network = _load(folder / WEIGHTS).to(device)

    def open_stream(self, timer: StageTimer) -> "DprEngine":
        """Itself, as it knows single images only."""
        return self

    def source_lighting(self, frame: BgrImage, faces: FaceState) -> FloatArray | None:
        """None: what it reads is not asked."""
        return None

    def portrait(self) -> None:
        """None: it knows no head's shape."""

    def reset(self) -> None:
        """Nothing is remembered."""

    def close(self) -> None:
        """Nothing is held."""

    def relight(
        self, frame: BgrImage, faces: FaceState, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """Relights the square around the largest face.

        DPR relights luminance: of the lighting its shape alone is followed, and no setting.
        """
        if not faces.faces or lighting.mode != "sh":
            return frame
        square = _square(faces)
        part = np.ascontiguousarray(frame[square])
        lab = cv2.cvtColor(part.astype(np.float32) / np.float32(255), cv2.COLOR_BGR2Lab)
        size = (part.shape[1], part.shape[0])
        lightness = cv2.resize(lab[..., 0] / np.float32(100), (SIDE, SIDE))
        with torch.inference_mode():
            given = torch.from_numpy(np.asarray(lightness, np.float32))[None, None]
            light = torch.from_numpy(dpr_light(lighting.sh)).reshape(1, 9, 1, 1)
            relit = self._network(given.to(self._device), light.to(self._device))
        lab[..., 0] = cv2.resize(relit[0, 0].cpu().numpy() * np.float32(100), size)
        result = frame.copy()
        bgr = np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2BGR), 0, 1)
        result[square] = np.round(bgr * 255).astype(np.uint8)
        return result


def dpr_light(sh: FloatArray) -> FloatArray:
    """`(9,)` gray coefficients as DPR does best with, of lighting `(9, 3)`."""
    gray = sh.mean(axis=1)
    light = gray / max(float(gray[0]), 1e-6) * np.float32(_FIRST * _DIRECTED)
    light[0] = _FIRST
    return np.asarray(light, np.float32)


def _square(faces: FaceState) -> tuple[slice, slice]:
    """The largest square of the frame with the largest face as near to its middle as it gets."""
    width, height = faces.size
    side = min(width, height)
    points = largest(faces.faces).landmarks[:, :2]
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    left = int(np.clip(round(float(middle[0]) - side / 2), 0, width - side))
    top = int(np.clip(round(float(middle[1]) - side / 2), 0, height - side))
    return slice(top, top + side), slice(left, left + side)


def _load(path: Path) -> DprNetwork:
    try:
        return load_network(path)
    except CheckpointError as error:
        raise ValueError(f"no file of DPR's weights: {error}") from error
