"""One webcam: its lens, sensor, processor and encoder as numbers, and how they are drawn."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vcam_relight.pipeline.lighting.lights import NEUTRAL_K, temperature_rgb

Triple = tuple[float, float, float]
Codec = Literal["none", "jpeg", "h264"]
RangeMistake = Literal["none", "crushed", "washed"]


@dataclass(frozen=True, slots=True)
class CameraParameters:
    """What stays the same over a clip. The defaults are a perfect camera: the plain sRGB encoding.

    Lengths are in pixels of an image of 256 rows.
    """

    seed: int = 0
    """Of this camera's chance: noise, shake, drift."""
    exposure: float = 0.0
    """Error in stops, -1.5..1.2."""
    auto_exposure: float = 0.0
    """0..1, how much of the way to a mid-grey image the camera goes by itself."""
    drift: float = 0.0
    """Stops by which exposure wanders over some seconds, 0..0.12."""
    white_balance: Triple = (1.0, 1.0, 1.0)
    """Linear RGB gains of the error, luminance 1."""
    auto_white_balance: float = 0.0
    """0..0.7, how much of the way to a grey image the camera goes by itself."""
    glare: float = 0.0
    """0..0.12, share of the light that the lens scatters over the whole image (veiling glare)."""
    glare_colour: Triple = (1.0, 1.0, 1.0)
    """Linear RGB of that light, luminance about 1: a window's, a screen's."""
    vignette: float = 0.0
    """0..0.5, fall-off: the corners get 1 / (1 + v)^2 of the light."""
    defocus: float = 0.0
    """Radius of the disc of confusion, 0..2.5 pixels."""
    softness: float = 0.0
    """Standard deviation of the lens's own blur, 0..1.2 pixels."""
    shake: float = 0.0
    """Length of the streak when camera or person move, 0..9 pixels; varies by frame."""
    shake_angle: float = 0.0
    """Its direction in radians."""
    scale: float = 1.0
    """0.3..1, pixels of the sensor per pixel of the image: small faces are scaled up."""
    crisp: bool = True
    """Scaled up by a cubic rather than a linear kernel."""
    mosaic: bool = False
    """Each sensor pixel sees one colour (RGGB), and the other two are interpolated."""
    electrons: float = math.inf
    """Charge of a white pixel at gain 1, 600..30000; shot noise is its square root. Infinite: no
    noise at all."""
    read_noise: float = 0.0
    """Standard deviation at gain 1, 0..0.004 of white."""
    banding: float = 0.0
    """0..0.4, noise of whole rows and columns over the read noise."""
    grain: float = 0.0
    """Standard deviation of the blur that in-camera scaling gives the noise, 0..1 pixel."""
    residue: float = 0.0
    """0..0.7, correlation of the noise from frame to frame that temporal denoising leaves."""
    sensor_gains: Triple = (1.0, 1.0, 1.0)
    """Gains that make the sensor's native colours white: red 1.4..2.2, blue 1.3..2.0. They raise
    those channels' noise and change no colour."""
    headroom: float = 1.0
    """Linear value at which the sensor clips, 1..2.5; above 1 the tone curve has a shoulder."""
    gamma: float = 1.0
    """Exponent on encoded values, 0.8..1.25."""
    contrast: float = 0.0
    """-0.4..0.7, S-curve on encoded values."""
    black: float = 0.0
    """-0.03..0.09, encoded value of black."""
    saturation: float = 1.0
    """0.6..1.4."""
    denoise: float = 0.0
    """0..0.12, encoded difference below which detail is smeared away (bilateral filter)."""
    sharpening: float = 0.0
    """0..1.8, weight of the unsharp mask."""
    sharpening_radius: float = 1.0
    """Its standard deviation, 0.7..1.8 sensor pixels; halos are about this wide."""
    range_mistake: RangeMistake = "none"
    """Full-range video read as limited (`crushed`) or limited as full (`washed`)."""
    codec: Codec = "none"
    quality: int = 100
    """JPEG's, 25..95."""
    crf: int = 0
    """H.264's constant rate factor, 20..40."""
    subsampling: Literal["4:2:0", "4:2:2", "4:4:4"] = "4:4:4"
    """JPEG's chroma; H.264 is always 4:2:0."""


