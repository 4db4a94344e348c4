"""Batches from captures: what the network sees, and the ground truth."""

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.tensors import combined, mapped
from vcam_relight.pipeline.head.pose import Head, HeadFinder, pose_in_crop
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lightstage.core.scene import PinholeCamera
from vcam_relight.pipeline.train.captures import INPUT, NOVEL, Capture

_ODD = (3, 4, 7)
"""SH functions that change sign in a mirror."""
_ROTATION, _SCALE, _SHIFT = np.radians(2.5), 0.03, 0.015
"""Errors of a tracked pose: radians, relative, half crop sides; standard deviations."""
_TREMBLE = 0.25
"""Share of them that changes from frame to frame."""
_COVERED = 0.02
"""From this share on a pixel is one of what stands before the person."""


@dataclass(frozen=True, slots=True)
class Batch:
    """B frames: what the network sees, and the ground truth.

    Colours are linear RGB unless said otherwise and not premultiplied except `scene` and `relit`;
    normals are unit vectors in the axes of their camera.
    """

    image: Tensor
    """`(B, 3, 256, 256)` the input, sRGB-encoded, -1..1."""
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


def read(path: Path) -> Capture:
    """All arrays of a capture, as `pipeline.train.captures.render` describes them.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is damaged; delete it and render it again") from error


def samples(
    capture: Capture, frames: Iterable[int], lights: Iterable[int], finder: HeadFinder
) -> Batch:
    """Frames of one capture as a batch, with true poses.

    Args:
        capture: as `read` gives it.
        frames: which.
        lights: for each, which of the two is the source; the other is the target.
        finder: of poses.
    """
    return joined([_one(capture, f, k, finder) for f, k in zip(frames, lights, strict=True)])


def _one(capture: Capture, frame: int, k: int, finder: HeadFinder) -> Batch:
    def channels(name: str, *index: int) -> Tensor:
        """`(1, C, H, W)` float32 of `(H, W)` or `(H, W, C)`."""
        values = np.ascontiguousarray(capture[name][(frame, *index)], np.float32)
        return torch.from_numpy(np.atleast_3d(values)).permute(2, 0, 1)[None]

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32))[None]

    near, far = capture["camera"][frame], capture["novel_camera"][frame]
    camera = PinholeCamera(near[:3], float(near[3]), INPUT, INPUT)
    novel = PinholeCamera(far[:3], float(far[12]), NOVEL, NOVEL, far[3:12].reshape(3, 3))
    head, per_dm = _find(capture["landmarks"][frame], camera, finder)
    unit = head.scale / per_dm  # of head space, in dm of the world
    origin = np.array([*head.origin[:2], head.origin[2] / per_dm], np.float32)
    novel_pose, novel_deep = _seen_by(novel, camera, origin, head.rotation, unit)
    view = torch.from_numpy(novel.rotation)
    novel_normal = torch.einsum("ij,bjhw->bihw", view, channels("novel_normal"))
    alpha, novel_alpha = channels("alpha"), channels("novel_alpha")
    covered = channels("occluded", k) / 255
    gain, sh = tensor(capture["gain"][frame, k]), tensor(capture["sh"][frame])
    return Batch(
        image=channels("input", k).flip(1) / 127.5 - 1,
        pose=pose_in_crop(head, np.full(2, INPUT / 2, np.float32), INPUT),
        person=((alpha > 0.95) & (covered < _COVERED)).float(),
        alpha=torch.where(covered > _COVERED, -1.0, alpha),
        scene=channels("images", k) * gain[..., None, None],
        relit=channels("images", 1 - k),
        shading=channels("shading", 1 - k),
        albedo=channels("albedo") / alpha.clamp(min=1e-2),
        normal=normalize(channels("normal"), dim=1),
        depth=(float(origin[2]) - channels("depth")) / unit,
        light=sh[:, 1 - k],
        novel_pose=novel_pose,
        novel_albedo=channels("novel_albedo") / novel_alpha.clamp(min=1e-2),
        novel_normal=normalize(novel_normal, dim=1),
        novel_alpha=novel_alpha,
        novel_depth=(novel_deep - channels("novel_depth")) / unit,
    )


def _find(landmarks: FloatArray, camera: PinholeCamera, finder: HeadFinder) -> tuple[Head, float]:
    """The head in the image, and the image's pixels per dm at the face."""
    per_dm = camera.focal * camera.height / float(landmarks[:, 2].mean())
    return finder.find(landmarks * np.array([1, 1, per_dm], np.float32)), per_dm


