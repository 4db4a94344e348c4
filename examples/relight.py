"""Relights an image or a video under a series of lights, as the paper's example does.

    python examples/relight.py portrait.jpg out/ examples/lights/*.txt
    python examples/relight.py talk.mp4 out/ examples/lights/*.txt --engine paper

An image becomes one image for each light. A video becomes one video in which the lights fade into
one another; the sphere in its corner shows the light of each moment. Works with every engine.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from vcam_relight import (
    ENGINES,
    Engine,
    Lighting,
    Relighter,
    RelightSettings,
    VcamError,
    convert_video,
    irradiance,
    load_engine,
    load_sh,
    read_image,
    write_image,
)

IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
"""File name endings; everything else is taken for a video."""
SECONDS = 2.0
"""From one light of a video to the next."""
SPHERE = 0.2
"""Of the image's height: the sphere's diameter."""

Image = npt.NDArray[np.uint8]
"""`(H, W, 3)` BGR, sRGB."""
Coefficients = npt.NDArray[np.float32]
"""`(9, 3)` SH radiance, RGB, linear; or `(k, 9, 3)` of them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 with one line on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("input", type=Path, help="image or video")
    parser.add_argument("folder", type=Path, help="where the results go")
    parser.add_argument("lights", type=Path, nargs="+", help=".npy or .txt of SH coefficients")
    parser.add_argument("--engine", choices=list(ENGINES), default="triplane")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args(argv)
    try:
        lights = {path.stem: Lighting.from_sh(load_sh(path)).sh for path in args.lights}
        with closing(load_engine(args.engine, args.device)) as engine:
            args.folder.mkdir(parents=True, exist_ok=True)
            if args.input.suffix.lower() in IMAGES:
                relight_image(args.input, args.folder, lights, engine)
            else:
                target = args.folder / f"{args.input.stem}_relit.mp4"
                relight_video(args.input, target, np.stack(list(lights.values())), engine)
    except (VcamError, OSError, RuntimeError, ValueError) as error:
        print(f"relight: {error}", file=sys.stderr)
        return 1
    return 0


def relight_image(
    source: Path, folder: Path, lights: dict[str, Coefficients], engine: Engine
) -> None:
    """Writes one PNG to `folder` for each light, named by it."""
    file = read_image(source)
    with Relighter(engine) as relighter:
        for name, sh in tqdm(lights.items(), unit=" lights"):
            relit = relighter.still(file.image, Lighting.from_sh(sh), RelightSettings())
            write_image(folder / f"{source.stem}_{name}.png", replace(file, image=relit))


def relight_video(source: Path, target: Path, lights: Coefficients, engine: Engine) -> None:
    """Writes a video under lights that follow one another for ever."""

    def change(image: Image, seconds: float) -> Image:
        sh = light_at(lights, seconds / SECONDS)
        relit = relighter.process(image, seconds, Lighting.from_sh(sh), RelightSettings())
        return with_sphere(relit, sh)

    with tqdm(unit=" frames") as bar, Relighter(engine) as relighter:

        def progress(expected: int | None) -> None:
            bar.total = expected
            bar.update()

        for note in convert_video(source, target, change, progress):
            bar.write(note, file=sys.stderr)


def light_at(lights: Coefficients, place: float) -> Coefficients:
    """The light at a place in the cycle of `(k, 9, 3)` lights; whole numbers are its members."""
    index = int(place) % len(lights)
    share = np.float32(place - int(place))
    return np.asarray(lights[index] * (1 - share) + lights[(index + 1) % len(lights)] * share)


def with_sphere(image: Image, sh: Coefficients) -> Image:
    """A copy with a white matte sphere under the light in its upper left corner.

    The sphere is as bright as its brightest place allows.
    """
    size = max(8, round(SPHERE * image.shape[0]))
    across = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(across, -across)
    inside = x * x + y * y < 1
    z = np.sqrt(np.maximum(1 - x * x - y * y, 0))
    light = np.maximum(irradiance(sh, np.stack([x, y, z], axis=-1)), 0)
    shaded = 255 * (light / max(light[inside].max(), 1e-6)) ** (1 / 2.2)  # sRGB, nearly
    out = image.copy()
    corner = out[:size, :size]
    inside = inside[: corner.shape[0], : corner.shape[1]]
    corner[inside] = np.rint(shaded[: corner.shape[0], : corner.shape[1], ::-1])[inside]
    return out


if __name__ == "__main__":
    sys.exit(main())
