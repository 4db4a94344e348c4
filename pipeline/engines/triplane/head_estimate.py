"""What is asked and what is known of one head."""

from dataclasses import dataclass, replace

from torch import Tensor

from vcam_relight.pipeline.core.image import BgrImage, FloatArray, GrayImage, RgbGain
from vcam_relight.pipeline.engines.triplane.network.model import Maps, Volume
from vcam_relight.pipeline.engines.triplane.runtime.runtime import Planes, RuntimeMemory
from vcam_relight.pipeline.engines.triplane.source_light import RemovableShading
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting.lobes import DistantLight


@dataclass(frozen=True, slots=True)
class ShadingAmounts:
    """How much of the parts of a light change is shown."""

    shadows: float
    """0..1, of the target lighting's cast shadows."""
    highlights: float
    """0..1, of its reflections on the skin."""
    source_color: float
    """0..1, of the colours that the source lighting seems to have, how much is taken out."""


@dataclass(frozen=True, slots=True)
class LightOfGain:
    """What a head's gain is made for."""

    target: DistantLight
    """The target lighting, of exposure 1."""
    amounts: ShadingAmounts

    def equals(self, other: "LightOfGain") -> bool:
        """Whether the same gain comes of both."""
        return self.amounts == other.amounts and self.target.equals(other.target)


@dataclass(frozen=True, slots=True)
class PreparedGain:
    """A head's gain, and what it is for."""

    light: LightOfGain
    gain: RgbGain
    """`(128, 128, 3)`."""


@dataclass(frozen=True)
class HeadObservation:
    """A head in one frame, for the network to look at."""

    image: BgrImage
    """`(256, 256, 3)` crop; never written to again."""
    luma: GrayImage
    """`(128, 128)` of the crop."""
    pose: HeadPose
    """Of the head in the crop."""
    target: FloatArray
    """`(9, 3)` radiance of the lighting whose cast shadows are asked for."""
    time: float
    """Of the frame, seconds."""
    shown: LightOfGain | None = None
    """What the head was last shown in: its gain is prepared for that, as it will likely be wanted
    again. None: nothing is prepared."""


@dataclass(frozen=True)
class HeadEstimate:
    """What is known of one head; maps are of the crop that was observed."""

    time: float
    """Of the frame that was observed, seconds."""
    luma: GrayImage
    """`(128, 128)` of the crop."""
    target: FloatArray
    """`(9, 3)` the lighting whose cast shadows it has."""
    pose: HeadPose
    """Of the head in the crop."""
    memory: RuntimeMemory
    """The network's own, for the next inference."""
    maps: Maps
    """Smoothed over time."""
    linear: Tensor
    """`(1, 3, 128, 128)` RGB, its linear light."""
    shading: RemovableShading
    """The source lighting's."""
    volume: Volume
    planes: Planes
    """Albedo planes."""
    source: FloatArray
    """`(9, 3)` radiance of the source lighting, smoothed over time, of exposure 1."""
    prepared: PreparedGain | None = None
    """What the network's thread has worked out already."""

    def with_shadows_of(self, other: "HeadEstimate") -> "HeadEstimate":
        """This one, with the cast shadows of another."""
        maps = replace(self.maps, occlusion=other.maps.occlusion)
        return replace(self, target=other.target, maps=maps, prepared=None)
