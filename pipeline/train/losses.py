"""Losses: what the network is to get right, with weights."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.core.color_torch import decode_srgb, encode_srgb
from vcam_relight.pipeline.engines.triplane.network.model import Maps, TriplaneNetwork, Volume
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting.sh_torch import log_shading, shading_floor
from vcam_relight.pipeline.train.samples import Batch

WEIGHTS: dict[str, float] = {
    "relit": 4.0,
    "relit_rms": 6.0,
    "present": 1.0,
    "albedo": 2.0,
    "level": 1.0,
    "energy": 0.5,
    "normal": 2.0,
    "shading": 1.0,
    "mask": 0.5,
    "depth": 1.0,
    "opacity": 0.3,
    "volume": 0.6,
    "novel": 0.6,
    "face": 1.5,
    "person": 0.3,
    "whole": 0.3,
    "same": 1.0,
    "room": 2.0,
    "exposed": 1.0,
    "back": 0.5,
    "flicker": 2.0,
}
"""By name of the loss; `docs/training.md` says what each asks for."""
_DARK = 0.004
"""Linear light added before logarithms."""
_FEWEST = 50
"""Pixels of a face that tell its level."""


def linear(image: Tensor) -> Tensor:
    """Linear RGB 0..1 of sRGB-encoded -1..1."""
    return decode_srgb((image + 1) / 2)


def encoded(value: Tensor) -> Tensor:
    """sRGB-encoded -1..1 of linear RGB 0..1."""
    return encode_srgb(value) * 2 - 1


def log_light(values: Tensor) -> Tensor:
    """Natural logarithm of linear light or albedo in which noise counts as nothing."""
    return (values + _DARK).log()


def log_gain(maps: Maps, light: Tensor) -> Tensor:
    """`(B, 3, H, W)` natural logarithm of the gain of a frame's linear light.

    It is right up to one constant for each image.
    """
    return log_shading(light, maps.normal) + maps.occlusion - maps.present


def losses(network: TriplaneNetwork, batch: Batch, maps: Maps, volume: Volume) -> dict[str, Tensor]:
    """Those of single frames against rendered ground truth, unweighted, by name.

    Args:
        network: whose heads read the volume.
        batch: what was shown, and its ground truth.
        maps: the network's.
        volume: the network's.
    """
    person = batch.person
    small = (_halved(person) > 0.95).float()
    scene = log_light(batch.scene) - log_light(batch.albedo)
    absolute, root_mean_square = relit_errors(batch, maps)
    target = math.pi * batch.shading + shading_floor(batch.light)[:, :, None, None]
    lit = log_shading(batch.light, maps.normal) + maps.occlusion
    return {
        "relit": absolute.mean(),
        "relit_rms": root_mean_square.mean(),
        "present": mean((centred(maps.present, person) - centred(scene, person)).abs(), person),
        "albedo": mean((root(maps.albedo) - root(batch.albedo)).abs(), person),
        "level": level_error(maps.albedo, batch.albedo, person),
        "energy": _energy(maps.albedo * lit.clamp(max=4).exp() / math.pi, batch.relit, person),
        "normal": mean(1 - (maps.normal * batch.normal).sum(1, keepdim=True), person),
        "shading": mean((lit - target.log()).abs(), person),
        "mask": _mask(maps.mask, batch.alpha),
        "depth": _depth(volume, _halved(batch.depth), small),
        "opacity": _opacity(volume.opacity, _halved(batch.alpha)),
        "volume": _volume(
            network, volume, batch.pose, _halved(batch.albedo), _halved(batch.normal), small
        ),
    }


def novel_loss(network: TriplaneNetwork, batch: Batch, planes: Tensor) -> Tensor:
    """Of what the albedo planes alone, `(B * 3, C, 64, 64)`, show from elsewhere."""
    volume = network.renderer(planes, None, batch.novel_pose)
    there = (batch.novel_alpha > 0.95).float()
    loss = _volume(network, volume, batch.novel_pose, batch.novel_albedo, batch.novel_normal, there)
    loss = loss + _depth(volume, batch.novel_depth, there)
    return loss + 0.3 * _opacity(volume.opacity, batch.novel_alpha)


def relit_errors(batch: Batch, maps: Maps) -> tuple[Tensor, Tensor]:
    """Relighting errors on the person, after the best single gain.

    Returns:
        Two of `(B,)`: mean absolute error of encoded values, and the root of their mean square.
    """
    out = batch.linear * torch.exp(log_gain(maps, batch.light).clamp(-4, 4))
    weight = batch.person
    true = batch.relit.clamp(max=1.2)
    scale = (out * true * weight).sum((1, 2, 3)) / ((out**2 * weight).sum((1, 2, 3)) + 1e-4)
    out = out * scale.detach()[:, None, None, None]
    error = (root(out.clamp(max=1.5)) - root(true)).abs() * weight
    count = 3 * weight.sum((1, 2, 3)) + 1
    square = error.square().sum((1, 2, 3)) / count
    return error.sum((1, 2, 3)) / count, (square + 1e-6).sqrt()


def mean(values: Tensor, weight: Tensor) -> Tensor:
    """Of `(B, C, H, W)` values by weights `(B, 1, H, W)`."""
    channels = values.shape[1]
    return (values * weight).sum() / (channels * weight.sum() + 1)


def centred(values: Tensor, weight: Tensor) -> Tensor:
    """The values without each image's mean: exposure is nobody's fault."""
    total = (values * weight).sum((1, 2, 3), keepdim=True)
    return values - total / (values.shape[1] * weight.sum((1, 2, 3), keepdim=True) + 1)


def change(first: Tensor, second: Tensor, valid: Tensor) -> Tensor:
    """What flickers: between log gains of the same surface at two moments."""
    return mean((centred(first, valid) - centred(second, valid)).abs(), valid)


def level_error(albedo: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """Of mean albedo, absolute and logarithmic, for each image and channel.

    This is what tells dark skin from a dark room. Images that show too little do not count.

    Args:
        albedo: `(B, 3, H, W)`.
        true: the same.
        weight: `(B, 1, H, W)`.
    """
    count = weight.sum((2, 3))
    mine, theirs = (((v * weight).sum((2, 3)) / (count + 1) + 0.01).log() for v in (albedo, true))
    return ((mine - theirs).abs() * (count > _FEWEST)).mean()


def _energy(out: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """How far each image's light is off, all of it together."""
    mine, theirs = ((v * weight).sum((1, 2, 3)) for v in (out, true))
    return (mine / (theirs + 1) - 1).abs().clamp(max=2).mean()


