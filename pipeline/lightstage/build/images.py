"""Images on their way into the asset pack: read, made smaller, freed of their colour, encoded."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.color import DECODE_8BIT, LUMINANCE_RGB, encode_srgb
from vcam_relight.pipeline.lightstage.core.scene import Texture


def read_image(path: Path) -> Texture:
    """The image as RGBA; it is opaque if it says nothing else.

    Raises:
        OSError: it cannot be read.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise OSError(f"{path}: no image that can be read")
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    code = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA
    texture: Texture = cv2.cvtColor(image, code).astype(np.uint8)
    return texture


def shrunk(image: Texture, size: int) -> Texture:
    """At most `size` wide; averaged in linear light, weighted by alpha."""
    if image.shape[0] <= size:
        return image
    alpha = image[..., 3:].astype(np.float32) / 255
    linear = DECODE_8BIT[image[..., :3]] * np.maximum(alpha, 1e-3)
    premultiplied = np.concatenate([linear, np.maximum(alpha, 1e-3)], axis=2)
    small = cv2.resize(premultiplied, (size, size), interpolation=cv2.INTER_AREA)
    rgb = encode_srgb((small[..., :3] / small[..., 3:]).astype(np.float32))
    mean = cv2.resize(alpha, (size, size), interpolation=cv2.INTER_AREA)[..., None]
    result: Texture = np.rint(np.concatenate([rgb, mean], axis=2) * 255).astype(np.uint8)
    return result


def grey_strands(image: Texture) -> Texture:
    """Strands without their colour, to be tinted: their mean over what is opaque is 0.25."""
    alpha = image[..., 3].astype(np.float32) / 255
    luminance = DECODE_8BIT[image[..., :3]] @ LUMINANCE_RGB
    mean = float((luminance * alpha).sum() / alpha.sum()) + 1e-3
    # Strands photographed under a lamp: what is coarse is its gloss and shade, not the strands'.
    log = np.log(luminance + 0.15 * mean)
    weight = alpha + 1e-4
    width = image.shape[0] / 14
    coarse = cv2.GaussianBlur(log * weight, (0, 0), width) / cv2.GaussianBlur(weight, (0, 0), width)
    detail = np.exp(0.9 * np.tanh((log - 0.95 * coarse - 0.05 * np.log(mean)) / 0.9))
    detail /= float((detail * alpha).sum() / alpha.sum())
    # Below transparent texels lies the mean of their surroundings, for filtering.
    around = cv2.GaussianBlur(detail * weight, (0, 0), 4) / cv2.GaussianBlur(weight, (0, 0), 4)
    share = np.clip(alpha * 4, 0, 1)
    detail = np.minimum(detail * share + around * (1 - share), 3.5)
    result = image.copy()
    result[..., :3] = np.rint(encode_srgb(0.25 * detail) * 255)[..., None]
    return result


def to_png(image: Texture) -> NDArray[np.uint8]:
    """The bytes of a PNG file."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 9]
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA), options)[1].ravel()


def to_jpeg(image: Texture) -> NDArray[np.uint8]:
    """The bytes of a JPEG file, without the alpha."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGBA2BGR), options)[1].ravel()
