"""Webcams in torch, a different one for each image of a batch, in a few milliseconds on a GPU.

The model is that of `pipeline.lightstage.camera.webcam`. Left out are H.264, for which stronger
JPEG stands, and what a camera does over time. Added are rooms in which a camera gives up: in the
dark, against a window, before a screen, under a warm bulb. Their ground truth is that of the image
without the room, so that the network learns to tell what light there is from the colour of a face.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from vcam_relight.pipeline.core.color_torch import decode_srgb, encode_srgb
from vcam_relight.pipeline.core.tensors import constant, mapped
from vcam_relight.pipeline.lighting.sh_torch import LUMINANCE
from vcam_relight.pipeline.train.random_tensors import RandomTensors

_GREY = 0.2
"""Linear luminance that auto-exposure aims the image's middle at."""
_PAD = 12
"""Pixels around the image that the lens's blur may reach."""
_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56), (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMA_TABLE = (
    (17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99),
)  # fmt: skip
"""JPEG's tables for luma and, in its corner, chroma (99 elsewhere), quality 50."""
_BILINEAR = ((0.25, 0.5, 0.25), (0.5, 1.0, 0.5), (0.25, 0.5, 0.25))
_COLD, _WARM = (-0.5, 0.0, 0.45), (0.3, -0.05, -0.75)
"""Natural logarithms of a screen's and a bulb's light."""
_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


@dataclass(frozen=True, slots=True)
class AugmentedCameras:
    """B cameras, `(B,)` or `(B, n)` each; for what is not said here see `CameraParameters`.

    Lengths are in pixels of an image of 256 rows.
    """

    exposure: Tensor
    auto_exposure: Tensor
    white_balance: Tensor
    auto_white_balance: Tensor
    glare: Tensor
    vignette: Tensor
    defocus: Tensor
    softness: Tensor
    shake: Tensor
    """`(B, 2)` the streak's vector."""
    mosaic: Tensor
    electrons: Tensor
    read_noise: Tensor
    grain: Tensor
    native: Tensor
    """`(B, 3)` gains that make the sensor's colours white."""
    headroom: Tensor
    gamma: Tensor
    contrast: Tensor
    black: Tensor
    saturation: Tensor
    sharpening: Tensor
    quality: Tensor
    """JPEG's; 100 and more for none."""
    halved: Tensor
    """Whether chroma has half the resolution."""
    room: Tensor
    """1 for a room too dark or too coloured for its camera, which then has no noise but that of
    rooms; else 0."""
    light: Tensor
    """`(B, 3)` what such a room leaves of linear light."""
    backlit: Tensor
    """How much brighter than the face what is round it gets there; 1 for as bright."""
    by_person: Tensor
    """Whether that follows the person's outline, or is an oval about the image's middle, which is
    rare: where it was as frequent, the network took white shirts for well lit ones."""
    shot: Tensor
    floor: Tensor
    """Variances of such a room's noise, per linear light and constant."""


@dataclass(frozen=True, slots=True)
class AugmentedImages:
    """What cameras made of B scenes."""

    image: Tensor
    """`(B, 3, 256, 256)` sRGB-encoded, -1..1."""
    linear: Tensor
    """`(B, 3, 128, 128)` its linear light, without the noise of rooms."""
    gain: Tensor
    """`(B, 3, 128, 128)` from the scene to the image's linear light; of rooms all but the mean,
    as what is dim must not count as dark."""


def sample_cameras(random: RandomTensors, count: int, rooms: float) -> AugmentedCameras:
    """Draws `count` cameras; `rooms` is the share of those in rooms where a camera gives up."""

    def sometimes(share: float, low: float, high: float) -> Tensor:
        return random.bernoulli(share, count) * random.uniform(low, high, count)

    def around(spread: float, low: float, high: float) -> Tensor:
        return (spread * random.normal(count)).clamp(low, high)

    def log_even(low: float, high: float) -> Tensor:
        return random.uniform(math.log(low), math.log(high), count).exp()

    room = random.bernoulli(rooms, count)
    noise = log_even(1.0, 50.0) / 50 * (1 - room)
    mired, tint = 0.16 * random.normal(count), 0.04 * random.normal(count)
    balance = torch.stack([mired, tint, -1.2 * mired], dim=1).clamp(-0.5, 0.5).exp()
    glare = random.uniform(0, 1, count, 3) * random.uniform(0, 1, count, 1) ** 2
    streak = sometimes(0.12, 2.0, 9.0)
    angle = random.uniform(0, math.pi, count)
    quality = 100 - 75 * (1 - (1 - random.uniform(0, 1, count)).sqrt())  # more of the good ones
    quality = torch.where(random.bernoulli(0.12, count) > 0, 200.0, quality)
    light, backlit = _rooms(random, count)
    red, blue = random.uniform(1.4, 2.2, count), random.uniform(1.3, 2.0, count)
    return AugmentedCameras(
        exposure=around(0.4, -1.5, 1.2) - 0.7 * random.bernoulli(0.1, count),
        auto_exposure=sometimes(0.8, 0.3, 0.9),
        white_balance=balance,
        auto_white_balance=sometimes(0.7, 0.1, 0.7),
        glare=sometimes(0.4, 0.01, 0.12)[:, None] * (0.5 + glare),
        vignette=sometimes(0.6, 0.05, 0.5),
        defocus=sometimes(0.2, 0.5, 2.5),
        softness=sometimes(0.8, 0.2, 1.2),
        shake=streak[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1),
        mosaic=random.bernoulli(0.8, count),
        electrons=600 / noise.clamp(min=1e-6),
        read_noise=0.004 * noise,
        grain=sometimes(0.5, 0.1, 0.6),
        native=torch.stack([red, torch.ones_like(red), blue], dim=1),
        headroom=1 + sometimes(0.6, 0.1, 1.5),
        gamma=1 + around(0.09, -0.2, 0.25),
        contrast=around(0.25, -0.4, 0.7),
        black=around(0.025, -0.03, 0.09),
        saturation=1 + around(0.15, -0.4, 0.4),
        sharpening=sometimes(0.6, 0.1, 1.8),
        quality=quality,
        halved=random.bernoulli(0.7, count),
        room=room,
        light=light,
        backlit=backlit,
        by_person=random.bernoulli(0.9, count),
        shot=log_even(0.0002, 0.0015),
        floor=log_even(5e-6, 6e-5),
    )  # fmt: skip


def perfect(cameras: AugmentedCameras) -> AugmentedCameras:
    """The same rooms, seen by perfect cameras: for images that a camera has taken already."""
    none, one = torch.zeros_like(cameras.exposure), torch.ones_like(cameras.exposure)
    white = torch.ones_like(cameras.native)
    return replace(
        cameras, exposure=none, auto_exposure=none, white_balance=white, auto_white_balance=none,
        glare=torch.zeros_like(white), vignette=none, defocus=none, softness=none,
        shake=torch.zeros_like(cameras.shake), mosaic=none, electrons=one * 1e9, read_noise=none,
        native=white, headroom=one, gamma=one, contrast=none, black=none, saturation=one,
        sharpening=none,
    )  # fmt: skip


def _rooms(random: RandomTensors, count: int) -> tuple[Tensor, Tensor]:
    """Light and back light: rooms that are only dark, with a coloured light, with a window."""
    kind = random.uniform(0, 1, count)
    dark = random.uniform(math.log(0.07), math.log(0.8), count).exp()
    bent = random.uniform(-0.08, 0.08, count, 3)
    cold, warm = (constant(tint, bent) for tint in (_COLD, _WARM))
    amount = random.uniform(0.3, 1.3, count, 1)
    any_tint = 0.35 * random.normal(count, 3)
    tint = torch.where((kind < 0.35)[:, None], bent, any_tint)
    tint = torch.where(((kind > 0.5) & (kind < 0.68))[:, None], bent + amount * cold, tint)
    tint = torch.where(((kind > 0.68) & (kind < 0.85))[:, None], bent + amount * warm, tint)
    backlit = torch.where(kind > 0.8, random.uniform(math.log(2), math.log(14), count).exp(), 1.0)
    return dark[:, None] * tint.exp(), backlit


@torch.no_grad()
def film(
    cameras: AugmentedCameras, scene: Tensor, person: Tensor, random: RandomTensors, side: int
) -> AugmentedImages:
    """Takes an image of each scene.

    Args:
        cameras: the cameras.
        scene: `(B, 3, 256, 256)` linear RGB.
        person: `(B, 1, 256, 256)` 0..1, the person's share.
        random: of the noise.
        side: of the sensor that the second half of the scenes is seen by, a multiple of 16; the
            others' is 256.
    """
    level, colour = _meter(scene)
    exposure = cameras.auto_exposure * torch.log2(_GREY / level)
    exposure = torch.exp2(cameras.exposure + exposure.clamp(-3, 3))
    grey = (level[:, None] / colour.clamp(min=1e-6)).clamp(0.4, 2.5)
    balance = cameras.white_balance * grey ** cameras.auto_white_balance[:, None]
    balance = balance / (balance @ constant(LUMINANCE, balance))[:, None]
    glare = cameras.glare
    light = _lens(cameras, scene) * (1 - glare.mean(1))[:, None, None, None]
    light = light + (glare * level[:, None])[:, :, None, None]
    line = torch.linspace(-1, 1, light.shape[3], device=light.device)
    far = (line.square()[:, None] + line.square()) / 2
    light = light / (1 + cameras.vignette[:, None, None, None] * far).square()
    half = len(light) // 2
    room = _room(cameras, person)
    parts = []
    for rows, size in ((slice(0, half), 256), (slice(half, None), side)):
        some = mapped(cameras, lambda values, rows=rows: values[rows])  # type: ignore[misc]
        parts.append(
            _developed(some, light[rows], exposure[rows], balance[rows], room[rows], size, random)
        )
    image, seen = (torch.cat(both) for both in zip(*parts, strict=True))
    gain = (balance * exposure[:, None])[:, :, None, None]
    mean = cameras.light.mean(1)[:, None, None, None]
    gain = (
        gain * functional.avg_pool2d(room, 2) / (1 + cameras.room[:, None, None, None] * (mean - 1))
    )
    return AugmentedImages(image * 2 - 1, functional.avg_pool2d(decode_srgb(seen), 2), gain)


def _meter(scene: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance `(B,)` and linear RGB `(B, 3)`, the middle counting most."""
    small = functional.adaptive_avg_pool2d(scene, 16).clamp(max=3.0)
    line = (torch.arange(16, device=scene.device) - 7.5) / 8
    weight = torch.exp(-1.5 * (line.square()[:, None] + line.square()))
    colour = (small * weight).sum((2, 3)) / weight.sum()
    return (colour @ constant(LUMINANCE, colour)).clamp(min=1e-5), colour


def _lens(cameras: AugmentedCameras, scene: Tensor) -> Tensor:
    """Blurred by defocus (a disc), shake (a streak) and softness (a Gaussian) at once.

    What they leave of each frequency is multiplied.
    """
    padded = functional.pad(scene, (_PAD, _PAD, _PAD, _PAD), mode="replicate")
    side = padded.shape[3]
    fy = torch.fft.fftfreq(side, device=scene.device)[:, None]
    fx = torch.fft.rfftfreq(side, device=scene.device)
    f = torch.sqrt(fy.square() + fx.square())

    def of(values: Tensor) -> Tensor:
        return values[:, None, None, None]

    ring = (2 * math.pi * of(cameras.defocus) * f).clamp(min=1e-3)
    left = 2 * torch.special.bessel_j1(ring) / ring
    left = left * torch.exp(-2 * (math.pi * of(cameras.softness) * f).square())
    left = left * torch.sinc(of(cameras.shake[:, 0]) * fx + of(cameras.shake[:, 1]) * fy)
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * left, s=padded.shape[2:])
    return blurred[:, :, _PAD:-_PAD, _PAD:-_PAD].clamp(min=0)


def _room(cameras: AugmentedCameras, person: Tensor) -> Tensor:
    """`(B, 3, 256, 256)` what rooms leave of linear light, 1 where there is none."""
    line = torch.linspace(-1, 1, person.shape[3], device=person.device)
    oval = torch.exp(-(((line / 0.6).square() + ((line - 0.1) / 1.1).square()[:, None]).square()))
    wide = functional.avg_pool2d(person, 9, 1, 4)
    inside = torch.where(cameras.by_person[:, None, None, None] > 0, wide, oval)
    around = 1 + (cameras.backlit[:, None, None, None] - 1) * (1 - inside)
    light = cameras.light[:, :, None, None] * around
    return 1 + cameras.room[:, None, None, None] * (light - 1)


def _developed(
    cameras: AugmentedCameras,
    light: Tensor,
    exposure: Tensor,
    balance: Tensor,
    room: Tensor,
    side: int,
    random: RandomTensors,
) -> tuple[Tensor, Tensor]:
    """From the light on sensors of a side to images.

    Returns:
        Two of the light's size, sRGB-encoded, 0..1: with and without a room's noise.
    """

    def of(values: Tensor) -> Tensor:
        return values.view(*values.shape, *[1] * (4 - values.dim()))

    size = light.shape[3]
    if side < size:
        light, room = (functional.interpolate(x, (side, side), mode="area") for x in (light, room))
    native, exposure = of(cameras.native), of(exposure)
    raw = light * (exposure / native)
    read = exposure * of(cameras.read_noise)
    spread = torch.sqrt(raw * (exposure / of(cameras.electrons)) + read.square())
    unit = random.normal(*raw.shape)
    soft = functional.avg_pool2d(unit, 3, 1, 1)
    grain = of(cameras.grain)
    unit = ((1 - grain) * unit + 3 * grain * soft) / (1 - grain + grain * grain)
    raw = torch.minimum(raw + spread * unit, of(cameras.headroom) / native)
    raw = torch.where(of(cameras.mosaic) > 0, _demosaiced(raw), raw)
    bright = torch.minimum(raw * (native * of(balance)), of(cameras.headroom))
    value = _toned(cameras, bright)
    luma = (value * constant(_YCC[0], value)[:, None, None]).sum(1, keepdim=True)
    value = luma + of(cameras.saturation) * (value - luma)
    detail = luma - functional.avg_pool2d(functional.pad(luma, (1, 1, 1, 1), "replicate"), 3, 1)
    clean = (value + of(cameras.sharpening) * detail).clamp(0, 1)
    there = decode_srgb(clean) * room
    noise = torch.sqrt(of(cameras.shot) * there.clamp(max=1) + of(cameras.floor))
    noisy = encode_srgb((there + noise * random.normal(*there.shape)).clamp(0, 1))
    quiet = encode_srgb(there.clamp(0, 1))
    image = torch.where(of(cameras.room) > 0, noisy, clean)
    image = _jpeg(image, cameras.quality, cameras.halved).clamp(0, 1)
    seen = torch.where(of(cameras.room) > 0, quiet, image)
    if side < size:
        way = "bicubic" if side % 32 == 0 else "bilinear"
        image, seen = (
            functional.interpolate(x, (size, size), mode=way, align_corners=False).clamp(0, 1)
            for x in (image, seen)
        )
    return (image * 255).round() / 255, seen


def _demosaiced(rgb: Tensor) -> Tensor:
    """Each pixel's one colour (RGGB), the others interpolated between neighbours."""
    side = rgb.shape[3]
    odd = torch.arange(side, device=rgb.device) % 2
    red, blue = (1 - odd)[:, None] * (1 - odd), odd[:, None] * odd
    there = torch.stack([red, 1 - red - blue, blue]).float()
    kernel = constant(_BILINEAR, rgb).expand(3, 1, 3, 3)
    padded = functional.pad(rgb * there, (1, 1, 1, 1), mode="reflect")
    weight = functional.pad(there[None], (1, 1, 1, 1), mode="reflect")
    return functional.conv2d(padded, kernel, groups=3) / functional.conv2d(weight, kernel, groups=3)


def _toned(cameras: AugmentedCameras, bright: Tensor) -> Tensor:
    """Shoulder, sRGB's curve, gamma, contrast, black level."""

    def of(values: Tensor) -> Tensor:
        return values[:, None, None, None]

    rolled = 0.6 + 0.4 * (1 - torch.exp(-(bright - 0.6).clamp(min=0) / 0.4))
    rolls = (of(cameras.headroom) > 1) & (bright > 0.6)
    value = encode_srgb(torch.where(rolls, rolled, bright).clamp(0, 1))
    value = value.clamp(min=1e-6) ** of(cameras.gamma)
    value = value + of(cameras.contrast) * value * (1 - value) * (2 * value - 1)
    result: Tensor = of(cameras.black) + (1 - of(cameras.black)) * value
    return result


def _jpeg(image: Tensor, quality: Tensor, halved: Tensor) -> Tensor:
    """What JPEG leaves of `(B, 3, n, n)` 0..1."""
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)[:, None, None]
    luma, chroma = constant(_LUMA_TABLE, image), constant(_CHROMA_TABLE, image)
    chroma = functional.pad(chroma, (0, 4, 0, 4), value=99)
    fine, coarse = ((table * scale).clamp(min=1, max=255) / 255 for table in (luma, chroma))
    turn = constant(_YCC, image)
    ycc = torch.einsum("ij,bjhw->bihw", turn, image)
    y = _quantised(ycc[:, :1] - 0.5, fine) + 0.5
    colour = ycc[:, 1:]
    small = _quantised(functional.avg_pool2d(colour, 2), coarse)
    small = functional.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
    is_halved = halved[:, None, None, None] > 0
    colour = torch.where(is_halved, small, _quantised(colour, coarse))
    back = constant(_RGB, image)
    result = torch.einsum("ij,bjhw->bihw", back, torch.cat([y, colour], dim=1))
    return torch.where((quality > 100)[:, None, None, None], image, result)


def _quantised(values: Tensor, quanta: Tensor) -> Tensor:
    """`(B, C, H, W)` with the cosine transform of each 8 x 8 block in whole steps `(B, 8, 8)`."""
    count, channels, height, width = values.shape
    place = torch.arange(8, device=values.device)
    cosine = torch.cos(math.pi / 8 * (place + 0.5) * place[:, None]) / 2
    cosine[0] /= math.sqrt(2)
    blocks = functional.pad(values, (0, -width % 8, 0, -height % 8), mode="replicate")
    rows, columns = blocks.shape[2] // 8, blocks.shape[3] // 8
    blocks = blocks.view(count, channels, rows, 8, columns, 8).transpose(3, 4)
    steps = quanta[:, None, None, None]
    whole = ((cosine @ blocks @ cosine.T) / steps).round() * steps
    blocks = (cosine.T @ whole @ cosine).transpose(3, 4)
    return blocks.reshape(count, channels, 8 * rows, 8 * columns)[:, :, :height, :width]
