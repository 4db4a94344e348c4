"""Batches from sittings: what the network sees, and what is true of it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.train.sittings import INPUT, NOVEL, TRUTH
from pipeline.triplane.pose import HeadFinder
from pipeline.triplane.space import HeadPose
from pipeline.types import Floats

_ODD = [3, 4, 7]
"""SH functions that change sign in a mirror."""
_ROTATION, _SCALE, _SHIFT = np.radians(2.5), 0.03, 0.015
"""Errors of a tracked pose: radians, relative, half crop sides; standard deviations."""
_TREMBLE = 0.25
"""Share of them that changes from frame to frame."""


@dataclass
class Batch:
    """B frames; colours are linear RGB. Maps are `(B, C, 128, 128)`."""

    picture: Tensor
    """`(B, 3, 256, 256)` the input, sRGB-encoded, -1..1."""
    pose: HeadPose
    """With a tracker's errors."""
    person: Tensor
    """`(B, 1, 128, 128)` 1 where the person is seen for sure: the weight of most losses."""
    alpha: Tensor
    scene: Tensor
    """The person under the present light in the webcam's exposure and white balance."""
    relit: Tensor
    """The same under the asked light, as a neutral camera sees it."""
    shading: Tensor
    """Irradiance / pi of the asked light."""
    albedo: Tensor
    normal: Tensor
    depth: Tensor
    """dm of head space towards the camera from its origin; 1 channel."""
    present: Tensor
    """`(B, 9, 3)` SH of the light that is there, gains of the webcam included."""
    light: Tensor
    """`(B, 9, 3)` SH of the asked light."""
    novel_pose: HeadPose
    novel_albedo: Tensor
    """`(B, 3, 64, 64)`."""
    novel_normal: Tensor
    """In the novel camera's axes."""
    novel_alpha: Tensor
    novel_depth: Tensor


