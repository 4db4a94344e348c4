"""sRGB to linear light and back in torch, differentiable: what `color` says in numpy."""

import torch
from torch import Tensor

from vcam_relight.pipeline.core.color import (
    SRGB_GAMMA,
    SRGB_LINEAR_END,
    SRGB_LINEAR_END_LIGHT,
    SRGB_LINEAR_SLOPE,
    SRGB_OFFSET,
)


def decode_srgb(encoded: Tensor) -> Tensor:
    """Linear light in 0..1 of encoded values in 0..1, any shape."""
    high = ((encoded + SRGB_OFFSET) / (1 + SRGB_OFFSET)) ** SRGB_GAMMA
    return torch.where(encoded <= SRGB_LINEAR_END, encoded / SRGB_LINEAR_SLOPE, high)


def encode_srgb(linear: Tensor) -> Tensor:
    """Encoded values of linear light, any shape.

    What is below 0 goes on along the straight part, and what is above 1 along the curve, so that
    gradients do not end there.
    """
    # Of 0 the curve has no slope, and `where` would pass on its NaN.
    high = (1 + SRGB_OFFSET) * linear.clamp(min=1e-6) ** (1 / SRGB_GAMMA) - SRGB_OFFSET
    return torch.where(linear <= SRGB_LINEAR_END_LIGHT, linear * SRGB_LINEAR_SLOPE, high)