def root(values: Tensor) -> Tensor:
    """About what sRGB encodes, with a bounded slope at 0."""
    return (values.clamp(min=0) + 1e-3) ** (1 / 2.2)


def _halved(maps: Tensor) -> Tensor:
    return functional.interpolate(maps, scale_factor=0.5, mode="area")


def _mask(logit: Tensor, alpha: Tensor) -> Tensor:
    known = (alpha >= 0).float()
    loss = functional.binary_cross_entropy_with_logits(logit, alpha.clamp(0, 1), reduction="none")
    return mean(loss, known)


def _opacity(opacity: Tensor, alpha: Tensor) -> Tensor:
    known = (alpha >= 0).float()
    share, opacity = alpha.clamp(0, 1), opacity.clamp(1e-4, 1 - 1e-4)
    # Spelt out: torch's own raises on a value that is not a number, which is to pass by.
    loss = -(share * opacity.log() + (1 - share) * (1 - opacity).log())
    return mean(loss, known)


def _depth(volume: Volume, depth: Tensor, there: Tensor) -> Tensor:
    depth = depth.clamp(-1.4, 1.1)
    fine, coarse = ((d - depth).abs() for d in (volume.depth, volume.coarse_depth))
    return mean(fine + 0.5 * coarse, there)


def _volume(
    network: TriplaneNetwork,
    volume: Volume,
    pose: HeadPose,
    albedo: Tensor,
    normal: Tensor,
    there: Tensor,
) -> Tensor:
    seen = functional.normalize(network.head.normal(volume, pose), dim=1, eps=1e-4)
    loss = mean(1 - (seen * normal).sum(1, keepdim=True), there)
    return loss + mean((root(network.head.albedo_of(volume)) - root(albedo)).abs(), there)
