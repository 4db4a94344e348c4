"""Real-looking pictures without truth: what their face mesh and person mask tell, and that a face
stays the same however its picture was taken."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.train.losses import linear
from pipeline.train.samples import mirrored_pose
from pipeline.triplane.network import TriplaneNetwork
from pipeline.triplane.space import HeadPose

_COUNT = 3


@dataclass
class Portrait:
    """A batch of B."""

    picture: Tensor
    """`(B, 3, 256, 256)` sRGB-encoded, -1..1."""
    pose: HeadPose
    normal: Tensor
    """`(B, 3, 128, 128)` of the face mesh, smooth."""
    face: Tensor
    """`(B, 1, 128, 128)` 0..1 where it is to be believed."""
    mask: Tensor
    """`(B, 1, 128, 128)` the person's share."""


def prepare(folder: Path, out: Path, keep_out: int) -> int:
    """Crops of the faces in a folder of pictures, into one file; every `keep_out`-th picture is left
    for looking at results. Returns how many there are."""
    from pipeline.face import FaceTracker
    from pipeline.geometry import NormalMapper, grid_size
    from pipeline.resample import resize
    from pipeline.timing import StageTimer
    from pipeline.triplane.crop import HeadCrop
    from pipeline.triplane.pose import HeadFinder, pose_in_crop

    tracker, mapper, finder = FaceTracker(StageTimer()), NormalMapper(), HeadFinder()
    rows: dict[str, list[np.ndarray]] = {}
    files = sorted(p for p in folder.iterdir() if p.suffix in (".jpg", ".png", ".webp"))
    for index, path in enumerate(files):
        picture = cv2.imread(str(path))
        if index % keep_out == 0 or picture is None:
            continue
        state = tracker.still(np.asarray(picture, np.uint8))
        if len(state.faces) != 1:
            continue
        head = finder.find(state.faces[0].landmarks)
        crop = HeadCrop.of(head)
        size = grid_size(*state.size)
        normals, own = mapper.normals(state, resize(state.mask, size))
        pose = pose_in_crop(head, crop.middle, crop.side)
        for name, value in {
            "picture": crop.cut(np.asarray(picture, np.uint8), 256),
            "normal": crop.cut_map(resize(normals, state.size), 128),
            "face": crop.cut_map(resize(own, state.size), 128),
            "mask": crop.cut_map(resize(state.mask, state.size), 128),
            "rotation": pose.rotation[0].numpy(),
            "scale": pose.scale[0].numpy(),
            "shift": pose.shift[0].numpy(),
        }.items():
            rows.setdefault(name, []).append(np.asarray(value))
    arrays = {name: np.stack(values) for name, values in rows.items()}
    for name in ("normal", "face", "mask"):
        arrays[name] = arrays[name].astype(np.float16)
    np.savez(out, **arrays)
    return len(arrays["picture"])


class Portraits:
    """The file that `prepare` writes."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as archive:
            self._arrays = {name: archive[name] for name in archive.files}

    def sample(self, rng: np.random.Generator) -> Portrait:
        """A few of them, some mirrored, in any order."""
        arrays = self._arrays
        chosen = rng.choice(len(arrays["picture"]), _COUNT, replace=False)

        def maps(name: str) -> Tensor:
            values = torch.from_numpy(arrays[name][chosen].astype(np.float32))
            return values[:, None] if values.dim() == 3 else values.permute(0, 3, 1, 2)

        picture = torch.from_numpy(arrays["picture"][chosen][..., ::-1].astype(np.float32))
        result = Portrait(
            picture.permute(0, 3, 1, 2) / 127.5 - 1,
            HeadPose(*(torch.from_numpy(arrays[n][chosen]) for n in
                       ("rotation", "scale", "shift"))),
            maps("normal"),
            maps("face"),
            maps("mask"),
        )  # fmt: skip
        if rng.random() < 0.5:
            sign = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
            result = Portrait(
                result.picture.flip(3), mirrored_pose(result.pose), result.normal.flip(3) * sign,
                result.face.flip(3), result.mask.flip(3),
            )  # fmt: skip
        return result


def portrait_loss(network: TriplaneNetwork, portraits: Portrait) -> dict[str, Tensor]:
    """Losses without rendered truth; names that `WEIGHTS` does not have weigh 1.

    `face`: normals as the mesh has them, where it is the face's. `person`: the mask. `whole`: albedo
    times present light is the picture. `same`: under another exposure and white balance the albedo
    stays, and so do the normals.
    """
    light = torch.zeros(len(portraits.picture), 9)
    light[:, 0] = 1
    maps, _, _, _, _ = network(portraits.picture, portraits.pose, light, None)
    seen = functional.interpolate(linear(portraits.picture), scale_factor=0.5, mode="area")
    weight = (portraits.mask > 0.9).float()
    face = portraits.face * weight
    total = 3 * weight.sum((1, 2, 3), keepdim=True) + 1
    rest = (seen + 0.004).log() - (maps.albedo + 0.004).log() - maps.present
    rest = rest - (rest * weight).sum((1, 2, 3), keepdim=True) / total
    tint = torch.empty(len(weight), 3, 1, 1).uniform_(-0.25, 0.25).exp()
    other = (linear(portraits.picture) * tint).clamp(0, 1)
    other = torch.where(other <= 0.0031308, other * 12.92, 1.055 * other.clamp(min=1e-6) ** (1 / 2.4) - 0.055)
    again, _, _, _, _ = network(other * 2 - 1, portraits.pose, light, None)
    same = (again.albedo - maps.albedo).abs() + 0.3 * (again.normal - maps.normal).abs()
    cosine = (maps.normal * functional.normalize(portraits.normal, dim=1)).sum(1, keepdim=True)
    return {
        "face": 1.5 * ((1 - cosine) * face).sum() / (face.sum() + 1),
        "person": 0.3 * functional.binary_cross_entropy_with_logits(maps.mask, portraits.mask.clamp(0, 1)),
        "whole": 0.3 * (rest.abs() * weight).sum() / total.sum(),
        "same": (same * weight).sum() / total.sum(),
    }
