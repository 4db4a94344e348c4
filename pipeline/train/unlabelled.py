"""The unlabelled set: images of faces without ground truth.

Their face mesh and person mask teach normals and mask, and a face must stay the same however its
image was taken.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.tensors import constant, mapped
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.effort import FULL
from vcam_relight.pipeline.engines.triplane.network.model import (
    INPUT,
    OUTPUT,
    Maps,
    TriplaneNetwork,
)
from vcam_relight.pipeline.face.frame_context import analysis_size
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.head.crop import HeadCrop
from vcam_relight.pipeline.head.normals import NormalMapper
from vcam_relight.pipeline.head.pose import HeadFinder, pose_in_crop
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting.sh_torch import LUMINANCE, asked_light
from vcam_relight.pipeline.train.camera_augmentation import film, perfect, sample_cameras
from vcam_relight.pipeline.train.losses import (
    centred,
    encoded,
    level_error,
    linear,
    log_gain,
    log_light,
    mean,
    root,
)
from vcam_relight.pipeline.train.objective import show
from vcam_relight.pipeline.train.random_tensors import RandomTensors
from vcam_relight.pipeline.train.samples import mirrored_pose

_LEAST = 3
"""Images of a set."""
_KEPT_OUT = 4
"""Of so many images the first is not trained on, but left to look at results."""
_TINT = 0.25
"""Largest natural logarithm of the gains by which a colour channel is changed."""
_GAIN = 2.0
"""Largest natural logarithm of the gains by which an image is relit."""
_USUAL, _UNUSUAL = 0.9, 0.3
"""Linear light over albedo of an image, and the natural logarithm by which that may differ."""
_SENSOR = 192
"""Side of the sensor that half of the images taken in a room are seen by, in pixels."""
_CLIPPED = 0.97
"""Linear light from which on a pixel does not tell how bright it is."""


@dataclass(frozen=True, slots=True)
class UnlabelledBatch:
    """A batch of B."""

    image: Tensor
    """`(B, 3, 256, 256)` sRGB-encoded, -1..1."""
    pose: HeadPose
    normal: Tensor
    """`(B, 3, 128, 128)` of the face mesh, smooth, camera space."""
    face: Tensor
    """`(B, 1, 128, 128)` 0..1 how far it is to be trusted."""
    mask: Tensor
    """`(B, 1, 128, 128)` the person's share."""


def prepare_unlabelled_set(folder: Path, out: Path) -> int:
    """Crops the faces of a folder of images into one file.

    Images without exactly one face and every fourth image are left out.

    Returns:
        How many there are in the file.

    Raises:
        OSError: the folder cannot be read or the file not written.
        ValueError: there are too few images with one face.
    """
    tracker, mapper, finder = FaceTracker(StageTimer()), NormalMapper(), HeadFinder()
    rows: list[dict[str, np.ndarray]] = []
    files = sorted(p for p in folder.iterdir() if p.suffix in (".jpg", ".png", ".webp"))
    for index, path in enumerate(files):
        image = cv2.imread(str(path))
        if index % _KEPT_OUT and image is not None:
            row = _row(np.asarray(image, np.uint8), tracker, mapper, finder)
            rows += [row] if row else []
    if len(rows) < _LEAST:
        raise ValueError(f"{folder} has {len(rows)} images with one face; {_LEAST} are the least")
    arrays: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    with out.open("wb") as file:
        np.savez(file, **arrays)
    return len(rows)


def _row(
    image: BgrImage, tracker: FaceTracker, mapper: NormalMapper, finder: HeadFinder
) -> dict[str, np.ndarray] | None:
    state = tracker.still(image)
    if len(state.faces) != 1:
        return None
    head = finder.find(state.faces[0].landmarks)
    crop = HeadCrop.of(head)
    pose = pose_in_crop(head, crop.middle, crop.side)
    normals, own = mapper.normals(
        state, resize(state.mask, analysis_size(*state.size, FULL.analysis_side))
    )
    maps = {"normal": normals, "face": own, "mask": state.mask}
    return {
        "image": crop.cut(image, INPUT),
        "rotation": pose.rotation[0].numpy(),
        "scale": pose.scale[0].numpy(),
        "shift": pose.shift[0].numpy(),
    } | {
        name: crop.cut_map(resize(values, state.size), OUTPUT).astype(np.float16)
        for name, values in maps.items()
    }


def read_unlabelled_set(path: Path) -> UnlabelledBatch:
    """All of the file that `prepare_unlabelled_set` writes.

    Raises:
        OSError: it cannot be read.
    """
    with np.load(path) as archive:
        tensors = {name: torch.from_numpy(archive[name]).float() for name in archive.files}
    return UnlabelledBatch(
        tensors["image"].permute(0, 3, 1, 2).flip(1) / 127.5 - 1,
        HeadPose(tensors["rotation"], tensors["scale"], tensors["shift"]),
        tensors["normal"].permute(0, 3, 1, 2),
        tensors["face"][:, None],
        tensors["mask"][:, None],
    )


