"""The asset pack: all meshes, textures and lights of the light stage in one file.

A pack is a NumPy `.npz` archive without pickled objects, at most 40 MB, so that it travels to
machines without a network. `python -m vcam_relight.pipeline.lightstage pack` makes it, see
`pipeline.lightstage.build.build_pack`.
"""

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.assets.makehuman import Garment, Target
from vcam_relight.pipeline.lightstage.core.regions import Regions
from vcam_relight.pipeline.lightstage.core.scene import Texture
from vcam_relight.pipeline.lightstage.core.split import Split

FORMAT = 1
MAX_BYTES = 40_000_000
SKIN_SIZE = 768
"""Side of the skins' textures."""

_Arrays = Mapping[str, NDArray[Any]]


def default_pack_path() -> Path:
    """The file that `VCAM_LIGHTSTAGE` names, else `lightstage.pack.npz` in the working folder."""
    return Path(os.environ.get("VCAM_LIGHTSTAGE", "lightstage.pack.npz"))


@dataclass(frozen=True, slots=True)
class Environment:
    """A small environment map."""

    name: str
    radiance: FloatArray
    """`(64, 128, 3)` float32 linear RGB in the convention of `pipeline.lighting.hdri`."""
    split: Split


@dataclass(frozen=True, slots=True)
class BaseMesh:
    """MakeHuman's base mesh with its helper vertices, before any morph.

    Of its faces, those that are never seen are left away.
    """

    positions: FloatArray
    """`(19158, 3)` float32 in dm, y up, the face towards +z."""
    faces: NDArray[np.int32]
    """`(F, 4)` quads."""
    groups: NDArray[np.str_]
    """`(F,)` name of each face's group."""
    uvs: FloatArray
    """`(T, 2)` skin texture coordinates in the layout of `atlas`, v up."""
    uv_faces: NDArray[np.int32]
    """`(F, 4)` into `uvs`."""
    cavity: NDArray[np.bool_]
    """`(F,)` whether the face lines the mouth or an eye socket."""
    bones: FloatArray
    """`(19158, BONE_COUNT)` skinning weights of `skeleton`."""


@dataclass(frozen=True, slots=True)
class IdentityModes:
    """ICT-FaceKit's identity modes on the base mesh, for coefficients of unit variance."""

    index: NDArray[np.int32]
    """`(K,)` vertices that they move."""
    deltas: FloatArray
    """`(100, K, 3)` float32 displacement in dm."""


class Textures(Mapping[str, Texture]):
    """Textures by name, decoded when first asked for; read-only."""

    def __init__(self, encoded: dict[str, NDArray[np.uint8]]) -> None:
        self._encoded = encoded
        self._decoded: dict[str, Texture] = {}

    def __getitem__(self, name: str) -> Texture:
        if name not in self._decoded:
            self._decoded[name] = _decode(self._encoded[name])
        return self._decoded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._encoded)

    def __len__(self) -> int:
        return len(self._encoded)


