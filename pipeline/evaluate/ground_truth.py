"""Rendered ground truth: people under lights that are known exactly, for measuring engines.

A folder holds `lights.npz` (named test lights) and one `.npz` for each subject. Subjects of the
renderer "mitsuba" are stored one light at a time (OLAT): any light of theirs is a weighted sum.
`python -m vcam_relight.pipeline.lightstage mitsuba` and `cycles` make such folders.
"""

import json
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray, Map
from vcam_relight.pipeline.evaluate.ground_truth_video import decode_images, encode_images
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.light_map import (
    LightMap,
    sphere_directions,
    to_lobes,
    to_sh,
)

DATA = Path(__file__).parent / "data"
"""Folder of the set that comes with the project."""

OLAT = 64
"""Lights of a one-light-at-a-time (OLAT) set: `sphere_directions(OLAT)`."""

_LIGHTS = "lights.npz"
_FORMAT = 1
_HINT = (
    "; get it again with git checkout, or make it with python -m vcam_relight.pipeline.lightstage"
)


@dataclass(frozen=True)
class NamedLight:
    """A distant lighting with a name."""

    radiance: LightMap
    """`(32, 64, 3)` float32, linear, in the world's axes."""
    backdrop: FloatArray | None
    """`(H, W, 3)` float32 linear RGB of what is behind the person; None in a studio."""

    @cached_property
    def sh(self) -> FloatArray:
        """`(9, 3)` radiance coefficients in the order of `pipeline.lighting.sh`."""
        return to_sh(self.radiance)

    @cached_property
    def lobes(self) -> FloatArray:
        """`(OLAT, 3)` irradiance on surfaces that face the lights of a one-light-at-a-time set."""
        return to_lobes(self.radiance, OLAT)


@dataclass(frozen=True)
class RenderedSubject:
    """A rendered person under several lights, 256 x 256 pixels."""

    name: str
    renderer: str
    """"mitsuba" or "cycles"; the latter has light scatter below the skin."""
    tone: float
    """Individual typology angle of the skin's albedo, degrees: 55 and above is very light, below
    -30 dark."""
    description: dict[str, Any]
    """What else is known of the person: how it was sampled and posed."""
    lights: tuple[str, ...]
    """Names of the test lights."""
    alpha: Map = field(repr=False)
    """`(H, W)` in 0..1."""
    path: Path
    named: dict[str, NamedLight] = field(repr=False)
    """The test lights by name."""

    @property
    def albedo(self) -> FloatArray:
        """`(H, W, 3)` linear RGB, premultiplied by alpha."""
        image: FloatArray = self._layers[0]
        return image

    @cached_property
    def normal(self) -> FloatArray:
        """`(H, W, 3)` unit vectors in the world's axes; 0 where nobody is."""
        vectors = self._layers[1] * 2 - 1
        length = np.linalg.norm(vectors, axis=-1, keepdims=True)
        seen = (self.alpha > 0)[..., None]
        result: FloatArray = np.where(seen, vectors / np.maximum(length, 1e-6), 0).astype(
            np.float32
        )
        return result

    def sh(self, light: str) -> FloatArray:
        """`(9, 3)` radiance coefficients of a test light.

        Raises:
            KeyError: no light has that name.
        """
        return self.named[light].sh

    def lighting(self, light: str) -> Lighting:
        """A test light as engines are asked for it: as an environment map.

        Raises:
            KeyError: no light has that name.
        """
        return Lighting.of_map(self.named[light].radiance)

    def lit(self, light: str) -> FloatArray:
        """`(H, W, 3)` float32 linear RGB of the person under a test light, premultiplied by alpha.

        Raises:
            KeyError: the subject has no such light.
            OSError: the file is damaged.
        """
        if light not in self.lights:
            raise KeyError(light)
        if self.renderer == "mitsuba":
            return self.relit(self.named[light].lobes)
        image: FloatArray = _images(self.path)[self.lights.index(light)]
        return image

    def relit(self, lobes: FloatArray) -> FloatArray:
        """`(H, W, 3)` linear RGB under any mixture of the lights of a one-light-at-a-time set.

        Args:
            lobes: `(OLAT, 3)` irradiance on a surface that faces each of `sphere_directions(OLAT)`.

        Raises:
            ValueError: the subject was rendered under whole lights.
            OSError: the file is damaged.
        """
        if self.renderer != "mitsuba":
            raise ValueError(f"{self.name} has pictures of its test lights only")
        image: FloatArray = np.einsum("lc,lhwc->hwc", lobes, _images(self.path), optimize=False)
        return image

    def backdrop(self, light: str) -> FloatArray | None:
        """`(H, W, 3)` linear RGB of what is behind the person, if anything."""
        return self.named[light].backdrop

    @cached_property
    def _layers(self) -> FloatArray:
        return _decode(self.path, "layers")


def load_subjects(folder: Path = DATA) -> list[RenderedSubject]:
    """Opens all subjects of a folder, sorted by name; images are decoded when asked for.

    Raises:
        OSError: the folder holds no ground truth, or a file is missing or damaged; the message
            names it.
    """
    lights = load_lights(folder)
    paths = sorted(path for path in folder.glob("*.npz") if path.name != _LIGHTS)
    if not paths:
        raise OSError(f"{folder}: no subjects there{_HINT}")
    return [_load_subject(path, lights) for path in paths]


