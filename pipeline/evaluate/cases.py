"""Cases: a subject's image under one light, and the ground truth under another."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import encode_srgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.evaluate.metrics import Mask
from vcam_relight.pipeline.face.types import Face, FaceState
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.exposure import exposure_level

_WHITE_LEVEL = 0.7
"""Linear value of a white matte surface under the mean light of a face's normals: skin of albedo
0.5 is at 0.35, where cameras put faces, and clips under three times that light."""
_DARKEST = 0.2
"""Exposure over mean irradiance below which a camera does not lift a backlit face any more."""
_WALL: FloatArray = np.array([0.16, 0.18, 0.20], np.float32)
"""Linear RGB behind subjects that have no surroundings of their own."""
_SURE = 0.99
_MARGIN = 0.04
"""Share of the image's height around the person that counts neither as person nor background: an
edge may be soft."""
TONES = (
    ("very light", 55.0),
    ("light", 41.0),
    ("intermediate", 28.0),
    ("tan", 10.0),
    ("brown", -30.0),
    ("dark", -math.inf),
)
"""Skin tones by individual typology angle in degrees, each with the angle above which it lies
(Chardon et al. 1991; Del Bino, Bernerd 2013)."""


class Subject(Protocol):
    """A rendered person under several lights, as `pipeline.evaluate.ground_truth` loads them."""

    @property
    def name(self) -> str:
        """Unlike any other subject's."""

    @property
    def renderer(self) -> str:
        """What rendered it; metrics are reported for each."""

    @property
    def tone(self) -> float:
        """Individual typology angle of the skin, degrees."""

    @property
    def alpha(self) -> Map:
        """`(H, W)` the person's share of each pixel."""

    @property
    def albedo(self) -> FloatArray:
        """`(H, W, 3)` linear RGB, times alpha."""

    @property
    def normal(self) -> FloatArray:
        """`(H, W, 3)` unit vectors in camera space; 0 where nobody is."""

    @property
    def lights(self) -> tuple[str, ...]:
        """Names of the lights, two or more."""

    def sh(self, light: str) -> FloatArray:
        """`(9, 3)` radiance coefficients of a light."""

    def lighting(self, light: str) -> Lighting:
        """A light as engines are asked for it."""

    def lit(self, light: str) -> FloatArray:
        """`(H, W, 3)` linear RGB of the person under it, times alpha."""

    def backdrop(self, light: str) -> FloatArray | None:
        """`(h, w, 3)` linear RGB of what is behind, if anything is.

        It is out of focus, and so may be smaller than the person's image.
        """


class FaceFinder(Protocol):
    """Finds faces in single images."""

    def still(self, image: BgrImage) -> FaceState:
        """See `FaceTracker.still`."""


@dataclass(frozen=True, slots=True)
class RelightCase:
    """One image to relight, with its ground truth."""

    subject: str
    renderer: str
    tone: str
    """Of `TONES`."""
    source_light: str
    target_light: str
    """Names of lights."""
    image: BgrImage
    """`(H, W, 3)` the person under the source light."""
    ground_truth: BgrImage
    """`(H, W, 3)` the person under the target light before the backdrop of `image`, at the exposure
    that engines keep: as much light on a face as before."""
    person: Mask
    albedo: FloatArray
    """`(H, W, 3)` linear RGB of the person."""
    normal: FloatArray
    """`(H, W, 3)` unit vectors in camera space; 0 where nobody is."""
    background: Mask
    """What is certainly not the person."""
    faces: FaceState
    """Found in an image of the subject under all lights together: the same for every method."""
    source_sh: FloatArray
    target_sh: FloatArray
    """`(9, 3)` radiance coefficients."""
    lighting: Lighting
    """The target lighting, as of an environment map."""

    @property
    def landmarks(self) -> FloatArray | None:
        """`(468, 3)` of the largest face."""
        return largest_face(self.faces)


def tone_name(ita: float) -> str:
    """The skin tone of an individual typology angle in degrees."""
    return next(name for name, above in TONES if ita > above or above == -math.inf)


def largest_face(faces: FaceState) -> FloatArray | None:
    """`(468, 3)` landmarks of the largest face; None where no face was found."""

    def area(face: Face) -> float:
        return float(np.prod(np.ptp(face.landmarks[:, :2], axis=0)))

    return max(faces.faces, key=area).landmarks if faces.faces else None


def make_cases(
    subject: Subject, index: int, count: int, finder: FaceFinder
) -> Iterator[RelightCase]:
    """Makes the cases of one subject.

    Pairs of unlike lights are chosen by the subject's place in the list, so that all lights and
    many pairs come up.

    Args:
        subject: who is relit.
        index: place of the subject in the list.
        count: how many; there are no more than ordered pairs of lights.
        finder: finds the face, once, under all lights together.

    Yields:
        One case for each pair.
    """
    lights = subject.lights
    people = [_exposed_person(subject, light) for light in lights]
    walls = [_exposed_backdrop(subject, light) for light in lights]
    together = _encoded(np.mean(people, axis=0) + np.mean(walls, axis=0))
    faces = finder.still(together)
    person = subject.alpha >= 0.5
    covered = np.maximum(subject.alpha, np.float32(0.5))
    albedo = np.asarray(subject.albedo / covered[..., None], np.float32)
    reach = 2 * round(_MARGIN * subject.alpha.shape[0]) + 1
    near = cv2.dilate((subject.alpha > 1 - _SURE).astype(np.uint8), np.ones((reach, reach)))
    for number in range(min(count, len(lights) * (len(lights) - 1))):
        first = (index * count + number) % len(lights)
        step = 1 + (index + number) % (len(lights) - 1)
        second = (first + step) % len(lights)
        source, target = lights[first], lights[second]
        yield RelightCase(
            subject=subject.name,
            renderer=subject.renderer,
            tone=tone_name(subject.tone),
            source_light=source,
            target_light=target,
            image=_encoded(people[first] + walls[first]),
            ground_truth=_encoded(people[second] + walls[first]),
            person=person,
            albedo=albedo,
            normal=subject.normal,
            background=near == 0,
            faces=faces,
            source_sh=subject.sh(source),
            target_sh=subject.sh(target),
            lighting=subject.lighting(target),
        )


def exposed(subject: Subject, light: str) -> BgrImage:
    """`(H, W, 3)` image of a subject under a light, as a camera takes it."""
    return _encoded(_exposed_person(subject, light) + _exposed_backdrop(subject, light))


def camera_gain(sh: FloatArray) -> float:
    """Linear gain of a camera that exposes for the face, under lighting `sh` `(9, 3)`."""
    irradiance = exposure_level(sh)
    return _WHITE_LEVEL * math.pi / irradiance


def _exposed_person(subject: Subject, light: str) -> FloatArray:
    """`(H, W, 3)` linear RGB, premultiplied."""
    return subject.lit(light) * np.float32(camera_gain(subject.sh(light)))


def _exposed_backdrop(subject: Subject, light: str) -> FloatArray:
    """`(H, W, 3)` linear RGB of what the person leaves free of what is behind."""
    backdrop = subject.backdrop(light)
    wall = _WALL
    if backdrop is not None:
        height, width = subject.alpha.shape
        wall = resize(backdrop, (width, height)) * np.float32(camera_gain(subject.sh(light)))
    result: FloatArray = wall * (1 - subject.alpha[..., None])
    return result


def _encoded(linear: FloatArray) -> BgrImage:
    coded = np.round(encode_srgb(linear[..., ::-1]) * 255).astype(np.uint8)
    return np.ascontiguousarray(coded)
