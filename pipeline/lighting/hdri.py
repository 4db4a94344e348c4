"""Environment maps: equirectangular images of the light all around.

The image is what the person sees: its centre column is the direction from the person to the
camera, its left half lights the right side (+x) of the unmirrored image, its top is up.
"""

import io
import math
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from vcam_relight.pipeline.core.color import decode_srgb
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.user_files import brief, read_bytes
from vcam_relight.pipeline.lighting import exr, radiance
from vcam_relight.pipeline.lighting.sh import basis

MAX_PIXELS = 8192 * 4096
"""Larger maps are refused: order-2 lighting needs far fewer."""

_MOST_BYTES = 1 << 29
_ROWS = 64  # rows handled at once, which bounds the memory


def load_hdri(path: Path) -> FloatArray:
    """Reads an environment map.

    OpenEXR's and Radiance's colours are taken as linear with sRGB's primaries. Other images
    (PNG, JPEG, …) are decoded from sRGB: they know no light brighter than white, so their light
    comes out flatter than it was.

    Args:
        path: OpenEXR, Radiance, or any image that OpenCV reads; its name does not matter.

    Returns:
        `(H, W, 3)` float32 RGB radiance, linear, finite and not below 0.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, not twice as wide as high, or larger than `MAX_PIXELS`.
    """
    data = read_bytes(path, _MOST_BYTES)
    try:
        raw = _decode(path, data)
    except ValueError:
        raise
    except MemoryError:
        raise ValueError("it needs more memory than there is") from None
    except Exception as error:  # decoders report damage in every way that there is
        raise ValueError(f"it is damaged ({brief(error)})") from error
    _check_size(raw.shape[1], raw.shape[0])
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
        rotate_degrees: turns the environment about the vertical; positive moves a light in front
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


def _decode(path: Path, data: bytes) -> FloatArray:
    if data.startswith(exr.MAGIC):
        picture = exr.read_header(data)
        _check_size(*picture.size)
        return exr.read_exr(path, data, picture)
    if data.startswith(radiance.MAGIC):
        scanlines = radiance.read_header(data)
        _check_size(*scanlines.size)
        return radiance.decode(data, scanlines)
    return _read_other(data)


def _read_other(data: bytes) -> FloatArray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as pil:  # for its size alone: nothing is decoded
                _check_size(*sorted(pil.size, reverse=True))
    except UnidentifiedImageError:
        raise ValueError("it is damaged or no picture") from None
    except Image.DecompressionBombError:
        raise _too_large() from None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:
        raise ValueError("it is damaged or no picture")
    rgb: FloatArray = np.ascontiguousarray(image[..., ::-1], np.float32)
    if image.dtype == np.float32:
        return rgb
    return decode_srgb(rgb / np.float32(65535 if image.dtype == np.uint16 else 255))


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large()
    if width != 2 * height:
        raise ValueError(f"an environment map is twice as wide as high, not {width} x {height}")


def _too_large() -> ValueError:
    return ValueError(f"it is too large: at most {MAX_PIXELS // 2**20} million pixels")
