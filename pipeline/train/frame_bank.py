"""Captures on the device that trains, and batches of them, under other lights each time."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.core.tensors import constant
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting.sh import MEAN
from vcam_relight.pipeline.lighting.sh_torch import LUMINANCE, exposure, irradiance
from vcam_relight.pipeline.lightstage.camera.backdrop import LEAST_WHITE
from vcam_relight.pipeline.lightstage.light.light_sampler import FROM_BEHIND
from vcam_relight.pipeline.train.camera_augmentation import (
    AugmentedCameras,
    film,
    sample_cameras,
)
from vcam_relight.pipeline.train.captures import ANIMATION_LENGTH, LIGHTS
from vcam_relight.pipeline.train.random_tensors import RandomTensors
from vcam_relight.pipeline.train.samples import (
    Batch,
    FlowTargets,
    TrainingStep,
    half_mirrored,
    mirrored,
)

_MIXED = 3
"""Lights of a frame that are mixed at most."""
_SHARES = (0.45, 0.8)
"""Probability of one light alone, and of two at most."""
ROOMS = 0.35
"""Share of images taken in rooms, see `camera_augmentation`."""
_OCCLUDED, _COVERED = 0.12, 0.02
"""Share of images with something in front; the share of a pixel from which it counts as that."""
_DIM = 0.06
"""Share of dim lightings."""
_ROTATION, _SCALE, _SHIFT = math.radians(2.5), 0.03, 0.015
"""Errors of a tracked pose: radians, relative, half crop sides; standard deviations."""
_TREMBLE = 0.25
"""Share of the errors of a tracked pose that changes from frame to frame."""


@dataclass(frozen=True, slots=True)
class LightMixture:
    """B mixtures of a frame's lights."""

    chosen: Tensor
    """`(B, 3)` which."""
    gains: Tensor
    """`(B, 3, 3)` of each, RGB."""
    sh: Tensor
    """`(B, 9, 3)` of all together."""