def load_lights(folder: Path = DATA) -> dict[str, NamedLight]:
    """The test lights of a folder by name.

    Raises:
        OSError: the file is missing or damaged.
    """
    path = folder / _LIGHTS
    arrays = _read(path)
    lights = {}
    try:
        for name in arrays["names"].tolist():
            backdrop = arrays.get(f"{name}/backdrop")
            radiance = arrays[f"{name}/radiance"].astype(np.float32)
            lights[name] = NamedLight(
                radiance, None if backdrop is None else backdrop.astype(np.float32)
            )
    except KeyError as error:
        raise OSError(f"{path}: not a sound file of lights ({error}){_HINT}") from error
    return lights


def save_lights(folder: Path, lights: dict[str, NamedLight]) -> None:
    """Writes the test lights of a folder."""
    arrays: dict[str, NDArray[Any]] = {"names": np.array(list(lights))}
    for name, light in lights.items():
        arrays[f"{name}/radiance"] = light.radiance.astype(np.float16)
        if light.backdrop is not None:
            arrays[f"{name}/backdrop"] = light.backdrop.astype(np.float16)
    _write(folder / _LIGHTS, arrays)


def save_subject(
    path: Path,
    renderer: str,
    tone: float,
    description: dict[str, Any],
    lights: tuple[str, ...],
    images: FloatArray,
    layers: tuple[Map, FloatArray, FloatArray],
    crf: float,
) -> None:
    """Writes one subject.

    Args:
        path: the file, `NAME.npz`.
        renderer: "mitsuba" or "cycles".
        tone: individual typology angle of the skin, degrees.
        description: what else is known of the person; JSON-serializable.
        lights: names of the test lights.
        images: `(N, H, W, 3)` linear RGB, premultiplied: one for each test light, or for each of
            the `OLAT` directions.
        layers: alpha `(H, W)`; unit normals `(H, W, 3)`; albedo `(H, W, 3)`, premultiplied.
        crf: x265's quality of the stored images.

    Raises:
        OSError: the file cannot be written.
    """
    alpha, normal, albedo = layers
    white = float(np.quantile(images, 0.99999))
    order = _tour(sphere_directions(OLAT)) if renderer == "mitsuba" else np.arange(len(images))
    about = {
        "format": _FORMAT,
        "renderer": renderer,
        "tone": tone,
        "lights": lights,
        "white": white,
        "description": description,
    }
    _write(
        path,
        {
            "about": np.array(json.dumps(about)),
            "order": order.astype(np.uint8),
            "alpha": np.rint(alpha * 255).astype(np.uint8),
            "pictures": _bytes(encode_images(images[order] / white, crf)),
            "layers": _bytes(encode_images(np.stack([albedo, (normal + 1) / 2]), None)),
        },
    )


def _load_subject(path: Path, lights: dict[str, NamedLight]) -> RenderedSubject:
    arrays = _read(path)
    try:
        about = json.loads(str(arrays["about"]))
        if about["format"] != _FORMAT:
            raise ValueError(f"format {about['format']}, not {_FORMAT}")
        subject = RenderedSubject(
            name=path.stem,
            renderer=about["renderer"],
            tone=float(about["tone"]),
            description=about["description"],
            lights=tuple(about["lights"]),
            alpha=arrays["alpha"].astype(np.float32) / np.float32(255),
            path=path,
            named=lights,
        )
        missing = set(subject.lights) - set(lights)
        if missing:
            raise ValueError(f"{_LIGHTS} has no light {', '.join(sorted(missing))}")
    except (KeyError, ValueError) as error:
        raise OSError(f"{path}: not a sound subject ({error}){_HINT}") from error
    return subject


@lru_cache(maxsize=2)
def _images(path: Path) -> FloatArray:
    """All images of a subject in their own order; those of two subjects at a time take 100 MB."""
    arrays = _read(path)
    coded = _decode(path, "pictures")
    try:
        white = float(json.loads(str(arrays["about"]))["white"])
        images = np.empty_like(coded)
        images[arrays["order"]] = coded * np.float32(white)
    except (KeyError, ValueError, IndexError) as error:
        raise OSError(f"{path}: not a sound subject ({error}){_HINT}") from error
    images.setflags(write=False)
    return images


def _decode(path: Path, key: str) -> FloatArray:
    try:
        return decode_images(_read(path)[key].tobytes())
    except (KeyError, ValueError) as error:
        raise OSError(f"{path}: not a sound subject ({error}){_HINT}") from error


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise OSError(f"{path}: no such file{_HINT}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise OSError(f"{path}: damaged ({error}){_HINT}") from error


def _write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Writes whole files or none: whoever resumes takes what exists for finished."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    unfinished.replace(path)


def _bytes(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def _tour(directions: FloatArray) -> NDArray[np.intp]:
    """An order of directions in which each is near the one before."""
    left = list(range(len(directions)))
    tour = [left.pop(0)]
    while left:
        tour.append(left.pop(int(np.argmax(directions[left] @ directions[tour[-1]]))))
    return np.array(tour)