def sample_camera(rng: np.random.Generator, strength: float = 1.0) -> CameraParameters:
    """Draws a camera.

    Args:
        rng: the only source of chance; how much is drawn does not depend on `strength`.
        strength: 0..1; 0 is the plain sRGB encoding, 1 the whole range.

    Raises:
        ValueError: the strength is outside 0..1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be between 0 and 1, not {strength}")
    s = strength

    def sometimes(chance: float, low: float, high: float) -> float:
        """0, or with that chance a value of that range scaled by the strength."""
        value = float(rng.uniform(low, high))
        return s * value if rng.random() < chance else 0.0

    def around(spread: float, low: float, high: float) -> float:
        return s * float(np.clip(rng.normal(0, spread), low, high))

    seed = int(rng.integers(2**31))
    dark = float(rng.random())
    noise = float(rng.beta(1.3, 2.2))  # 0 a good camera in daylight, 1 a bad one at night
    codec: Codec = str(rng.choice(["none", "jpeg", "h264"], p=[0.15, 0.45, 0.40]))  # type: ignore[assignment]
    subsampling = str(rng.choice(["4:2:0", "4:2:2", "4:4:4"], p=[0.6, 0.3, 0.1]))
    mistake = str(rng.choice(["none", "crushed", "washed"], p=[0.96, 0.02, 0.02]))
    red, blue = float(rng.uniform(1.4, 2.2)), float(rng.uniform(1.3, 2.0))
    mosaic, crisp = bool(rng.random() < 0.8), bool(rng.random() < 0.6)
    scale = 1 - sometimes(0.5, 0.0, 0.7)
    camera = CameraParameters(
        seed=seed,
        exposure=around(0.4, -1.5, 1.2) - (0.7 * s if dark < 0.1 else 0.0),
        auto_exposure=sometimes(0.8, 0.3, 0.9),
        drift=sometimes(0.4, 0.02, 0.12),
        white_balance=_error(s * rng.normal(0, 28), s * rng.normal(0, 0.04)),
        auto_white_balance=sometimes(0.7, 0.1, 0.7),
        glare=sometimes(0.4, 0.01, 0.12),
        glare_colour=_tint(rng),
        vignette=sometimes(0.6, 0.05, 0.5),
        defocus=sometimes(0.2, 0.5, 2.5),
        softness=sometimes(0.8, 0.2, 1.2),
        shake=sometimes(0.12, 2.0, 9.0),
        shake_angle=float(rng.uniform(0, math.pi)),
        scale=scale,
        crisp=crisp,
        mosaic=mosaic and s > 0,
        electrons=30000 * (600 / 30000) ** noise / s**2 if s > 0 else math.inf,
        read_noise=s * 0.004 * noise,
        banding=sometimes(0.3, 0.05, 0.4),
        grain=sometimes(0.5, 0.3, 1.0),
        residue=sometimes(0.5, 0.2, 0.7),
        sensor_gains=(1 + s * (red - 1), 1.0, 1 + s * (blue - 1)),
        headroom=1 + sometimes(0.6, 0.1, 1.5),
        gamma=1 + around(0.09, -0.2, 0.25),
        contrast=around(0.25, -0.4, 0.7),
        black=around(0.025, -0.03, 0.09),
        saturation=1 + around(0.15, -0.4, 0.4),
        denoise=sometimes(0.5, 0.01, 0.04 + 0.08 * noise),
        sharpening=sometimes(0.6, 0.1, 1.8),
        sharpening_radius=float(rng.uniform(0.7, 1.8)),
        range_mistake=mistake if s > 0 else "none",  # type: ignore[arg-type]
        codec=codec if s > 0 else "none",
        quality=round(100 - s * (100 - rng.triangular(25, 80, 95))),
        crf=round(s * rng.triangular(20, 27, 40)),
        subsampling=subsampling if s > 0 else "4:4:4",  # type: ignore[arg-type]
    )
    return camera


def _error(mired: float, tint: float) -> Triple:
    """Gains of a white balance set for a light that is off by so many mired, and off in green."""
    gains = temperature_rgb(1e6 / (1e6 / NEUTRAL_K + min(max(mired, -90.0), 120.0)))
    gains = gains * np.array([1, 1 + tint, 1], np.float32)
    return (float(gains[0]), float(gains[1]), float(gains[2]))


def _tint(rng: np.random.Generator) -> Triple:
    """The colour of a bright thing outside the image: mostly white, at times a screen's."""
    saturation = 0.8 * float(rng.random()) ** 2
    colour = 1 - saturation + saturation * rng.random(3) * 2
    return (float(colour[0]), float(colour[1]), float(colour[2]))
