"""Environment maps light the side that they should, seen on a shaded ball."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.hdri import hdri_to_sh, load_hdri
from vcam_relight.pipeline.lighting.lights import direction
from vcam_relight.pipeline.lighting.sh import basis, dominant_direction, irradiance

SH_OF_SMALL_LIGHT = 0.02
"""Per component of a direction: an environment map's light of 2 pixels is 4 degrees wide."""

SH_OF_EVEN_LIGHT = 0.005
"""What pixels of a coarse map leave of the bands that an even light does not have."""


def dark(height: int = 64) -> FloatArray:
    return np.full((height, 2 * height, 3), 0.01, np.float32)


def shaded_ball(sh: FloatArray) -> FloatArray:
    """`(101, 101)` image of a white ball as the camera sees it, NaN beside it."""
    x, y = np.meshgrid(np.linspace(-1, 1, 101), np.linspace(1, -1, 101))  # y up, like the image
    z = np.sqrt(np.maximum(1 - x * x - y * y, 0))
    shade = irradiance(sh, np.stack([x, y, z], -1).astype(np.float32)).mean(-1)
    return np.where(x * x + y * y < 1, shade, np.nan)


def test_each_side_of_the_map_lights_its_side_of_the_image() -> None:
    height = 64
    for where, brightest in {
        "left": (slice(None), slice(80, None)),  # the map's left: the image's right
        "right": (slice(None), slice(None, 20)),
        "top": (slice(None, 20), slice(None)),
        "bottom": (slice(80, None), slice(None)),
        "centre": (slice(40, 60), slice(40, 60)),
    }.items():
        sky = dark(height)
        patch = {
            "left": sky[24:40, 24:40],
            "right": sky[24:40, 88:104],
            "top": sky[:8],
            "bottom": sky[-8:],
            "centre": sky[24:40, 56:72],
        }[where]
        patch[:] = 5.0
        ball = shaded_ball(hdri_to_sh(sky))
        row, column = np.unravel_index(np.nanargmax(ball), ball.shape)
        rows, columns = brightest
        assert row in range(101)[rows] and column in range(101)[columns], (where, row, column)


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, -45.0, 400.0])
def test_rotate_moves_the_light_to_the_right(degrees: float) -> None:
    sky = dark(90)
    sky[44:46, 89:91] = 100.0  # straight ahead
    sh = hdri_to_sh(sky, degrees) - hdri_to_sh(dark(90))
    assert np.allclose(dominant_direction(sh), direction(degrees, 0), atol=SH_OF_SMALL_LIGHT)


def test_every_direction_counts_by_its_solid_angle() -> None:
    even = hdri_to_sh(np.ones((32, 64, 3), np.float32))
    assert even[0] == pytest.approx([np.sqrt(4 * np.pi)] * 3, rel=1e-5)
    assert np.abs(even[1:]).max() < SH_OF_EVEN_LIGHT
    sky = np.zeros((180, 360, 3), np.float32)
    sky[30, 200] = (1, 2, 3)
    elevation, azimuth = 90 - 30.5, (180 - 200.5)
    area = np.radians(1) * (np.sin(np.radians(60)) - np.sin(np.radians(59)))
    wanted = basis(direction(azimuth, elevation))[:, None] * np.array([1, 2, 3]) * area
    assert np.allclose(hdri_to_sh(sky), wanted, rtol=1e-3, atol=1e-8)


def write_exr(path: Path, image: FloatArray) -> None:
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("exr", rate=Fraction(1))
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "gbrpf32le"
        frame = av.VideoFrame.from_ndarray(image, format="gbrpf32le")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_files_give_linear_rgb(tmp_path: Path) -> None:
    sky = dark(16)
    sky[:8] = (3.0, 1.0, 0.25)
    sky[3, 3] = 900.0
    write_exr(tmp_path / "sky.exr", sky)
    assert cv2.imwrite(str(tmp_path / "sky.hdr"), sky[..., ::-1])
    assert np.allclose(load_hdri(tmp_path / "sky.exr"), sky, rtol=1e-3)
    assert np.allclose(load_hdri(tmp_path / "sky.hdr"), sky, rtol=1e-2, atol=1e-3)
    encoded = np.zeros((16, 32, 3), np.uint8)
    encoded[:] = (0, 128, 255)  # BGR
    assert cv2.imwrite(str(tmp_path / "sky.png"), encoded)
    assert np.allclose(load_hdri(tmp_path / "sky.png"), (1.0, 0.2158605, 0.0), atol=1e-5)


def test_broken_pixels_do_no_harm(tmp_path: Path) -> None:
    sky = dark(16)
    sky[0, 0], sky[1, 1], sky[2, 2], sky[3, 3] = np.nan, np.inf, -7.0, 50.0
    write_exr(tmp_path / "sky.exr", sky)
    loaded = load_hdri(tmp_path / "sky.exr")
    assert np.isfinite(loaded).all() and loaded.min() == 0 and loaded.max() == 50.0


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    write_exr(tmp_path / "square.exr", np.ones((16, 16, 3), np.float32))
    write_exr(tmp_path / "black.exr", np.zeros((16, 32, 3), np.float32))
    write_exr(tmp_path / "good.exr", dark(64))
    good = (tmp_path / "good.exr").read_bytes()
    (tmp_path / "text.exr").write_text("words")
    (tmp_path / "empty.hdr").touch()
    (tmp_path / "header.exr").write_bytes(good[:200])
    for name in ("square.exr", "black.exr", "text.exr", "empty.hdr", "header.exr"):
        with pytest.raises(ValueError, match=r"^\S.*[^.]$"):
            load_hdri(tmp_path / name)
    with pytest.raises(OSError):
        load_hdri(tmp_path / "missing.exr")