@dataclass(frozen=True)
class AssetPack:
    """What a pack file holds; nothing in it may be written to."""

    base: BaseMesh
    targets: Mapping[str, Target]
    """Morph targets by their path below MakeHuman's targets, without suffix."""
    face_units: Mapping[str, Target]
    """52 expressions by their ARKit-like names."""
    modes: IdentityModes
    garments: Mapping[str, Garment]
    """By kind and name, `hair/short01`; kinds are hair, brows, lashes, eyes, teeth, tongue and
    clothes."""
    textures: Textures
    """Of the garments, by their names; of clothes `..._diffuse` and `..._ao`. Strands (hair,
    brows, lashes) are grey: 0.25 in linear light is their mean."""
    skins: Textures
    """Photographs in the layout of `BaseMesh.uvs`, `(SKIN_SIZE, SKIN_SIZE, 4)`."""
    hdris: tuple[Environment, ...]
    notices: str
    """Whose work it is and under which licences."""

    @staticmethod
    def open(path: Path) -> "AssetPack":
        """Reads a pack.

        Raises:
            OSError: it cannot be read, is damaged, or no pack of this version.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            if int(arrays["format"]) != FORMAT:
                raise ValueError(f"format {arrays['format']}, not {FORMAT}")
            return _unpack(arrays)
        except FileNotFoundError as error:
            raise OSError(
                f"{path}: no asset pack there; make one with "
                "python -m vcam_relight.pipeline.lightstage pack, "
                "or name one in VCAM_LIGHTSTAGE"
            ) from error
        except (
            ValueError, LookupError, TypeError, EOFError, AttributeError,
            NotImplementedError, zipfile.BadZipFile, zlib.error,
        ) as error:  # fmt: skip
            raise OSError(
                f"{path}: not a sound asset pack ({error}); make it anew with "
                "python -m vcam_relight.pipeline.lightstage pack"
            ) from error

    @cached_property
    def regions(self) -> Regions:
        """Where things are on the skins; takes a second, once."""
        base = self.base
        skin = (base.groups == "body") & ~base.cavity
        return Regions.build(
            base.positions, base.faces[skin], base.uvs, base.uv_faces[skin], SKIN_SIZE
        )


def _decode(encoded: NDArray[np.uint8]) -> Texture:
    pixels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise OSError("a texture in the asset pack is damaged; make the pack anew")
    code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGBA
    texture: Texture = cv2.cvtColor(pixels, code).astype(np.uint8)
    texture.setflags(write=False)
    return texture


def _under(arrays: _Arrays, prefix: str) -> dict[str, NDArray[Any]]:
    start = f"{prefix}/"
    return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}


def _unpack(arrays: _Arrays) -> AssetPack:
    base = _under(arrays, "base")
    test_split = set(arrays["held_out"].tolist())
    garments: dict[str, dict[str, NDArray[Any]]] = {}
    for key, values in _under(arrays, "garment").items():
        name, _, field = key.rpartition("/")
        garments.setdefault(name, {})[field] = values
    return AssetPack(
        BaseMesh(
            base["positions"],
            base["faces"].astype(np.int32),
            base["group_names"][base["groups"]],
            base["uvs"],
            base["uv_faces"].astype(np.int32),
            base["cavity"],
            base["bones"].astype(np.float32),
        ),
        _targets(_under(arrays, "targets")),
        _targets(_under(arrays, "face_units")),
        IdentityModes(
            arrays["modes/index"].astype(np.int32),
            arrays["modes/deltas"] * arrays["modes/steps"][:, None, None],
        ),
        {name: _garment(fields) for name, fields in garments.items()},
        Textures(_under(arrays, "texture")),
        Textures(_under(arrays, "skin")),
        tuple(
            Environment(name, image.astype(np.float32), "test" if name in test_split else "train")
            for name, image in sorted(_under(arrays, "hdri").items())
        ),
        str(arrays["notices"]),
    )


def _targets(table: _Arrays) -> dict[str, Target]:
    index, delta = table["index"].astype(np.int32), table["delta"].astype(np.float32)
    targets = {}
    start = 0
    rows = zip(table["names"].tolist(), table["ends"].tolist(), table["steps"], strict=True)
    for name, end, step in rows:
        targets[name] = Target(index[start:end], delta[start:end] * step)
        start = end
    return targets


def _garment(fields: _Arrays) -> Garment:
    scale = {
        axis: (int(first), int(second), float(reference))
        for axis, (first, second, reference) in enumerate(fields["scale"])
        if reference > 0
    }
    return Garment(
        fields["faces"].astype(np.int32),
        fields["uvs"],
        fields["uv_faces"].astype(np.int32),
        fields["triangles"].astype(np.int32),
        fields["weights"],
        fields["offsets"],
        scale,
        fields["hidden"].astype(np.int32),
    )
