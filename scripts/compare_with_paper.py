"""Lays our images beside those that the paper's authors publish with their code.

    python -m scripts.compare_with_paper FOLDER OUT.jpg

FOLDER is the example of their repository: `cropped_image.png`, the network's reconstruction of it
`recon_image.png`, its `relighting.mp4` and `example_lightings.npy`. Each lighting is shown twice,
the head facing the camera, and turned.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.registry import load_engine
from vcam_relight.pipeline.evaluate.metrics import psnr
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.head.pose import HeadFinder
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.relighter import Relighter

LIGHTINGS = 3
"""Of `example_lightings.npy`, shown one after the other in `relighting.mp4`."""
TURN = 8.0
"""Degrees of the turned view: as far as ours goes exactly."""
SIDE = 288
"""Of a tile, in pixels."""


def main() -> None:
    """Writes the contact sheet and prints what the reconstructions are worth."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    image, theirs = _read(folder / "cropped_image.png"), _read(folder / "recon_image.png")
    frames = _frames(folder / "relighting.mp4")
    shown = LIGHTINGS * (len(frames) // LIGHTINGS)
    lightings = np.load(folder / "example_lightings.npy", allow_pickle=False)[:LIGHTINGS]
    relighter = Relighter(load_engine("triplane"))
    source = relighter.engine.source_lighting(image, FaceTracker(StageTimer()).still(image))
    ours = relighter.still(image, Lighting.from_sh(source), RelightSettings())
    top, bottom = [image, theirs], [image, ours]
    front = _angles(image)
    for lighting, part in zip(
        lightings, np.split(np.array(frames[:shown]), LIGHTINGS), strict=True
    ):
        turns = np.array([_angles(frame) - front for frame in part])
        light = Lighting.from_sh(np.repeat(lighting[:, None], 3, axis=1).astype(np.float32))
        for yaw_shown in (0.0, TURN):
            nearest = int(np.argmin(np.abs(np.abs(turns[:, 0]) - yaw_shown) + np.abs(turns[:, 1])))
            yaw, pitch = (float(angle) for angle in turns[nearest])
            print(f"view {yaw:+.1f} degrees aside, {pitch:+.1f} above")
            top.append(part[nearest])
            bottom.append(relighter.still(image, light, RelightSettings(yaw=yaw, pitch=pitch)))
    everywhere = np.ones(image.shape[:2], bool)
    for name, result in (("theirs", theirs), ("ours", ours)):
        print(f"{name}: the image in its own light is {psnr(result, image, everywhere):.1f} dB")
    cv2.imwrite(str(out), np.vstack([_row(top), _row(bottom)]), [cv2.IMWRITE_JPEG_QUALITY, 88])


def _row(images: list[BgrImage]) -> BgrImage:
    size = (SIDE, SIDE)
    return np.hstack([cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in images])


def _angles(image: BgrImage) -> FloatArray:
    """`(2,)` degrees of a camera to the right of and above the head's front."""
    face = FaceTracker(StageTimer()).still(image).faces[0]
    forward = HeadFinder().find(face.landmarks).rotation.T[:, 2]
    aside = np.degrees(np.arctan2(forward[0], forward[2]))
    return np.array([aside, np.degrees(np.arcsin(forward[1]))], np.float32)


def _read(path: Path) -> BgrImage:
    image = cv2.imread(str(path))
    if image is None:
        sys.exit(f"{path} cannot be read")
    return np.asarray(image, np.uint8)


def _frames(path: Path) -> list[BgrImage]:
    video = cv2.VideoCapture(str(path))
    frames = []
    while (taken := video.read())[0]:
        frames.append(np.asarray(taken[1], np.uint8))
    return frames


if __name__ == "__main__":
    main()
