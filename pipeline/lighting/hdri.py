"""Environment maps: equirectangular images of the light all around.

The image is what the person sees: its centre column is the direction from the person to the
camera, its left half lights the right side (+x) of the unmirrored image, its top is up.
"""

import math
from pathlib import Path

import av
import cv2
import numpy as np

from vcam_relight.pipeline.core.color import decode_srgb
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.sh import basis

MAX_PIXELS = 8192 * 4096
"""Larger maps are refused: order-2 lighting needs far fewer."""

_ROWS = 64  # rows handled at once, which bounds the memory


def load_hdri(path: Path) -> FloatArray:
    """Reads an environment map.

    OpenEXR goes through FFmpeg's decoder (OpenCV's wheels are built without OpenEXR); colours are
    taken as linear with sRGB's primaries. Radiance `.hdr` goes through OpenCV. Other images
    (PNG, JPEG, …) are decoded from sRGB: they know no light brighter than white, so their light
    comes out flatter than it was.

    Args:
        path: `.exr`, `.hdr`, or any image that OpenCV reads.

    Returns:
        `(H, W, 3)` float32 RGB radiance, linear, finite and not below 0.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, not twice as wide as high, or larger than `MAX_PIXELS`.
    """
    raw = _read_exr(path) if path.suffix.lower() == ".exr" else _read_other(path)
    height, width = raw.shape[:2]
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{width} x {height} is too large: at most {MAX_PIXELS // 2**20} million pixels"
        )
    if width != 2 * height:
        raise ValueError(f"an environment map is twice as wide as high, not {width} x {height}")
    finite = raw[np.isfinite(raw)]
    brightest = float(finite.max(initial=0.0))
    image = np.nan_to_num(raw, nan=0.0, posinf=brightest, neginf=0.0)
    if brightest <= 0:
        raise ValueError("it is black")
    result: FloatArray = np.maximum(image, 0.0, dtype=np.float32)
    return result


def hdri_to_sh(image: FloatArray, rotate_degrees: float = 0.0) -> FloatArray:
    """Projects an environment map on the SH basis, each pixel weighted by its solid angle.

    Args:
        image: `(H, W, 3)` linear RGB radiance, as `load_hdri` gives it.
        rotate_degrees: turns the surroundings about the vertical; positive moves a light in front
            of the person towards the right of the unmirrored image (+x), as a light's azimuth.

    Returns:
        `(9, 3)` float32 radiance coefficients.
    """
    height, width = image.shape[:2]
    azimuth = (0.5 - (np.arange(width) + 0.5) / width) * 2 * math.pi
    azimuth = azimuth + math.radians(rotate_degrees % 360.0)
    edges = (0.5 - np.arange(height + 1) / height) * math.pi
    elevation = (edges[:-1] + edges[1:]) / 2
    solid_angle = (np.sin(edges[:-1]) - np.sin(edges[1:])) * 2 * math.pi / width
    sh = np.zeros((9, 3))
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        e = elevation[rows, None]
        x, y, z = np.sin(azimuth) * np.cos(e), np.sin(e), np.cos(azimuth) * np.cos(e)
        directions = np.stack(np.broadcast_arrays(x, y, z), axis=-1)
        weighted = image[rows] * solid_angle[rows, None, None]
        functions = basis(directions.astype(np.float32)).reshape(-1, 9)
        sh += functions.T.astype(np.float64) @ weighted.reshape(-1, 3)
    return sh.astype(np.float32)


def _read_exr(path: Path) -> FloatArray:
    try:
        with av.open(str(path), format="exr_pipe") as container:
            frame = next(container.decode(video=0))
    except (av.error.InvalidDataError, StopIteration, IndexError) as error:
        raise ValueError("it is damaged, or no OpenEXR picture that FFmpeg decodes") from error
    name = frame.format.name
    kind = np.dtype("<f2" if "f16" in name else "<f4")
    if not name.startswith(("gbrp", "gbrap", "gray")) or not name.endswith(("f16le", "f32le")):
        raise ValueError(f"pixels of the kind {name} are not supported; save it as RGB half")
    planes = [
        np.frombuffer(memoryview(plane), kind).reshape(frame.height, -1)[:, : frame.width]
        for plane in frame.planes
    ]
    order = (0, 0, 0) if name.startswith("gray") else (2, 0, 1)  # planes lie as G, B, R
    result: FloatArray = np.stack([planes[index] for index in order], axis=-1).astype(np.float32)
    return result


def _read_other(path: Path) -> FloatArray:
    encoded = np.fromfile(path, np.uint8)
    try:
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:  # an empty file, or more pixels than OpenCV accepts
        image = None
    if image is None:
        raise ValueError("it is damaged or no picture")
    rgb: FloatArray = np.ascontiguousarray(image[..., ::-1], np.float32)
    if image.dtype == np.float32:
        return rgb
    return decode_srgb(rgb / np.float32(65535 if image.dtype == np.uint16 else 255))
