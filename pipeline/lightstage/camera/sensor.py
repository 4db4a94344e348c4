"""The sensor of a webcam: exposure, colour mosaic, noise, clipping.

Noise is that of Foi et al. (2008): shot noise whose variance follows the charge, and read noise
that does not. Gain raises both, so that dark scenes lifted by the camera are noisy.
"""

import math

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.lightstage.camera.parameters import CameraParameters

_FULL = 65535.0
_BLACK = 0.02
"""Pedestal of the raw values, so that noise around black is not cut off before interpolation."""
_MEMORY = 3
"""Frames whose noise is left in a frame by temporal denoising."""


def expose(
    camera: CameraParameters,
    light: FloatArray,
    exposure: float,
    white_balance: FloatArray,
    index: int,
) -> FloatArray:
    """Exposes the sensor.

    Args:
        camera: its parameters.
        light: `(H, W, 3)` linear RGB.
        exposure: linear gain.
        white_balance: `(3,)` linear RGB gains.
        index: frame of the clip; noise follows from it and the camera's seed.

    Returns:
        `(H, W, 3)` linear RGB with gains applied, clipped at `camera.headroom`; may be a little
        below 0 where it is dark.
    """
    native = np.asarray(camera.sensor_gains, np.float32)
    raw = light * (np.float32(exposure) / native)
    # the brightest native channel, green, reaches white first; the others are clipped with it, so
    # that clipped areas stay white before the white balance
    limit = (camera.headroom / native).astype(np.float32)
    if camera.mosaic:
        plane = _mosaic(raw)
        plane = plane + _noise(camera, plane, exposure, index)
        plane = np.clip(plane, -_BLACK, _mosaic(np.broadcast_to(limit, raw.shape)))
        scale = _FULL / (camera.headroom + _BLACK)
        coded = np.rint((plane + _BLACK) * scale).astype(np.uint16)
        full = cv2.cvtColor(coded, cv2.COLOR_BayerRGGB2RGB).astype(np.float32)
        raw = full / np.float32(scale) - np.float32(_BLACK)
    elif math.isfinite(camera.electrons):
        raw = raw + _noise(camera, raw, exposure, index)
    raw = np.minimum(raw, limit)
    developed = raw * (native * white_balance)
    result: FloatArray = np.minimum(developed, np.float32(camera.headroom))
    return result


def _mosaic(rgb: FloatArray) -> Map:
    """`(H, W)` of `(H, W, 3)`: red and green in even rows, green and blue in odd ones."""
    plane = np.empty(rgb.shape[:2], np.float32)
    plane[0::2, 0::2] = rgb[0::2, 0::2, 0]
    plane[0::2, 1::2] = rgb[0::2, 1::2, 1]
    plane[1::2, 0::2] = rgb[1::2, 0::2, 1]
    plane[1::2, 1::2] = rgb[1::2, 1::2, 2]
    return plane


def _noise(camera: CameraParameters, raw: FloatArray, exposure: float, index: int) -> FloatArray:
    """Noise for raw values that were gained by `exposure`, of their shape `(H, W[, 3])`."""
    if not math.isfinite(camera.electrons):
        return np.zeros_like(raw)
    read = np.float32(exposure * camera.read_noise)
    deviation = np.sqrt(np.maximum(raw, 0) * np.float32(exposure / camera.electrons) + read**2)
    unit = _fresh(camera, raw.shape, index)
    if camera.residue > 0:
        shares = camera.residue ** np.arange(_MEMORY, dtype=np.float32)
        for age in range(1, _MEMORY):
            unit = unit + shares[age] * _fresh(camera, raw.shape, index - age)
        unit = unit / np.float32(math.sqrt(float((shares**2).sum())))
    noise: FloatArray = deviation * unit
    if camera.banding > 0:
        rows = np.random.default_rng((camera.seed, 2, index + _MEMORY))
        columns = np.random.default_rng((camera.seed, 3))  # a sensor's columns stay what they are
        height, width, *channels = raw.shape
        ones = [1] * len(channels)
        band = rows.standard_normal((height, 1, *ones), np.float32)
        band = band + columns.standard_normal((1, width, *ones), np.float32)
        noise = noise + band * read * np.float32(camera.banding)
    return noise


def _fresh(camera: CameraParameters, shape: tuple[int, ...], index: int) -> FloatArray:
    """Normal noise of variance 1, correlated between neighbours by `camera.grain`."""
    rng = np.random.default_rng((camera.seed, 1, index + _MEMORY))  # never below 0
    unit = rng.standard_normal(shape, np.float32)
    if camera.grain <= 0.2:
        return unit
    kernel = cv2.getGaussianKernel(7, camera.grain).astype(np.float32)
    blurred = cv2.sepFilter2D(unit, -1, kernel, kernel)
    result: FloatArray = blurred / np.float32((kernel**2).sum())
    return result
