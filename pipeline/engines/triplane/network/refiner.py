"""The refiner: a few convolutions that correct the gain which maps and lights make of a head.

Physical terms of a light change are right but for what the maps get wrong and the model of skin
leaves out: hard shadows of the source lighting that stay, scattering, bounces, edges of cast
shadows. The refiner sees them beside the image, and adds a bounded residual. Its inputs are the
physical terms (diffuse, specular, visibility) as in URHand (Chen et al., CVPR 2024).
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional

from vcam_relight.pipeline.core.resources import CHECKPOINTS, read_checked
from vcam_relight.pipeline.engines.triplane.network.layers import Conv, Merge
from vcam_relight.pipeline.engines.triplane.network.model import Maps

SHIPPED = CHECKPOINTS / "refiner.safetensors"
"""The weights that come with the program."""
FEATURES = 21
"""Channels of what the refiner sees, see `refiner_features`."""


@dataclass(frozen=True, slots=True)
class RefinerParams:
    """Sizes and bounds."""

    half: int = 20
    quarter: int = 48
    eighth: int = 64
    """Channels at so much of the maps' resolution."""
    gray: float = 0.9
    """Natural logarithm that the residual's mean over the channels never passes..."""
    color: float = 0.12
    """...and that of what differs between channels. Small: colours of rendered people are taken
    for more than they are on images of real ones."""
    black: float = 0.02
    """Linear light and albedo below which colours are noise."""


_PARAMS = RefinerParams()


@dataclass(frozen=True, slots=True)
class ShadingTerms:
    """Parts of a crop's light change, `(1, C, n, n)`, natural logarithms of irradiance."""

    old: Tensor
    """RGB, what is taken out."""
    smooth: Tensor
    """1 channel, what order 2 makes of the source lighting: where `old` differs are shadows."""
    new: Tensor
    """RGB, what is put in, shadows and shine included."""
    shadows: Tensor
    """1 channel, the part of `new` that visibility and bounces make."""
    cast: Tensor
    """1 channel, what visibility past the head's depth alone would make of it."""
    shine: Tensor
    """1 channel, the part of `new` that reflections make."""
    difference: float
    """0..1, how far the two lightings count as different."""


class Refiner(nn.Module):
    """A U-Net from half of the maps' resolution down to an eighth; 100 MMAC."""

    def __init__(self, params: RefinerParams = _PARAMS) -> None:
        super().__init__()
        p = params
        self.params = params
        self.enter = Conv(4 * FEATURES, p.half, kernel=1)
        self.to_half = Conv(p.half, p.half)
        self.to_quarter = nn.Sequential(Conv(p.half, p.quarter, 2), Conv(p.quarter, p.quarter))
        self.to_eighth = nn.Sequential(Conv(p.quarter, p.eighth, 2), Conv(p.eighth, p.eighth))
        self.context = nn.Linear(p.eighth, p.eighth)
        self.up_quarter = Merge(p.eighth, p.quarter)
        self.up_half = Merge(p.quarter, p.half)
        self.out = nn.Conv2d(p.half, 4 * 4, 1)
        nn.init.zeros_(self.out.weight)  # no residual at first
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    @property
    def quarter(self) -> tuple[Conv, Conv]:
        """The convolutions at a quarter of the maps' resolution, on the way down."""
        return cast(Conv, self.to_quarter[0]), cast(Conv, self.to_quarter[1])

    @property
    def eighth(self) -> tuple[Conv, Conv]:
        """Those at an eighth."""
        return cast(Conv, self.to_eighth[0]), cast(Conv, self.to_eighth[1])

    def forward(self, features: Tensor) -> Tensor:
        """What is added to the log gain.

        Args:
            features: `(B, FEATURES, n, n)`, see `refiner_features`; the last channel is the person.

        Returns:
            `(B, 3, n, n)`; on the person its mean is 0 in each channel, as level and white balance
            are found elsewhere.
        """
        half = self.to_half(self.enter(functional.pixel_unshuffle(features, 2)))
        quarter = self.to_quarter(half)
        eighth = self.to_eighth(quarter)
        whole = functional.relu(self.context(eighth.mean(dim=(2, 3))))
        quarter = self.up_quarter(eighth + whole[:, :, None, None], quarter)
        out = functional.pixel_shuffle(self.out(self.up_half(quarter, half)), 2)
        gray, color = out[:, :1], out[:, 1:]
        color = color - color.mean(1, keepdim=True)
        p, person = self.params, features[:, -1:]
        residual = p.gray * torch.tanh(gray / p.gray) + p.color * torch.tanh(color / p.color)
        total = (residual * person).sum((2, 3), keepdim=True)
        return residual - total / (person.sum((2, 3), keepdim=True) + 1)


def refiner_features(
    maps: Maps, linear: Tensor, terms: ShadingTerms, params: RefinerParams = _PARAMS
) -> Tensor:
    """What the refiner sees of crops.

    Args:
        maps: the network's.
        linear: `(B, 3, n, n)` the crops' linear light, RGB.
        terms: of the light change that is asked for.
        params: `black` matters.

    Returns:
        `(B, FEATURES, n, n)`.
    """
    person = torch.sigmoid(maps.mask)
    albedo = torch.log(maps.albedo + params.black)
    # What the image has that albedo and the source lighting's shading do not explain.
    rest = torch.log(linear + params.black) - albedo - maps.present
    rest = _centred(rest, person)
    present = _centred(maps.present.mean(1, keepdim=True), person)
    return torch.cat(
        [
            maps.normal,
            albedo + 1,
            (rest * person).clamp(-1.5, 1.5),
            present,
            terms.old,
            terms.smooth,
            terms.new,
            terms.shadows,
            terms.cast,
            terms.shine,
            person,
        ],
        dim=1,
    ).clamp(-4, 4)


def _centred(values: Tensor, weight: Tensor) -> Tensor:
    """Values less each image's mean, which is that of an exposure."""
    total = (values * weight).sum((1, 2, 3), keepdim=True)
    return values - total / (values.shape[1] * weight.sum((1, 2, 3), keepdim=True) + 1)


def parse_refiner(content: bytes) -> Refiner:
    """The refiner in the bytes of a `.safetensors` file, ready to run.

    Raises:
        RuntimeError: it is damaged or of another version.
    """
    refiner = Refiner()
    try:
        refiner.load_state_dict(load(content))
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        raise RuntimeError(f"the refiner's weights are damaged: {error}") from error
    ready = refiner.eval().requires_grad_(False)
    # On a CPU a fifth faster than the default layout.
    return ready.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@cache
def shipped_refiner(path: Path = SHIPPED) -> Refiner:
    """The refiner that comes with the program.

    Raises:
        OSError: the file is missing.
        RuntimeError: it is not the file that was tested.
    """
    return parse_refiner(read_checked(path))