def mirrored_unlabelled(batch: UnlabelledBatch) -> UnlabelledBatch:
    """The same seen in a mirror."""
    flipped = mapped(batch, lambda t: t.flip(3) if t.dim() == 4 else t)
    across = constant((-1.0, 1.0, 1.0), batch.normal)[:, None, None]
    return replace(flipped, pose=mirrored_pose(batch.pose), normal=flipped.normal * across)


def unlabelled_losses(
    network: TriplaneNetwork, batch: UnlabelledBatch, light: Tensor, random: RandomTensors
) -> dict[str, Tensor]:
    """Losses without ground truth, unweighted, by name.

    `face`: normals as the mesh has them, where it is the face's. `person`: the mask. `whole`: the
    image is albedo times the shading of the source lighting. `exposed`: the albedo's level is that
    of an image in usual light. `room`: albedo and normals stay in another room, see
    `camera_augmentation`. Then the images are relit by what the network says, and given another
    exposure and white balance. `same`: albedo and normals stay. `back`: the shading found in the
    relit image is that of the target lighting, so that taking it out again returns the first image.

    Args:
        network: in training.
        batch: of B images.
        light: `(B, 9, 3)` target lighting, radiance in camera space.
        random: what exposure, white balance and rooms are drawn from.
    """
    maps = _shown(network, batch.image, batch.pose, light)
    tint = random.uniform(-_TINT, _TINT, len(light), 3, 1, 1).exp()
    weight = (batch.mask > 0.9).float()
    put = _put(maps, light, batch.mask)
    relit = (
        linear(batch.image)
        * tint
        * functional.interpolate(
            torch.exp(put), scale_factor=2.0, mode="bilinear", align_corners=False
        )
    )
    again = _shown(network, encoded(relit.clamp(0, 1)), batch.pose, light)
    unclipped = functional.avg_pool2d((relit.amax(1, keepdim=True) < _CLIPPED).float(), 2)
    lasting = weight * (unclipped == 1)
    seen = functional.interpolate(linear(batch.image), scale_factor=0.5, mode="area")
    whole = log_light(seen) - log_light(maps.albedo) - maps.present
    back = maps.present.detach() + put + tint.log() - again.present
    same = (again.albedo - maps.albedo).abs() + 0.3 * (again.normal - maps.normal).abs()
    cosine = (maps.normal * functional.normalize(batch.normal, dim=1)).sum(1, keepdim=True)
    face = batch.face * weight
    return {
        "face": ((1 - cosine) * face).sum() / (face.sum() + 1),
        "person": functional.binary_cross_entropy_with_logits(maps.mask, batch.mask.clamp(0, 1)),
        "exposed": _exposed(maps, batch, seen),
        "room": _room(network, batch, maps, light, random),
        "whole": mean(centred(whole, weight).abs(), weight),
        "same": mean(same, lasting),
        "back": mean(centred(back, lasting).abs(), lasting),
    }


def _room(
    network: TriplaneNetwork,
    batch: UnlabelledBatch,
    maps: Maps,
    light: Tensor,
    random: RandomTensors,
) -> Tensor:
    """What changes of a face with the room that it is in."""
    cameras = perfect(sample_cameras(random, len(light), 1.0))
    person = functional.interpolate(
        batch.mask.clamp(0, 1), scale_factor=2.0, mode="bilinear", align_corners=False
    )
    image = film(cameras, linear(batch.image), person, random, _SENSOR).image
    there = _shown(network, image, batch.pose, light)
    weight, albedo = (batch.mask > 0.9).float(), maps.albedo.detach()
    change = mean((root(there.albedo) - root(albedo)).abs(), weight)
    turn = mean((there.normal - maps.normal.detach()).abs(), weight)
    level = level_error(there.albedo, albedo, batch.face * weight)
    return change + 0.3 * turn + 0.3 * level


def _exposed(maps: Maps, batch: UnlabelledBatch, seen: Tensor) -> Tensor:
    """How far the albedo's level is from what it is in usual light.

    Most images are well exposed, so that a dark face in a bright image is dark. Without this, a
    network that has to be sure of albedo in any room takes all skin for the same.
    """
    luma, face = constant(LUMINANCE, seen)[:, None, None], batch.face
    count = face.sum((1, 2, 3)) + 1
    mine, theirs = (
        (((values * luma).sum(1, keepdim=True) * face).sum((1, 2, 3)) / count + 0.005).log()
        for values in (maps.albedo, seen / _USUAL)
    )
    return ((mine - theirs).abs() - _UNUSUAL).clamp(min=0).mean()


def _shown(network: TriplaneNetwork, image: Tensor, pose: HeadPose, light: Tensor) -> Maps:
    return show(network, image, pose, asked_light(light, pose.rotation), None)[0]


def _put(maps: Maps, light: Tensor, mask: Tensor) -> Tensor:
    """`(B, 3, 128, 128)` log gain that relights the person, as bright as before.

    Nothing is learnt through it: a network that can choose its own questions makes them easy.
    """
    gain = log_gain(maps, light).detach()
    return (centred(gain, mask) * mask).clamp(-_GAIN, _GAIN)
