"""From a webcam to those who read the virtual camera: rate, colours, shape, formats."""

import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np
import pytest

from support.demo import demo_frames
from support.guest_program import (
    ACCURATE,
    FED,
    FFMPEG,
    LABEL,
    PATIENCE_S,
    VIRTUAL,
    GuestProgram,
    Reader,
    feeding,
    ffmpeg_images,
    running,
    wait_for,
)
from support.tolerances import DEVICE_COLOUR
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.frame import Frame
from vcam_relight.vcam.sinks import ProcessedFrame
from vcam_relight.vcam.sinks.virtual_camera import VirtualCameraSink

GUEST_FPS = 25.0
"""At 640x480 with a face in the image, from a camera of 30 fps, on the guest's one core."""

PATCHES = [  # BGR
    [(255, 255, 255), (128, 128, 128), (0, 0, 0), (140, 160, 225)],
    [(40, 40, 200), (40, 200, 40), (200, 40, 40), (60, 85, 140)],
    [(0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 255, 255)],
]
"""Greys, skin, and colours up to pure ones."""
THROUGH = ("--engine", "passthrough")


def patches(size: tuple[int, int]) -> BgrImage:
    """The patches, each with its own place."""
    small = np.array(PATCHES, np.uint8)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def worst_patch(image: BgrImage) -> float:
    """The largest mean error of a patch, in levels of 255."""
    height, width = image.shape[0] // len(PATCHES), image.shape[1] // len(PATCHES[0])
    errors = []
    for row, colours in enumerate(PATCHES):
        for column, colour in enumerate(colours):
            top, left = row * height + height // 4, column * width + width // 4
            patch = image[top : top + height // 2, left : left + width // 2]
            errors.append(np.abs(patch.astype(float) - colour).mean())
    return float(max(errors))


def vcam(size: tuple[int, int], *args: str, folder: Path) -> AbstractContextManager[GuestProgram]:
    """The program, from the fed camera to the virtual one."""
    source = "camera:" + FED.removeprefix("/dev/video")
    fixed = ("--source", source, "--sink", f"device:{LABEL}", "--size", "{}x{}".format(*size))
    return running(*fixed, *args, folder=folder)


def sees(reader: Reader, size: tuple[int, int]) -> bool:
    """Whether the reader gets the patches now, in this size."""
    image = reader.image()
    return image.shape[1::-1] == size and worst_patch(image) < DEVICE_COLOUR


@pytest.mark.parametrize("size", [(640, 480), (1280, 720)], ids=["480p", "720p"])
def test_colours_reach_opencv_and_ffmpeg(tmp_path: Path, size: tuple[int, int]) -> None:
    with feeding([patches(size)], tmp_path), vcam(size, *THROUGH, folder=tmp_path):
        with Reader(VIRTUAL) as reader:
            wait_for(lambda: sees(reader, size))
            error = worst_patch(reader.image())
        images = ffmpeg_images(VIRTUAL, 30)  # the first may be the placeholder
        assert images[-1].shape[1::-1] == size
        print(f"worst patch: OpenCV {error:.2f}, ffmpeg {worst_patch(images[-1]):.2f} of 255")
        assert error <= DEVICE_COLOUR
        assert worst_patch(images[-1]) <= DEVICE_COLOUR


def test_a_reader_gets_25_images_a_second(tmp_path: Path) -> None:
    """Asserted without relighting: the guest has one slow core, which the webcam's feeder and the
    reader share with the program. The rest is stated."""
    for size, engine, least in (
        ((640, 480), "passthrough", GUEST_FPS),
        ((1280, 720), "passthrough", 0.0),
        ((640, 480), "geometry", 0.0),
    ):
        folder = tmp_path / f"{size[0]} {engine}"
        folder.mkdir()
        faces = [np.asarray(cv2.resize(face, size), np.uint8) for face in demo_frames(30)]
        args = ("--engine", engine, "--preset", "key-left")
        with feeding(faces, folder), vcam(size, *args, folder=folder), Reader(VIRTUAL) as reader:
            reader.fps(60)
            fps = max(reader.fps(100) for _ in range(3))  # the host may be busy with something else
        print(f"{engine}, {size[0]}x{size[1]} of 30 fps: {fps:.1f} fps")
        assert fps >= least


def test_a_camera_of_another_shape_gets_bars_and_keeps_its_own(tmp_path: Path) -> None:
    with (
        feeding([patches((640, 480))], tmp_path),
        vcam((1280, 720), *THROUGH, folder=tmp_path),
        Reader(VIRTUAL) as reader,
    ):
        wait_for(lambda: worst_patch(reader.image()[:, 160:1120]) < DEVICE_COLOUR)
        image = reader.image()
    assert image.shape == (720, 1280, 3)
    assert image[:, :156].max() <= DEVICE_COLOUR and image[:, 1124:].max() <= DEVICE_COLOUR


def test_a_reader_that_stays_keeps_its_size(tmp_path: Path) -> None:
    """v4l2loopback cannot change it while a reader from before the restart holds the device."""
    with feeding([patches((640, 480))], tmp_path):
        with vcam((320, 240), *THROUGH, folder=tmp_path):
            reader = Reader(VIRTUAL)
            wait_for(lambda: sees(reader, (320, 240)))
        with vcam((640, 480), *THROUGH, folder=tmp_path):
            wait_for(lambda: sees(reader, (320, 240)))
            reader.close()
        with vcam((640, 480), *THROUGH, folder=tmp_path), Reader(VIRTUAL) as later:
            wait_for(lambda: sees(later, (640, 480)))


@pytest.mark.parametrize("fourcc", ["NV12", "YUYV", "UYVY"])
def test_other_formats_of_the_device_have_the_same_colours(
    fourcc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vcam_relight.vcam.devices.loopback.FORMATS", {fourcc: fourcc})
    size = (320, 240)
    sink = VirtualCameraSink(size, 30.0, LABEL)
    sink.open()
    frame = Frame(patches(size), 0.0, 0)
    read = [*FFMPEG, "-f", "v4l2", "-i", VIRTUAL, "-frames:v", "3", *ACCURATE]
    seen = tmp_path / "seen"
    with subprocess.Popen([*read, "-pix_fmt", "bgr24", "-f", "rawvideo", str(seen)]) as ffmpeg:
        while ffmpeg.poll() is None:
            sink.write(ProcessedFrame(frame, frame, 0))
            time.sleep(0.03)
    sink.close()
    image = np.fromfile(seen, np.uint8).reshape(-1, *size[::-1], 3)[-1]
    assert worst_patch(image) <= DEVICE_COLOUR


def test_a_second_start_fails_in_one_line_and_a_later_one_works(tmp_path: Path) -> None:
    """Also after a crash: pyvirtualcam's second start with exclusive_caps=1 needs the module loaded
    anew."""
    args = ("--source", "demo", "--sink", f"device:{LABEL}", *THROUGH)
    with feeding([patches((640, 480))], tmp_path):
        for end in ("crash", "stop"):
            folder = tmp_path / end
            (folder / "second").mkdir(parents=True)
            with vcam((640, 480), *THROUGH, folder=folder) as first:
                with Reader(VIRTUAL) as reader:
                    wait_for(lambda reader=reader: sees(reader, (640, 480)))
                    second = GuestProgram(*args, folder=folder / "second")
                    assert second.process.wait(PATIENCE_S) == 1
                    complaint = second.said.splitlines()[-1]
                    assert complaint.startswith(f"vcam: {VIRTUAL} is in use by another program")
                    wait_for(lambda reader=reader: sees(reader, (640, 480)))
                if end == "crash":
                    first.crash()
