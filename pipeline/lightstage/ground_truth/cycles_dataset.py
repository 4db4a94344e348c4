"""Renders ground truth with Blender's Cycles: light scatters in the skin; other people.

Cycles runs in an environment of its own, which `--blender` names: python3.11 -m venv blender,
blender/bin/pip install bpy==5.0.1 'numpy<2', and then --blender blender/bin/python.
Existing subjects are kept, so that the command can be stopped and started again. On two cores a
subject takes about a minute: the 8 of the committed set ten minutes, 1,000 take 17 hours.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.evaluate.ground_truth import save_lights, save_subject
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack, default_pack_path
from vcam_relight.pipeline.lightstage.ground_truth.subjects import (
    SIZE,
    PosedSubject,
    identities,
    named_lights,
    pose_subject,
)

FIRST = 20
"""Index of the first person: those before are mitsuba's."""
CRF = 2.0
"""x265's quality of the images."""
_LIGHTS = ("courtyard", "apartment", "key left", "key right")
_SCRIPT = Path(__file__).with_name("cycles_scene.py")
_LAYER_SAMPLES = 48


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--pack", type=Path, default=default_pack_path(), help="asset pack")
    parser.add_argument("--out", type=Path, required=True, help="folder of the ground truth")
    parser.add_argument("--blender", type=Path, required=True, help="Python that has bpy")
    parser.add_argument("--heads", type=int, default=8, help="number of people (8)")
    parser.add_argument("--samples", type=int, default=32, help="rays a pixel and light (32)")


def run(arguments: argparse.Namespace) -> None:
    """Renders what is missing.

    Raises:
        OSError: the asset pack cannot be read, Blender fails, or the folder cannot be written.
        ImportError: mitsuba or LLVM 19, which give normals and albedo, are missing.
    """
    from vcam_relight.pipeline.lightstage.ground_truth.mitsuba_reference import ReferenceRenderer

    pack = AssetPack.open(arguments.pack)
    lights = named_lights(pack)
    save_lights(arguments.out, lights)
    radiance = np.stack([lights[name].radiance for name in _LIGHTS])
    for index, identity in tqdm(identities(FIRST, arguments.heads), total=arguments.heads):
        path = arguments.out / f"cycles-{index:04d}.npz"
        if path.exists():
            continue
        subject = pose_subject(pack, path.stem, index, identity)
        images = _render(subject, radiance, arguments.samples, arguments.blender)
        reference = ReferenceRenderer(subject.parts, subject.posed, subject.camera)
        _, layers = reference.olat(np.zeros((0, 3), np.float32), _LAYER_SAMPLES)
        save_subject(
            path,
            "cycles",
            subject.tone,
            subject.description,
            _LIGHTS,
            images[..., :3],
            (images[..., 3].mean(axis=0), layers.normal, layers.albedo),
            CRF,
        )


def _render(subject: PosedSubject, lights: FloatArray, samples: int, python: Path) -> FloatArray:
    """`(lights, H, W, 4)` linear RGBA."""
    with tempfile.TemporaryDirectory() as folder:
        scene, out = Path(folder, "scene.npz"), Path(folder, "images.npz")
        np.savez(scene, **_scene(subject, lights, samples))  # type: ignore[arg-type]
        done = subprocess.run(  # noqa: S603 our own script, by the Python that was named
            [python, _SCRIPT, scene, out], capture_output=True, text=True, check=False
        )
        if done.returncode or not out.exists():
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise OSError(f"{python} could not render with Blender: {' '.join(last)}")
        with np.load(out, allow_pickle=False) as archive:
            images: FloatArray = archive["images"]
    return images


def _scene(subject: PosedSubject, lights: FloatArray, samples: int) -> dict[str, NDArray[Any]]:
    camera = subject.camera
    arrays: dict[str, NDArray[Any]] = {
        "parts": np.array(len(subject.parts)),
        "lights": lights,
        "samples": np.array(samples),
        "seed": np.array(0),
        "size": np.array(SIZE),
        "eye": camera.position,
        "rotation": camera.rotation,
        "focal": np.array(camera.focal),
    }
    for index, part in enumerate(subject.parts):
        values: dict[str, NDArray[Any]] = {
            "positions": subject.posed.positions[index][part.source],
            "normals": subject.posed.normals[index][part.source],
            "uvs": part.uvs,
            "triangles": part.triangles,
            "texture": part.texture,
            "blended": np.array(part.blended),
            "coat": np.array(part.coat),
            "roughness": np.array(part.material.roughness),
            "f0": np.array(part.material.f0),
            "scatter": np.array(part.material.scatter),
        }
        arrays |= {f"{index}/{key}": value for key, value in values.items()}
    return arrays
