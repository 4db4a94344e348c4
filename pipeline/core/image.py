"""Types of images and arrays: they tell colour space and channel order, which numpy does not.

Frames are `BgrImage` at the edges (sources, sinks, `relight`), as OpenCV has them. All light in
between (lightings, gains, linear images) is RGB.
"""

import numpy as np
from numpy.typing import NDArray

BgrImage = NDArray[np.uint8]
"""`(H, W, 3)` uint8, BGR, sRGB-encoded, full range."""

RgbImage = NDArray[np.uint8]
"""`(h, w, 3)` uint8, RGB, sRGB-encoded, full range."""

GrayImage = NDArray[np.uint8]
"""`(H, W)` uint8, luma (ITU-R BT.601) of an sRGB-encoded image, full range."""

LinearRgb = NDArray[np.float32]
"""`(h, w, 3)` float32, RGB, linear light, 1 is white."""

RgbGain = NDArray[np.float32]
"""`(h, w, 3)` float32, RGB, factors of linear light; 1 changes nothing."""

Map = NDArray[np.float32]
"""`(h, w)` float32."""

FloatArray = NDArray[np.float32]
"""float32 of the shape that its docstring gives."""
