"""The network's looks at heads, on a thread of their own."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vcam_relight.pipeline.core.color import linear_rgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.engines.triplane.network.model import (
    OUTPUT,
    Maps,
    TemporalState,
    TriplaneNetwork,
    Volume,
)
from vcam_relight.pipeline.engines.triplane.runtime.runtime import Runtime
from vcam_relight.pipeline.engines.triplane.runtime.threads import torch_threads
from vcam_relight.pipeline.engines.triplane.shading import believed, light_on
from vcam_relight.pipeline.engines.triplane.temporal.optical_flow import Motion
from vcam_relight.pipeline.engines.triplane.temporal.smoothing import steadied
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting.estimation import follow
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.sh_torch import asked_light


@dataclass(frozen=True)
class Glimpse:
    """A head in one frame, for the network to look at."""

    image: BgrImage
    """`(256, 256, 3)` BGR crop; never written to again."""
    luma: BgrImage
    """`(128, 128)` of the crop, encoded."""
    pose: HeadPose
    """Of the head in the crop."""
    asked: FloatArray
    """`(9, 3)` radiance of the light that is wanted."""
    time: float
    """Of the frame, seconds."""


@dataclass(frozen=True)
class Belief:
    """What is believed of one person."""

    time: float
    """Of the frame that the network looked at."""
    luma: BgrImage
    """`(128, 128)` of the crop of that frame."""
    asked: FloatArray
    """`(9, 3)` the light that it was asked for."""
    state: TemporalState
    maps: Maps
    """Steadied."""
    shading: Tensor
    """The present one, as of `shade.believed`."""
    volume: Volume
    planes: Tensor
    """Albedo planes."""
    level: FloatArray
    """`(3,)` RGB natural logarithm of the present light's exposure in the maps' scale."""
    light: FloatArray
    """`(9, 3)` the present light, smoothed, of exposure 1."""


class Observer:
    """Looks at heads one after the other; what it says depends on nothing but what it is given."""

    def __init__(self, network: TriplaneNetwork, device: str = "cpu") -> None:
        """Args: `device` of torch that the network runs on."""
        self._runtime = Runtime(network, device)
        self._motion = Motion()
        self._pool = ThreadPoolExecutor(1, "network")
        """Holds at most one look for each head that an engine's streams follow."""

    def close(self) -> None:
        """Ends its thread; may be called twice."""
        self._pool.shutdown()

    def look(self, glimpse: Glimpse, last: Belief | None) -> Future[Belief]:
        """Begins a look; `last` is what is believed of this person, if anything."""
        return self._pool.submit(self._look, glimpse, last)

    @torch.inference_mode()
    def _look(self, glimpse: Glimpse, last: Belief | None) -> Belief:
        image, luma, pose = glimpse.image, glimpse.luma, glimpse.pose
        rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))
        maps, volume, following, planes = self._runtime.run(
            torch.from_numpy(rgb).float()[None] / 127.5 - 1,
            pose,
            asked_light(torch.from_numpy(glimpse.asked)[None], pose.rotation),
            last.state if last else None,
        )
        dt = glimpse.time - last.time if last else 0.0
        # Pictures of 128 pixels are too small for torch to share out: its threads would wait for
        # one another whenever something else has a core.
        with torch_threads(1):
            if last:
                maps = steadied(last.maps, maps, self._motion.between(last.luma, luma), dt)
            seen = light_on(maps)
            level = np.maximum(exposure(seen), np.float32(1e-4))
            light = follow(last.light if last else None, np.asarray(seen / level), dt)
            shading = believed(maps, _linear(image))
        return Belief(
            glimpse.time,
            luma,
            glimpse.asked,
            following,
            maps,
            shading,
            volume,
            planes,
            np.log(level),
            light,
        )


def _linear(image: BgrImage) -> Tensor:
    """`(1, 3, 128, 128)` linear RGB of a `(256, 256, 3)` BGR crop."""
    small = linear_rgb(resize(image, (OUTPUT, OUTPUT)))
    return torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None]