@dataclass
class Motion:
    """Between the frames of performances, `(S, T - 1, C, 128, 128)`."""

    flow: Tensor
    """In pixels."""
    valid: Tensor


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a sitting."""
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def samples(
    sitting: dict[str, np.ndarray],
    frames: Sequence[int],
    lights: Sequence[int],
    rng: np.random.Generator,
    finder: HeadFinder,
    flip: bool,
    together: bool,
) -> Batch:
    """Frames of one sitting as a batch.

    Args:
        sitting: as `read` gives it.
        frames: which.
        lights: for each, which of the two is present; the other is asked for.
        rng: of the pose's errors.
        finder: of poses.
        flip: mirrored.
        together: the errors are one tracker's on consecutive frames.
    """
    common = rng.normal(size=6)
    rows = []
    for frame, k in zip(frames, lights, strict=True):
        own = rng.normal(size=6)
        error = common + _TREMBLE * own if together else own
        rows.append(_row(sitting, frame, k, error, finder))
    batch = _joined(rows)
    return mirrored(batch) if flip else batch


def _row(
    sitting: dict[str, np.ndarray], frame: int, k: int, error: Floats, finder: HeadFinder
) -> Batch:
    landmarks = sitting["landmarks"][frame].astype(np.float32)
    position, focal = sitting["camera"][frame, :3], float(sitting["camera"][frame, 3])
    pixels = focal * INPUT / float(landmarks[:, 2].mean())  # per decimetre
    head = finder.find(landmarks * np.array([1, 1, pixels], np.float32))
    alpha = _map(sitting["alpha"][frame])
    occluded = torch.from_numpy(sitting["occluded"][frame, k].astype(np.float32) / 255)[None]
    gain = torch.from_numpy(sitting["gain"][frame, k].astype(np.float32))
    albedo, normal = (_map(sitting[name][frame]) / alpha.clamp(min=1e-2) for name in
                      ("albedo", "normal"))  # fmt: skip
    middle = head.origin[:2] - INPUT / 2

    def relative(depth: Tensor, origin: float, scale: float) -> Tensor:
        return (origin - depth) * scale

    # The origin in the world, to see it from elsewhere.
    deep = head.origin[2] / pixels
    world = position + np.array([middle[0], -middle[1], -focal * INPUT], np.float32) * (
        deep / (focal * INPUT)
    )
    flat = sitting["novel_camera"][frame]
    rotation, novel_focal = flat[3:12].reshape(3, 3), float(flat[12])
    local = rotation @ (world - flat[:3])
    units = head.scale / pixels  # of head space in a decimetre of the world
    novel_pose = HeadPose(
        torch.from_numpy((rotation @ head.rotation).astype(np.float32))[None],
        torch.tensor([2 * novel_focal / -local[2] * units], dtype=torch.float32),
        torch.from_numpy(
            (np.array([local[0], -local[1]]) * (2 * novel_focal / -local[2])).astype(np.float32)
        )[None],
    )
    sh = torch.from_numpy(sitting["sh"][frame].astype(np.float32))
    novel_alpha = _map(sitting["novel_alpha"][frame])
    picture = sitting["input"][frame, k][..., ::-1].transpose(2, 0, 1)
    view = torch.from_numpy(rotation.astype(np.float32))
    novel_normal = torch.einsum("ij,jhw->ihw", view, _map(sitting["novel_normal"][frame]))
    there = (alpha > 0.95).float() * (occluded < 0.02).float()
    return Batch(
        picture=torch.from_numpy(picture.astype(np.float32) / 127.5 - 1)[None],
        pose=_erring(head.rotation, 2 * head.scale / INPUT, middle * (2 / INPUT), error),
        person=there[None],
        alpha=torch.where(occluded > 0.02, torch.full_like(alpha, -1), alpha)[None],
        scene=(_map(sitting["pictures"][frame, k]) * gain[:, None, None])[None],
        relit=_map(sitting["pictures"][frame, 1 - k])[None],
        shading=_map(sitting["shading"][frame, 1 - k])[None],
        albedo=albedo[None],
        normal=torch.nn.functional.normalize(normal, dim=0)[None],
        depth=relative(_map(sitting["depth"][frame]), deep, 1 / units)[None],
        present=(sh[k] * gain)[None],
        light=sh[1 - k][None],
        novel_pose=novel_pose,
        novel_albedo=(_map(sitting["novel_albedo"][frame]) / novel_alpha.clamp(min=1e-2))[None],
        novel_normal=torch.nn.functional.normalize(novel_normal, dim=0)[None],
        novel_alpha=novel_alpha[None],
        novel_depth=relative(_map(sitting["novel_depth"][frame]), -float(local[2]), 1 / units)[
            None
        ],
    )


def _erring(rotation: Floats, scale: float, shift: Floats, error: Floats) -> HeadPose:
    import cv2

    wrong = cv2.Rodrigues(error[:3] * _ROTATION)[0] @ rotation
    return HeadPose(
        torch.from_numpy(wrong.astype(np.float32))[None],
        torch.tensor([scale * float(np.exp(error[3] * _SCALE))], dtype=torch.float32),
        torch.from_numpy((shift + error[4:] * _SHIFT).astype(np.float32))[None],
    )


def _map(values: np.ndarray) -> Tensor:
    """`(C, H, W)` float32 of `(H, W)` or `(H, W, C)`."""
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    return tensor[None] if tensor.dim() == 2 else tensor.permute(2, 0, 1)


def _joined(rows: Sequence[Batch]) -> Batch:
    values = {}
    for field in fields(Batch):
        parts = [getattr(row, field.name) for row in rows]
        if isinstance(parts[0], HeadPose):
            values[field.name] = HeadPose(
                *(torch.cat([getattr(p, n) for p in parts]) for n in ("rotation", "scale", "shift"))
            )
        else:
            values[field.name] = torch.cat(parts)
    return Batch(**values)


joined = _joined


def mirrored(batch: Batch) -> Batch:
    """Everything seen in a mirror."""
    values = {}
    for field in fields(Batch):
        value = getattr(batch, field.name)
        if isinstance(value, HeadPose):
            values[field.name] = mirrored_pose(value)
        elif value.dim() == 4:
            values[field.name] = value.flip(3)
        else:
            value = value.clone()
            value[:, _ODD] *= -1
            values[field.name] = value
    for name in ("normal", "novel_normal"):
        values[name] = values[name] * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    return Batch(**values)


def mirrored_pose(pose: HeadPose) -> HeadPose:
    """The pose in a mirror; faces are symmetric."""
    sign = torch.tensor([-1.0, 1.0, 1.0])
    return HeadPose(
        pose.rotation * sign[:, None] * sign, pose.scale, pose.shift * torch.tensor([-1.0, 1.0])
    )


def disturbed(batch: Batch, rng: np.random.Generator) -> Batch:
    """The same frames as a camera gives them a moment later: other noise, another exposure."""
    gain = torch.from_numpy(np.exp(rng.normal(0, 0.05, (len(batch.picture), 1, 1, 1)))).float()
    spread = float(rng.uniform(0.0, 0.05))
    noise = torch.from_numpy(rng.normal(0, spread, batch.picture.shape)).float()
    picture = ((batch.picture + 1) * gain - 1 + noise).clamp(-1, 1)
    return replace(batch, picture=picture)


__all__ = ["INPUT", "NOVEL", "TRUTH"]
