"""What the refiner is trained on: images as the program's own code sees them, kept on disk.

The network that is refined stays as it is, so all that it says of an image is asked once.
"""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.tensors import mapped
from vcam_relight.pipeline.engines.triplane.head_estimate import (
    HeadObservation,
    LightOfGain,
    ShadingAmounts,
)
from vcam_relight.pipeline.engines.triplane.inference import InferenceWorker
from vcam_relight.pipeline.engines.triplane.network.checkpoint import load_network
from vcam_relight.pipeline.engines.triplane.network.model import OUTPUT
from vcam_relight.pipeline.engines.triplane.network.refiner import refiner_features
from vcam_relight.pipeline.engines.triplane.shading import shading_terms
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.exposure import exposure_level
from vcam_relight.pipeline.lighting.lobes import DistantLight
from vcam_relight.pipeline.train.camera_augmentation import film, sample_cameras
from vcam_relight.pipeline.train.frame_bank import FrameBank
from vcam_relight.pipeline.train.losses import linear
from vcam_relight.pipeline.train.random_tensors import RandomTensors
from vcam_relight.pipeline.train.samples import Batch
from vcam_relight.pipeline.train.unlabelled import UnlabelledBatch, read_unlabelled_set

_CPU = torch.device("cpu")
SHARD = 8
"""Images of a file; of every fourth they are four, each twice, with other noise and exposure."""
_UNLABELLED = 6
"""One file in so many is of unlabelled images, if there are any."""
_ROOMS = 0.15
"""Share of images taken in rooms, see `camera_augmentation`."""
_SIDES = (128, 160, 192, 256)
"""Of the sensors of half of the cameras."""


@dataclass(frozen=True, slots=True)
class SeenImages:
    """N images as the refiner sees them, float16 but for `difference`."""

    features: Tensor
    """`(N, FEATURES, 128, 128)`."""
    change: Tensor
    """`(N, 3, 128, 128)` the log gain before it is refined."""
    difference: Tensor
    """`(N,)` 0..1, see `ShadingTerms`."""
    linear: Tensor
    """`(N, 3, 128, 128)` what is relit, and..."""
    relit: Tensor
    """...what it should then be, as of `Batch`."""
    person: Tensor
    """`(N, 1, 128, 128)` 1 where the person is seen for sure, else 0."""
    pair: Tensor
    """`(N,)` 1 where the next image is the same with other noise and exposure, else 0."""
    labelled: Tensor
    """`(N,)` 1 where `relit` is known, else 0."""


def prepare(
    captures: Path,
    unlabelled: Path | None,
    network: Path,
    folder: Path,
    shards: int,
    seed: int,
    rooms: float = _ROOMS,
) -> None:
    """Makes what is not there yet of what the refiner sees; file `i` follows from seed and `i`.

    Raises:
        OSError, ValueError, RuntimeError: captures, images or weights cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(shards) if not (folder / f"{i:06d}.safetensors").exists()]
    if not missing:
        return
    bank, random = FrameBank(captures, _CPU), RandomTensors(_CPU)
    real = read_unlabelled_set(unlabelled) if unlabelled else None
    with closing(InferenceWorker(load_network(network))) as worker:
        for index in missing:
            torch.manual_seed(int(np.random.SeedSequence([seed, index]).generate_state(1)[0]))
            if real is not None and index % _UNLABELLED == _UNLABELLED - 1:
                seen = _unlabelled_shard(real, bank, worker, random)
            else:
                seen = _shard(bank, worker, index, random, rooms)
            part = folder / f"{index:06d}.part"
            save_file({name: getattr(seen, name) for name in SeenImages.__slots__}, part)
            part.replace(folder / f"{index:06d}.safetensors")


@torch.no_grad()
def _shard(
    bank: FrameBank, worker: InferenceWorker, index: int, random: RandomTensors, rooms: float
) -> SeenImages:
    side, twice = _SIDES[index % len(_SIDES)], index % 4 == 3
    if twice:
        frames = bank.disturbed(SHARD // 2, random, side).frames
    else:
        frames = bank.stills(SHARD, random, side, rooms).frames
    return _joined(worker, frames, random, labelled=1.0)


@torch.no_grad()
def _unlabelled_shard(
    real: UnlabelledBatch, bank: FrameBank, worker: InferenceWorker, random: RandomTensors
) -> SeenImages:
    """Images without ground truth as two cameras see them that differ in noise and exposure."""
    count = SHARD // 2
    (batch,) = bank.stills(count, random).frames  # for their target lightings
    chosen = random.integers(len(real.image), count)
    some = mapped(real, lambda t: t[chosen])
    cameras = sample_cameras(random, count, 0.0)
    mask = some.mask.clamp(0, 1)
    large = functional.interpolate(mask, scale_factor=2.0, mode="bilinear", align_corners=False)
    frames = []
    for _ in range(2):
        now = replace(cameras, exposure=cameras.exposure + 0.07 * random.normal(count))
        shot = film(now, linear(some.image), large, random, 256)
        frames.append(
            replace(
                batch,
                image=shot.image,
                linear=shot.linear,
                pose=some.pose,
                person=(mask > 0.9).float(),
            )
        )
    return _joined(worker, tuple(frames), random, labelled=0.0)


def _joined(
    worker: InferenceWorker, frames: tuple[Batch, ...], random: RandomTensors, labelled: float
) -> SeenImages:
    """Moments of the same image come one after the other."""
    rows = []
    for place in range(len(frames[0].image)):
        color = float(random.uniform(0, 1, 1))
        for batch in frames:
            one = mapped(batch, lambda t, k=place: t[k : k + 1])  # type: ignore[misc]
            rows.append(_seen(worker, one, color))
    return SeenImages(
        **{name: torch.cat([row[name] for row in rows]) for name in rows[0]},
        pair=torch.tensor([float(k % len(frames) < len(frames) - 1) for k in range(len(rows))]),
        labelled=torch.full((len(rows),), labelled),
    )


def _seen(worker: InferenceWorker, batch: Batch, color: float) -> dict[str, Tensor]:
    """One image, through the program's own code."""
    rgb = ((batch.image[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
    image: BgrImage = np.ascontiguousarray(rgb[..., ::-1])
    luma = np.asarray(cv2.cvtColor(resize(image, (OUTPUT, OUTPUT)), cv2.COLOR_BGR2GRAY), np.uint8)
    lighting = Lighting.of_map(batch.radiance[0].permute(1, 2, 0).numpy())
    scale = np.float32(1 / exposure_level(lighting.sh))
    target = DistantLight(lighting.sh * scale, lighting.lobes.times(float(scale)))
    pose = HeadPose(batch.pose.rotation, batch.pose.scale, batch.pose.shift)
    estimate = worker.submit(HeadObservation(image, luma, pose, target.sh, 0.0), None).result()
    amounts = ShadingAmounts(1.0, 1.0, color)
    terms = shading_terms(estimate, LightOfGain(target, amounts))
    return {
        "features": refiner_features(estimate.maps, estimate.linear, terms).half(),
        "change": ((terms.new - terms.old) * terms.difference).half(),
        "difference": torch.tensor([terms.difference]),
        "linear": batch.linear.half(),
        "relit": batch.relit.half(),
        "person": batch.person.half(),
    }


def read_seen(folder: Path, shards: int) -> SeenImages:
    """All of a folder, in memory: 1 MB an image."""
    rows = [load_file(folder / f"{index:06d}.safetensors") for index in range(shards)]
    return SeenImages(
        **{name: torch.cat([row[name] for row in rows]) for name in SeenImages.__slots__}
    )
