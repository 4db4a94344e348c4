"""Real spherical harmonics to order 2 for distant lighting.

Camera space: x to the right of the unmirrored image, y up, z from the person to the camera.
Coefficients are radiance in the real orthonormal basis, in the order of DPR's and the paper's
files: 1, Y, Z, X, YX, YZ, 3Z^2-1, XZ, X^2-Y^2 with X = x, Y = -z, Z = y.
"""

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.user_files import brief, read_bytes, read_text

_C0 = 0.5 / math.sqrt(math.pi)
_C1 = math.sqrt(3 / (4 * math.pi))
_C2 = 0.5 * math.sqrt(15 / math.pi)
_C20 = 0.25 * math.sqrt(5 / math.pi)
_C22 = 0.25 * math.sqrt(15 / math.pi)

BASIS_FACTORS = np.array([_C0, _C1, _C1, _C1, _C2, _C2, _C20, _C2, _C22], np.float32)
"""What the basis functions multiply their polynomials by."""
LAMBERT = np.array([math.pi] + [2 * math.pi / 3] * 3 + [math.pi / 4] * 5, np.float32)
"""`(9,)` factors from radiance to irradiance coefficients (Ramamoorthi, Hanrahan 2001, eq. 8)."""

MEAN = _C0 * math.pi
"""Irradiance of coefficient 0 alone, per unit: the mean irradiance over all normals."""


_MOST_BYTES = 1 << 16
"""Of a file of 27 numbers, however they are written."""


def basis_terms(x: Any, y: Any, z: Any) -> tuple[float, Any, Any, Any, Any, Any, Any, Any, Any]:
    """The nine basis functions; the first is a constant.

    Args:
        x: of unit vectors in camera space, an array of numpy or torch.
        y: likewise.
        z: likewise.
    """
    x, y, z = x, -z, y
    return (
        _C0,
        _C1 * y,
        _C1 * z,
        _C1 * x,
        _C2 * y * x,
        _C2 * y * z,
        _C20 * (3 * z * z - 1),
        _C2 * x * z,
        _C22 * (x * x - y * y),
    )


def basis(directions: FloatArray) -> FloatArray:
    """The nine basis functions.

    Args:
        directions: `(..., 3)` unit vectors in camera space.

    Returns:
        `(..., 9)` float32.
    """
    directions = np.asarray(directions, np.float32)
    x, y, z = (directions[..., axis].copy() for axis in range(3))
    out = np.empty((9, *directions.shape[:-1]), np.float32)  # by function: a third of the time
    for index, values in enumerate(basis_terms(x, y, z)):
        out[index] = values
    return np.moveaxis(out, 0, -1)


def irradiance(sh: FloatArray, normals: FloatArray) -> FloatArray:
    """Irradiance of surfaces, which times albedo / pi is the light they reflect.

    Args:
        sh: `(9, C)` radiance coefficients.
        normals: `(..., 3)` unit vectors in camera space.

    Returns:
        `(..., C)` float32; may dip below 0 for hard light, where order 2 rings.
    """
    result: FloatArray = basis(normals) @ (LAMBERT[:, None] * np.asarray(sh, np.float32))
    return result


def dominant_direction(sh: FloatArray) -> FloatArray:
    """The unit vector towards the brightest side, from the order-1 band of the mean of channels.

    Args:
        sh: `(9, C)` radiance coefficients.

    Returns:
        `(3,)` in camera space; straight to the camera when the light has no direction.
    """
    y, z, x = np.asarray(sh, np.float32)[1:4].mean(axis=1)
    vector = np.array([x, z, -y], np.float32)
    length = float(np.linalg.norm(vector))
    if length < 1e-8:
        return np.array([0, 0, 1], np.float32)
    result: FloatArray = vector / length
    return result


def load_sh(path: Path) -> FloatArray:
    """Reads `(9, 3)` coefficients from a `.npy` or text file of 9 or 9 x 3 numbers.

    Raises:
        OSError: the file cannot be read.
        ValueError: it does not hold 9 or 27 finite numbers.
    """
    try:
        if path.suffix == ".npy":
            values = np.load(io.BytesIO(read_bytes(path, _MOST_BYTES)), allow_pickle=False)
        else:
            words = read_text(path, _MOST_BYTES)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a file without numbers, whose size says it
                values = np.loadtxt(io.StringIO(words))
    except OSError:
        raise
    except Exception as error:  # numpy's reader of headers evaluates them, and raises anything
        raise ValueError(f"it is no file of numbers ({brief(error)})") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise ValueError("it is no file of real numbers")
    values = values.astype(np.float32)
    if values.size == 9:
        values = np.repeat(values.reshape(9, 1), 3, axis=1)
    if values.size != 27 or 9 not in values.shape:
        raise ValueError(f"expected 9 or 9 x 3 numbers, found an array of shape {values.shape}")
    values = np.squeeze(values)
    if values.shape == (3, 9):
        values = values.T
    if not np.isfinite(values).all():
        raise ValueError("not all numbers are finite")
    result: FloatArray = np.ascontiguousarray(values.reshape(9, 3))
    return result
