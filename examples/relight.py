"""Relights a picture or a video under a series of lights, as the paper's example does.

    python examples/relight.py portrait.jpg out/ examples/lights/*.txt
    python examples/relight.py talk.mp4 out/ examples/lights/*.txt --engine paper

A picture becomes one picture for each light. A video becomes one video in which the lights fade
into one another; the sphere in its corner shows the light of each moment. Works with every engine.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.color import encode_srgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.engines.registry import DEFAULT_ENGINE, ENGINES
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.sh import irradiance, load_sh
from vcam_relight.pipeline.relighter import Relighter
from vcam_relight.vcam.core.errors import InputError, VcamError
from vcam_relight.vcam.device import engine_on
from vcam_relight.vcam.media.image import PICTURE_SUFFIXES, read_image, write_image
from vcam_relight.vcam.media.video import convert

SECONDS = 2.0
"""From one light of a video to the next."""
SPHERE = 0.2
"""Of the picture's height: the sphere's diameter."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 with one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("input", type=Path, help="picture or video")
    parser.add_argument("folder", type=Path, help="where the results go")
    parser.add_argument("lights", type=Path, nargs="+", help=".npy or .txt of SH coefficients")
    parser.add_argument("--engine", choices=list(ENGINES), default=DEFAULT_ENGINE)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args(argv)
    try:
        lights = {path.stem: _light(path) for path in args.lights}
        engine = engine_on(args.engine, args.device)
        args.folder.mkdir(parents=True, exist_ok=True)
        if args.input.suffix.lower() in PICTURE_SUFFIXES:
            relight_image(args.input, args.folder, lights, engine)
        else:
            target = args.folder / f"{args.input.stem}_relit.mp4"
            relight_video(args.input, target, np.stack(list(lights.values())), engine)
    except VcamError as error:
        print(f"relight: {error}", file=sys.stderr)
        return 1
    return 0


def relight_image(
    source: Path, folder: Path, lights: dict[str, FloatArray], engine: Engine
) -> None:
    """Writes one PNG for each light, named by it.

    Args:
        source: a picture file.
        folder: where they go.
        lights: name -> `(9, 3)` SH radiance.
        engine: makes the light.
    """
    file = read_image(source)
    with Relighter(engine) as relighter:
        for name, sh in tqdm(lights.items(), unit=" lights"):
            relit = relighter.still(file.image, Lighting.from_sh(sh), RelightSettings())
            write_image(folder / f"{source.stem}_{name}.png", replace(file, image=relit))


def relight_video(source: Path, target: Path, lights: FloatArray, engine: Engine) -> None:
    """Writes a video under lights `(k, 9, 3)` that follow one another for ever."""

    def change(image: BgrImage, seconds: float) -> BgrImage:
        sh = light_at(lights, seconds / SECONDS)
        relit = relighter.process(image, seconds, Lighting.from_sh(sh), RelightSettings())
        return with_sphere(relit, sh)

    with tqdm(unit=" frames") as bar, Relighter(engine) as relighter:

        def progress(expected: int | None) -> None:
            bar.total = expected
            bar.update()

        for note in convert(source, target, change, progress):
            bar.write(note, file=sys.stderr)


def light_at(lights: FloatArray, place: float) -> FloatArray:
    """`(9, 3)` the light at a place in the cycle of `(k, 9, 3)`; whole numbers are its members."""
    index = int(place) % len(lights)
    share = np.float32(place - int(place))
    return np.asarray(lights[index] * (1 - share) + lights[(index + 1) % len(lights)] * share)


def with_sphere(image: BgrImage, sh: FloatArray) -> BgrImage:
    """A copy of the picture with a white matte sphere under the light `(9, 3)` in its upper left
    corner, as bright as its brightest place allows.
    """
    size = max(8, round(SPHERE * image.shape[0]))
    across = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(across, -across)
    inside = x * x + y * y < 1
    height = np.sqrt(np.maximum(1 - x * x - y * y, np.float32(0)))
    normals = np.stack([x, y, height], axis=-1)
    light = np.maximum(irradiance(sh, normals), np.float32(0))
    brightest = np.float32(max(float(light[inside].max()), 1e-6))
    shaded = encode_srgb(np.asarray(light / brightest, np.float32))[..., ::-1] * 255
    out = image.copy()
    corner = out[:size, :size]
    inside = inside[: corner.shape[0], : corner.shape[1]]
    corner[inside] = np.rint(shaded[: corner.shape[0], : corner.shape[1]])[inside].astype(np.uint8)
    return out


def _light(path: Path) -> FloatArray:
    try:
        return Lighting.from_sh(load_sh(path)).sh
    except (OSError, ValueError) as error:
        raise InputError(f"{path} gives no light ({error})", "use another file") from error


if __name__ == "__main__":
    sys.exit(main())