def _seen_by(
    novel: PinholeCamera,
    camera: PinholeCamera,
    origin: FloatArray,
    rotation: FloatArray,
    unit: float,
) -> tuple[HeadPose, float]:
    """A head as another camera sees it.

    Args:
        novel: that camera.
        camera: the one in which the head was found; its axes are the world's.
        origin: `(3,)` of the head there: pixels right and down, and depth in dm.
        rotation: `(3, 3)` of the head there.
        unit: of head space, in dm of the world.

    Returns:
        The pose, and the origin's depth in dm.
    """
    middle = np.array([origin[0] - camera.width / 2, camera.height / 2 - origin[1]], np.float32)
    ray = np.array([*middle / (camera.focal * camera.height), -1], np.float32)
    x, y, depth = (float(v) for v in novel.project(camera.position + ray * origin[2]))
    pose = HeadPose(
        torch.from_numpy(novel.rotation @ rotation)[None],
        torch.tensor([2 * novel.focal / depth * unit]),
        torch.tensor([[2 * x / novel.width - 1, 2 * y / novel.height - 1]]),
    )
    return pose, depth


def joined(batches: Sequence[Batch]) -> Batch:
    """All their frames."""
    return combined(batches, torch.cat)


def tracked(batch: Batch, rng: np.random.Generator, together: bool) -> Batch:
    """The same with the errors that a tracker's poses have.

    Args:
        batch: with true poses.
        rng: what the errors are drawn from.
        together: the frames are consecutive, so that most of the error is common to them.
    """
    pose = batch.pose
    common, own = rng.normal(size=6), rng.normal(size=(len(pose.scale), 6))
    errors = common + _TREMBLE * own if together else own
    turns = np.stack([cv2.Rodrigues(error[:3] * _ROTATION)[0] for error in errors])
    wrong = HeadPose(
        (torch.from_numpy(turns) @ pose.rotation.double()).float(),
        pose.scale * torch.from_numpy(np.exp(errors[:, 3] * _SCALE)).float(),
        pose.shift + torch.from_numpy(errors[:, 4:] * _SHIFT).float(),
    )
    return replace(batch, pose=wrong)


def mirrored(batch: Batch) -> Batch:
    """Everything seen in a mirror."""
    flipped = mapped(batch, lambda t: t.flip(3) if t.dim() == 4 else t)
    across = batch.normal.new_tensor([-1, 1, 1])[:, None, None]
    odd = batch.light.new_ones(9, 1)
    odd[list(_ODD)] = -1
    return replace(
        flipped,
        pose=mirrored_pose(batch.pose),
        novel_pose=mirrored_pose(batch.novel_pose),
        normal=flipped.normal * across,
        novel_normal=flipped.novel_normal * across,
        light=batch.light * odd,
    )


def mirrored_pose(pose: HeadPose) -> HeadPose:
    """The pose in a mirror; faces are symmetric."""
    sign = pose.rotation.new_tensor([-1, 1, 1])
    return HeadPose(pose.rotation * sign[:, None] * sign, pose.scale, pose.shift * sign[:2])


def disturbed(batch: Batch, rng: np.random.Generator) -> Batch:
    """The same frames as a camera gives them a moment later: other noise, another exposure."""
    gain = torch.from_numpy(np.exp(rng.normal(0, 0.05, (len(batch.image), 1, 1, 1)))).float()
    spread = float(rng.uniform(0.0, 0.05))
    noise = torch.from_numpy(rng.normal(0, spread, batch.image.shape)).float()
    image = ((batch.image + 1) * gain - 1 + noise).clamp(-1, 1)
    return replace(batch, image=image)
