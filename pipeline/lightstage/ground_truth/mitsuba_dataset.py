"""Renders one-light-at-a-time ground truth with mitsuba: 64 directions, hard shadows.

Existing subjects are kept, so that the command can be stopped and started again. On two cores a
subject takes about 40 seconds: the 20 of the committed set a quarter of an hour, 1,000 take
11 hours.
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from vcam_relight.pipeline.evaluate.ground_truth import OLAT, save_lights, save_subject
from vcam_relight.pipeline.lighting.light_map import sphere_directions
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack, default_pack_path
from vcam_relight.pipeline.lightstage.ground_truth.subjects import (
    identities,
    named_lights,
    pose_subject,
)

CRF = 0.0
"""x265's best: test lights of the decoded sets then are within 50 dB of the undecoded."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--pack", type=Path, default=default_pack_path(), help="asset pack")
    parser.add_argument("--out", type=Path, required=True, help="folder of the ground truth")
    parser.add_argument("--heads", type=int, default=20, help="number of people (20)")
    parser.add_argument("--samples", type=int, default=64, help="rays a pixel and light (64)")


def run(arguments: argparse.Namespace) -> None:
    """Renders what is missing.

    Raises:
        OSError: the asset pack cannot be read or the folder not be written.
        ImportError: mitsuba or LLVM 19 is missing.
    """
    from vcam_relight.pipeline.lightstage.ground_truth.mitsuba_reference import ReferenceRenderer

    pack = AssetPack.open(arguments.pack)
    lights = named_lights(pack)
    save_lights(arguments.out, lights)
    for index, identity in tqdm(identities(0, arguments.heads), total=arguments.heads):
        path = arguments.out / f"mitsuba-{index:04d}.npz"
        if path.exists():
            continue
        subject = pose_subject(pack, path.stem, index, identity)
        reference = ReferenceRenderer(subject.parts, subject.posed, subject.camera)
        images, layers = reference.olat(sphere_directions(OLAT), arguments.samples, seed=index)
        save_subject(
            path,
            "mitsuba",
            subject.tone,
            subject.description,
            tuple(lights),
            images,
            (layers.alpha, layers.normal, layers.albedo),
            CRF,
        )
