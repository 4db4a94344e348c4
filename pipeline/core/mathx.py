"""Small functions of numbers that rooms share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray


def smoothstep(low: float, high: float, values: NDArray[np.floating[Any]] | float) -> FloatArray:
    """0 below `low`, 1 above `high`, smooth in between; reversed where `low` > `high`."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
