"""Contact sheets: the images that the metrics are of, side by side."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import encode_srgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.evaluate.cases import camera_gain
from vcam_relight.pipeline.lighting.sh import irradiance

_SIDE = 256
_LINE = 22
"""Height of a line of text in pixels."""
_ALBEDO = 0.6


class ContactSheet:
    """Rows of images of one size, with a title above each row and a heading above each column."""

    def __init__(self, columns: Sequence[str], most: int) -> None:
        """Starts with the headings alone.

        Args:
            columns: their headings.
            most: rows beyond are left out.
        """
        self._rows = [_text_line(columns, _SIDE)]
        self._width, self._most = len(columns) * _SIDE, most + 1

    def add(self, title: str, images: Sequence[BgrImage]) -> None:
        """Adds a row.

        Args:
            title: written above it.
            images: one for each column, of any size.
        """
        if len(self._rows) < self._most:
            shown = np.hstack([_thumbnail(image) for image in images])
            self._rows.append(np.vstack([_text_line([title], self._width), shown]))

    def write(self, path: Path) -> None:
        """Writes the sheet in the format that the suffix names.

        Raises:
            OSError: it cannot be encoded or written.
        """
        done, coded = cv2.imencode(path.suffix, np.vstack(self._rows))
        if not done:
            raise OSError(f"{path} cannot be encoded")
        path.write_bytes(coded.tobytes())


def light_ball(sh: FloatArray, side: int) -> BgrImage:
    """`(side, side, 3)` BGR: a matte ball under lighting `(9, 3)`, exposed as faces are."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    x, y = np.meshgrid(axis, -axis)
    radius = np.hypot(x, y) / 0.85
    z = np.sqrt(np.maximum(1 - radius * radius, 0))
    normals = np.stack([x / 0.85, y / 0.85, z], axis=-1)
    light = np.maximum(irradiance(sh, normals), 0) * np.float32(_ALBEDO / np.pi * camera_gain(sh))
    coded = np.round(encode_srgb(light[..., ::-1]) * 255)
    return np.where(radius[..., None] < 1, coded, 40).astype(np.uint8)


def _thumbnail(image: BgrImage) -> BgrImage:
    height, width = image.shape[:2]
    scale = _SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(image, size, interpolation=method)
    square = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    top, left = (_SIDE - size[1]) // 2, (_SIDE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square


def _text_line(texts: Sequence[str], width: int) -> BgrImage:
    line = np.full((_LINE, len(texts) * width, 3), 255, np.uint8)
    for index, text in enumerate(texts):
        place = (index * width + 4, _LINE - 7)
        cv2.putText(line, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return line
