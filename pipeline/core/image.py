"""Types of images and arrays in the pipeline."""

import numpy as np
from numpy.typing import NDArray

BgrImage = NDArray[np.uint8]
"""`(H, W, 3)` uint8, BGR, sRGB-encoded, full range."""

Map = NDArray[np.float32]
"""`(h, w)` float32."""

FloatArray = NDArray[np.float32]
"""float32 of the shape that its docstring gives."""