class FrameBank:
    """All frames of a folder of captures, 7 MB each, on a device.

    Raises:
        OSError: a file cannot be read.
        ValueError: there are no captures, or one is damaged.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        """Reads the captures.

        Args:
            folder: as `CaptureFolder` fills it.
            device: where frames lie, and batches are made.
        """
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ValueError(
                f"there are no captures in {folder}; "
                "`python -m vcam_relight.pipeline.train captures` makes them"
            )
        counts = [_frames(file) for file in files]
        self._device, self._count = device, sum(counts)
        self._rows: dict[str, Tensor] = {}
        fronts, first, end = [], [], 0
        for file, count in zip(files, counts, strict=True):
            capture = load_file(file)
            fronts.append(capture.pop("front").to(device))
            if bool(capture["flow"].any()):
                first.append(end)
            for name, values in capture.items():
                if name not in self._rows:
                    shape = (self._count, *values.shape[1:])
                    self._rows[name] = torch.empty(shape, dtype=values.dtype, device=device)
                self._rows[name][end : end + count] = values
            end += count
        self._fronts = torch.cat(fronts)
        self._first = torch.tensor(first, dtype=torch.long, device=device)

    def __len__(self) -> int:
        """The number of frames."""
        return self._count

    @property
    def animations(self) -> int:
        """How many of the captures are animations."""
        return len(self._first)

    def stills(
        self, count: int, random: RandomTensors, side: int = 160, rooms: float = ROOMS
    ) -> TrainingStep:
        """Frames by themselves, half of them mirrored.

        Args:
            count: of frames.
            random: what all is drawn from.
            side: of the sensor of half of the cameras; the others' is 256.
            rooms: share of images taken in rooms, see `camera_augmentation`.
        """
        index = random.integers(self._count, count)
        cameras = sample_cameras(random, count, rooms)
        source, target = self._light(index, random), self._light(index, random)
        batch = self._batch(index, source, target, cameras, random, side)
        return TrainingStep((half_mirrored(_tracked(batch, random, None), mirrored),), None)

    def disturbed(self, count: int, random: RandomTensors, side: int = 160) -> TrainingStep:
        """The same frames twice, with other noise and exposure; arguments as of `stills`."""
        index = random.integers(self._count, count)
        source, target = self._light(index, random), self._light(index, random)
        cameras, common = sample_cameras(random, count, ROOMS), random.normal(count, 6)
        frames = []
        for _ in range(2):
            now = replace(cameras, exposure=cameras.exposure + 0.07 * random.normal(count))
            batch = self._batch(index, source, target, now, random, side)
            frames.append(half_mirrored(_tracked(batch, random, common), mirrored))
        return TrainingStep(tuple(frames), None)

    def animated(self, count: int, random: RandomTensors, side: int = 160) -> TrainingStep:
        """Consecutive frames by one camera each, under the same light; arguments as of `stills`."""
        first = self._first[random.integers(self.animations, count)]
        source, target = self._light(first, random), self._light(first, random)
        cameras, common = sample_cameras(random, count, ROOMS), random.normal(count, 6)
        frames = []
        for t in range(ANIMATION_LENGTH):
            batch = self._batch(first + t, source, target, cameras, random, side)
            frames.append(_tracked(batch, random, common))
        index = first[:, None] + torch.arange(ANIMATION_LENGTH - 1, device=self._device)
        flow = self._rows["flow"][index].float()
        return TrainingStep(tuple(frames), FlowTargets(flow[:, :, :2], flow[:, :, 2:]))

    def scene(self, index: Tensor, light: LightMixture) -> Tensor:
        """`(B, 3, 256, 256)` linear RGB of frames `index` under mixtures, premultiplied."""
        return _mixture(self._rows["images"], index, light)

    def _light(self, index: Tensor, random: RandomTensors) -> LightMixture:
        count = len(index)
        order = random.uniform(0, 1, count, LIGHTS).argsort(1)[:, :_MIXED]
        amount = random.uniform(math.log(0.1), 0.0, count, _MIXED).exp()
        many = random.uniform(0, 1, count)
        amount[:, 0] = 1
        amount[:, 1] *= many > _SHARES[0]
        amount[:, 2] *= many > _SHARES[1]
        vivid = 0.05 + 0.25 * random.bernoulli(0.3, count, 1, 1)
        gains = amount[..., None] * (vivid * random.normal(count, _MIXED, 3)).exp()
        sh = torch.einsum("bjkc,bjc->bkc", self._rows["sh"][index[:, None], order], gains)
        luma = constant(LUMINANCE, sh)
        level = torch.maximum(exposure(sh) @ luma, FROM_BEHIND * MEAN * (sh[:, 0] @ luma))
        stops = (0.4 * random.normal(count)).clamp(-1, 1)
        dim = random.bernoulli(_DIM, count) > 0
        stops = torch.where(dim, random.uniform(-3, -1.3, count), stops)
        scale = math.pi * torch.exp2(stops) / level.clamp(min=1e-4)
        return LightMixture(order, gains * scale[:, None, None], sh * scale[:, None, None])

    def _batch(
        self,
        index: Tensor,
        source: LightMixture,
        target: LightMixture,
        cameras: AugmentedCameras,
        random: RandomTensors,
        side: int,
    ) -> Batch:
        count, rows = len(index), self._rows
        alpha = rows["alpha"][index].float() / 255
        lit = self.scene(index, source)
        scene = lit + (1 - alpha) * self._behind(count, source, random)
        front = self._fronts[random.integers(len(self._fronts), count)].float()
        front = front * random.bernoulli(_OCCLUDED, count, 1, 1, 1)
        thing = front[:, :3] * (exposure(source.sh) / math.pi)[:, :, None, None]
        shot = film(cameras, thing + (1 - front[:, 3:]) * scene, alpha, random, side)
        covered = functional.avg_pool2d(front[:, 3:], 2)
        small = functional.avg_pool2d(alpha, 2)
        surface, novel = rows["surface"][index].float(), rows["novel"][index].float()
        return Batch(
            image=shot.image,
            linear=shot.linear,
            pose=_pose(rows["pose"][index]),
            person=((small > 0.95) & (covered < _COVERED)).float(),
            alpha=torch.where(covered > _COVERED, -1.0, small),
            scene=functional.avg_pool2d(lit, 2) * shot.gain,
            relit=functional.avg_pool2d(self.scene(index, target), 2),
            shading=_mixture(rows["shading"], index, target),
            albedo=surface[:, :3],
            normal=surface[:, 3:6],
            depth=surface[:, 6:],
            light=target.sh,
            radiance=_mixture(rows["radiance"], index, target),
            novel_pose=_pose(rows["novel_pose"][index]),
            novel_albedo=novel[:, :3],
            novel_normal=novel[:, 3:6],
            novel_alpha=novel[:, 6:7],
            novel_depth=novel[:, 7:],
        )

    def _behind(self, count: int, light: LightMixture, random: RandomTensors) -> Tensor:
        """Any frame's backdrop in the colours of a light; see `white_level`."""
        index = random.integers(self._count, count)
        towards = constant((0.0, 0.0, 1.0), light.sh).view(1, 3, 1, 1).expand(count, -1, -1, -1)
        white = irradiance(light.sh, towards)[..., 0, 0]
        white = torch.maximum(white, LEAST_WHITE * MEAN * light.sh[:, 0]) / math.pi
        return self._rows["backdrop"][index].float() * white[:, :, None, None]


def _frames(file: Path) -> int:
    """How many a capture has."""
    try:
        with safe_open(file, "pt") as capture:
            return int(capture.get_slice("pose").get_shape()[0])
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged; delete it and render it again") from error


def _mixture(kept: Tensor, index: Tensor, light: LightMixture) -> Tensor:
    taken = kept[index[:, None], light.chosen].float()
    return torch.einsum("bjchw,bjc->bchw", taken, light.gains)


def _pose(flat: Tensor) -> HeadPose:
    return HeadPose(flat[:, :9].reshape(-1, 3, 3), flat[:, 9], flat[:, 10:])


def _tracked(batch: Batch, random: RandomTensors, common: Tensor | None) -> Batch:
    """With the errors of tracked poses; `common` ones do not change from frame to frame."""
    errors = random.normal(len(batch.image), 6)
    if common is not None:
        errors = common + _TREMBLE * errors
    x, y, z = (errors[:, :3] * _ROTATION).unbind(1)
    none = torch.zeros_like(x)
    skew = torch.stack([none, -z, y, z, none, -x, -y, x, none], dim=1).view(-1, 3, 3)
    # Angles are small: the third order is below 1e-4.
    turn = torch.eye(3, device=x.device) + skew + skew @ skew / 2 + skew @ skew @ skew / 6
    pose = batch.pose
    wrong = HeadPose(
        turn @ pose.rotation,
        pose.scale * torch.exp(errors[:, 3] * _SCALE),
        pose.shift + errors[:, 4:] * _SHIFT,
    )
    return replace(batch, pose=wrong)
