"""Batches: what the network sees at a step, and the ground truth."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from vcam_relight.pipeline.core.tensors import combined, constant, mapped
from vcam_relight.pipeline.head.space import HeadPose

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

_ACROSS = (-1.0, 1.0, 1.0)
"""What vectors are multiplied by in a mirror."""
_MIRROR = (1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0)
"""What SH coefficients are multiplied by in a mirror."""


@dataclass(frozen=True, slots=True)
class Batch:
    """B frames: what the network sees, and the ground truth.

    Colours are linear RGB unless said otherwise and not premultiplied except `scene` and `relit`;
    normals are unit vectors in the axes of their camera.
    """

    image: Tensor
    """`(B, 3, 256, 256)` the input, sRGB-encoded, -1..1."""
    linear: Tensor
    """`(B, 3, 128, 128)` its linear light, without the noise of rooms: what is relit."""
    pose: HeadPose
    """Of the heads in it."""
    person: Tensor
    """`(B, 1, 128, 128)` 1 where the person is seen for sure: the weight of most losses; else 0."""
    alpha: Tensor
    """`(B, 1, 128, 128)` the person's share; -1 where something before the person hides it."""
    scene: Tensor
    """`(B, 3, 128, 128)` the person under the source lighting, in the webcam's exposure and white
    balance."""
    relit: Tensor
    """`(B, 3, 128, 128)` the same under the target lighting, as a neutral camera sees it."""
    shading: Tensor
    """`(B, 3, 128, 128)` irradiance / pi of the target lighting."""
    albedo: Tensor
    """`(B, 3, 128, 128)`."""
    normal: Tensor
    """`(B, 3, 128, 128)`."""
    depth: Tensor
    """`(B, 1, 128, 128)` dm of head space towards the camera from the head's origin; of the
    background anything."""
    light: Tensor
    """`(B, 9, 3)` SH of the target lighting."""
    radiance: Tensor
    """`(B, 3, 32, 64)` the target lighting as a `LightMap`."""
    novel_pose: HeadPose
    """Of the heads seen by the novel cameras."""
    novel_albedo: Tensor
    """`(B, 3, 64, 64)`."""
    novel_normal: Tensor
    """`(B, 3, 64, 64)`."""
    novel_alpha: Tensor
    """`(B, 1, 64, 64)`."""
    novel_depth: Tensor
    """`(B, 1, 64, 64)` as `depth`."""


@dataclass(frozen=True, slots=True)
class FlowTargets:
    """Between T consecutive frames of B animations."""

    flow: Tensor
    """`(B, T - 1, 2, 128, 128)` pixels right and down to the same surface in the next frame."""
    valid: Tensor
    """`(B, T - 1, 1, 128, 128)` 1 where it is seen there, else 0."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """What the network is shown at one step."""

    frames: tuple[Batch, ...]
    """Moments of the same people, which the temporal state is carried through: one of stills, two
    of stills that noise and exposure alone tell apart, three of animations."""
    motion: FlowTargets | None
    """Of animations."""


def half_mirrored(batch: T, mirror: Callable[[T], T]) -> T:
    """A batch of which every second row is seen in a mirror; those come last."""
    first, second = (mapped(batch, lambda t, k=k: t[k::2]) for k in range(2))  # type: ignore[misc]
    return combined([first, mirror(second)], torch.cat)


def mirrored(batch: Batch) -> Batch:
    """Everything seen in a mirror."""
    flipped = mapped(batch, lambda t: t.flip(3) if t.dim() == 4 else t)
    across = constant(_ACROSS, batch.normal)[:, None, None]
    return replace(
        flipped,
        pose=mirrored_pose(batch.pose),
        novel_pose=mirrored_pose(batch.novel_pose),
        normal=flipped.normal * across,
        novel_normal=flipped.novel_normal * across,
        light=batch.light * constant(_MIRROR, batch.light)[:, None],
    )


def mirrored_pose(pose: HeadPose) -> HeadPose:
    """The pose in a mirror; faces are symmetric."""
    sign = constant(_ACROSS, pose.rotation)
    return HeadPose(pose.rotation * sign[:, None] * sign, pose.scale, pose.shift * sign[:2])
