"""The virtual camera sink against a registered pyvirtualcam backend, and the letterbox.

tests/guest has the tests against v4l2loopback.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvirtualcam
from pyvirtualcam.camera import BACKENDS
from pyvirtualcam.util import encode_fourcc

from support.stand_ins import NumberedSource, wait_for
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.vcam.core.errors import SinkError, UsageError
from vcam_relight.vcam.core.frame import Frame, VideoMode
from vcam_relight.vcam.devices.consumers import ConsumerMonitor
from vcam_relight.vcam.media.letterbox import Letterbox, even
from vcam_relight.vcam.settings.store import Settings, SettingsStore
from vcam_relight.vcam.sinks import ProcessedFrame
from vcam_relight.vcam.sinks.registry import open_sink
from vcam_relight.vcam.sinks.virtual_camera import VirtualCameraSink
from vcam_relight.vcam.stream.loop import FrameLoop

YCBCR_LEVELS = 2
"""Of 255, between a colour's BT.601 code and what a virtual camera is given: OpenCV's fixed-point
matrix rounds, and RGB primaries are not whole numbers there."""

# (B, G, R) and the (Y, Cb, Cr) of ITU-R BT.601, limited range
COLOURS = {
    "white": ((255, 255, 255), (235, 128, 128)),
    "black": ((0, 0, 0), (16, 128, 128)),
    "red": ((0, 0, 255), (81, 90, 240)),
    "green": ((0, 255, 0), (145, 54, 34)),
    "blue": ((255, 0, 0), (41, 240, 110)),
}


class FakeBackend:
    """A virtual camera device in memory."""

    native = pyvirtualcam.PixelFormat.I420
    fail_open = ""
    fail_send = ""
    sent: list[np.ndarray[Any, Any]]
    formats: list[int]
    opened_size = (0, 0)

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None):
        if self.fail_open:
            raise RuntimeError(self.fail_open)
        self.name = device or "/dev/video42"
        type(self).opened_size = (width, height)
        type(self).formats = [*type(self).formats, fourcc]

    def close(self) -> None:
        pass

    def send(self, frame: np.ndarray[Any, Any]) -> None:
        if self.fail_send:
            raise RuntimeError(self.fail_send)
        assert frame.ndim == 1 and frame.dtype == np.uint8 and frame.flags.c_contiguous
        self.sent.append(frame.copy())

    def device(self) -> str:
        return self.name

    def native_fourcc(self) -> int:
        fourcc: int = encode_fourcc(self.native.value)
        return fourcc


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeBackend]]:
    """The only backend there is."""

    class RecordingBackend(FakeBackend):
        sent: list[np.ndarray[Any, Any]] = []  # noqa: RUF012 (one a test)
        formats: list[int] = []  # noqa: RUF012

    before = dict(BACKENDS)
    BACKENDS.clear()
    pyvirtualcam.register_backend("fake", RecordingBackend)
    monkeypatch.setattr("sys.platform", "win32")  # on Linux the sink needs no library
    yield RecordingBackend
    BACKENDS.clear()
    BACKENDS.update(before)


def delivery(image: BgrImage) -> ProcessedFrame:
    frame = Frame(image, time.perf_counter(), 0)
    return ProcessedFrame(frame, frame, 1)


def split(raw: np.ndarray[Any, Any], name: str, width: int, height: int) -> BgrImage:
    """What a reader sees: `(h, w, 3)` Y Cb Cr (or R G B) with chroma at each pixel."""
    if name == "RGBA":
        assert (raw.reshape(height, width, 4)[..., 3] == 255).all()
        return raw.reshape(height, width, 4)[..., :3]
    if name in ("UYVY", "YUYV"):
        pairs = raw.reshape(height, width // 2, 4)
        order = (1, 3, 0, 2) if name == "UYVY" else (0, 2, 1, 3)
        y0, y1, cb, cr = (pairs[..., i] for i in order)
        luma = np.stack([y0, y1], axis=-1).reshape(height, width)
        return np.stack([luma, cb.repeat(2, 1), cr.repeat(2, 1)], axis=-1)
    luma = raw[: width * height].reshape(height, width)
    rest = raw[width * height :]
    if name == "NV12":
        cb, cr = rest[0::2], rest[1::2]
    else:
        cb, cr = rest[: rest.size // 2], rest[rest.size // 2 :]
    planes = [
        plane.reshape(height // 2, width // 2).repeat(2, 0).repeat(2, 1) for plane in (cb, cr)
    ]
    return np.stack([luma, *planes], axis=-1)


@pytest.mark.parametrize("name", ["I420", "NV12", "UYVY", "YUYV", "RGBA"])
def test_colours_arrive_in_each_native_format(backend: type[FakeBackend], name: str) -> None:
    backend.native = pyvirtualcam.PixelFormat[name]
    width, height = 80, 32
    image = np.zeros((height, width, 3), np.uint8)
    for i, (bgr, _) in enumerate(COLOURS.values()):
        image[:, 16 * i : 16 * (i + 1)] = bgr
    sink = VirtualCameraSink((width, height), 30.0)
    sink.open()
    for _ in range(2):  # the buffer is used again
        sink.write(delivery(image))
    sink.close()
    assert backend.formats[-1] == encode_fourcc(backend.native.value)  # nothing left to convert
    seen = split(backend.sent[-1], name, width, height).astype(int)
    for i, (bgr, ycbcr) in enumerate(COLOURS.values()):
        expected = bgr[::-1] if name == "RGBA" else ycbcr
        patch = seen[4:-4, 16 * i + 4 : 16 * i + 12]
        assert np.abs(patch - expected).max() <= YCBCR_LEVELS, list(COLOURS)[i]


def test_upper_and_lower_halves_are_not_swapped(backend: type[FakeBackend]) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32] = (0, 0, 255)
    sink = VirtualCameraSink((64, 64), 30.0)
    sink.open()
    sink.write(delivery(image))
    seen = split(backend.sent[-1], "I420", 64, 64).astype(int)
    assert np.abs(seen[:28] - (81, 90, 240)).max() <= YCBCR_LEVELS
    assert np.abs(seen[36:] - (16, 128, 128)).max() <= YCBCR_LEVELS


def test_other_shapes_get_bars_and_odd_sizes_become_even(backend: type[FakeBackend]) -> None:
    sink = VirtualCameraSink((161, 91), 30.0)
    sink.open()
    assert backend.opened_size == (160, 90)
    sink.write(delivery(np.full((91, 91, 3), 255, np.uint8)))
    luma = split(backend.sent[-1], "I420", 160, 90)[..., 0].astype(int)
    assert np.abs(luma[:, :34] - 16).max() <= YCBCR_LEVELS
    assert np.abs(luma[:, -34:] - 16).max() <= YCBCR_LEVELS
    assert np.abs(luma[:, 36:124] - 235).max() <= YCBCR_LEVELS
    sink.write(delivery(np.full((91, 161, 3), 255, np.uint8)))  # no bars of the last image stay
    luma = split(backend.sent[-1], "I420", 160, 90)[..., 0].astype(int)
    assert np.abs(luma[2:-2] - 235).max() <= YCBCR_LEVELS


def test_letterbox_keeps_a_circle_round() -> None:
    y, x = np.mgrid[:300, :200]
    disc = ((x - 100) ** 2 + (y - 150) ** 2 < 80**2)[..., None].repeat(3, 2)
    fitted = Letterbox((640, 360)).fit(np.where(disc, 255, 0).astype(np.uint8))
    rows, columns = np.nonzero(fitted[..., 0] > 127)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 2
    assert abs(np.ptp(rows) - 160 * 360 / 300) <= 3


def test_letterbox_leaves_an_image_that_fits_alone() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    assert Letterbox((64, 48)).fit(image) is image
    assert even((1, 7)) == (2, 6)
    assert Letterbox((64, 48)).fit(np.zeros((1, 8000, 3), np.uint8)).shape == (48, 64, 3)


def test_device_that_fails_and_comes_back_does_not_stop_the_stream(
    backend: type[FakeBackend],
) -> None:
    settings = SettingsStore(load_presets()[0], Settings("off", engine="passthrough"))
    sink = VirtualCameraSink((64, 48), 30.0)
    backend.fail_open = "the virtual camera is not installed"

    from vcam_relight.pipeline.engines.passthrough import PassthroughEngine
    from vcam_relight.pipeline.relighter import Relighter

    loop = FrameLoop(
        NumberedSource(), lambda engine: Relighter(PassthroughEngine()), settings, [sink]
    )
    loop.start()
    try:
        wait_for(lambda: loop.status().state == "degraded")
        assert "OBS Studio" in loop.status().reason
        assert not sink.has_consumers
        backend.fail_open = ""
        wait_for(lambda: len(backend.sent) > 3)
        wait_for(lambda: loop.problem == "")
        backend.fail_send = "unplugged"
        wait_for(lambda: "unplugged" in loop.problem)
        backend.fail_send = ""
        count = len(backend.sent)
        wait_for(lambda: len(backend.sent) > count + 3)
        wait_for(lambda: loop.problem == "")
    finally:
        loop.stop()
    assert loop.problem == ""


def test_auto_falls_back_to_the_preview_and_device_insists(
    backend: type[FakeBackend], caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_sink("device:Other Camera", VideoMode((64, 48), 30.0))
    assert opened is not None and opened.has_consumers and opened.device == "Other Camera"
    opened.close()
    assert not opened.has_consumers
    backend.fail_open = "no camera found"
    assert open_sink("auto", VideoMode((64, 48), 30.0)) is None
    assert "no camera found" in caplog.text and "OBS Studio" in caplog.text
    with pytest.raises(SinkError, match="could be opened") as caught:
        open_sink("device", VideoMode((64, 48), 30.0))
    assert caught.value.hint
    assert open_sink("none", VideoMode((64, 48), 30.0)) is None
    for wrong in ("", "device:", "none:x", "obs"):
        with pytest.raises(UsageError):
            open_sink(wrong, VideoMode((64, 48), 30.0))


def test_without_pyvirtualcam_the_mend_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setitem(__import__("sys").modules, "pyvirtualcam", None)
    with pytest.raises(SinkError) as caught:
        VirtualCameraSink((64, 48), 30.0).open()
    assert caught.value.hint == "pip install pyvirtualcam"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's virtual camera")
def test_linux_without_a_virtual_camera_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vcam_relight.vcam.devices.loopback.list_virtual_cameras", list)
    assert open_sink("auto", VideoMode((64, 48), 30.0)) is None
    assert "exclusive_caps=1" in caplog.text
    plain = tmp_path / "plain"
    plain.touch()
    for wish, problem in {
        "device": "there is no virtual camera; `vcam setup` prints the commands",
        "device:vcam": "there is no virtual camera 'vcam'",
        f"device:{plain}": "plain is no virtual camera",
    }.items():
        with pytest.raises(SinkError, match=problem):
            open_sink(wish, VideoMode((64, 48), 30.0))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's virtual camera")
def test_open_files_tell_readers_from_those_who_only_list_cameras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vcam_relight.vcam.devices.consumers.SETTLE_S", 0.2)
    monkeypatch.setattr("vcam_relight.vcam.devices.consumers.is_host_device", lambda path: True)
    device = tmp_path / "video10"  # inotify sees a plain file's openers as it sees a device's
    device.touch()
    with device.open("rb") as writer:
        readers = ConsumerMonitor(writer.fileno(), device)
        for _ in range(3):
            device.open("rb").close()
        time.sleep(0.3)
        assert not readers.present
        with device.open("rb"), device.open("rb"):
            assert not readers.present
            wait_for(lambda: readers.present)
        assert not readers.present
        other = subprocess.Popen(["sleep", "60"], stdin=device.open("rb"))
        try:
            wait_for(lambda: readers.present)
            readers.close()
            readers = ConsumerMonitor(writer.fileno(), device)  # it was there before
            wait_for(lambda: readers.present)
        finally:
            other.kill()
            other.wait()
        wait_for(lambda: not readers.present)
        readers.close()
        assert not readers.present


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's virtual camera")
@pytest.mark.parametrize("at_once", [True, False])
def test_readers_are_known_although_inotify_tells_equal_events_as_one(
    at_once: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vcam_relight.vcam.devices.consumers.SETTLE_S", 0.05)
    monkeypatch.setattr("vcam_relight.vcam.devices.consumers.is_host_device", lambda path: True)
    device = tmp_path / "video10"
    device.touch()

    def reader(descriptors: int) -> "subprocess.Popen[bytes]":
        opened = []
        for _ in range(descriptors):
            opened.append(device.open("rb"))
            if not at_once:
                _ = readers.present  # it looks between two events
        process = subprocess.Popen(["sleep", "60"], pass_fds=[file.fileno() for file in opened])
        for file in opened:
            file.close()  # it is the process's now
        return process

    with device.open("rb") as writer:
        readers = ConsumerMonitor(writer.fileno(), device)
        one, two = reader(2), reader(1)
        try:
            wait_for(lambda: readers.present)
            two.kill()
            two.wait()
            time.sleep(0.2)
            assert readers.present, "the other one reads"
        finally:
            one.kill(), one.wait(), two.kill(), two.wait()
        wait_for(lambda: not readers.present)
        readers.close()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's virtual camera")
def test_a_containers_own_device_file_counts_as_read(tmp_path: Path) -> None:
    device = tmp_path / "video10"
    device.touch()
    with device.open("rb") as writer:
        assert ConsumerMonitor(writer.fileno(), device).present


def test_between_frames_the_last_is_repeated_and_then_a_placeholder(
    backend: type[FakeBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vcam_relight.vcam.sinks.virtual_camera.REPEAT_S", 0.2)
    sink = VirtualCameraSink((160, 120), 30.0)
    sink.open()
    sink.fill()
    placeholder = backend.sent[-1]
    assert np.ptp(placeholder[: 160 * 120]) > 50  # it says something
    sink.write(delivery(np.full((120, 160, 3), 200, np.uint8)))
    image = backend.sent[-1]
    sink.fill()
    assert (backend.sent[-1] == image).all()
    time.sleep(0.25)
    sink.fill()
    assert (backend.sent[-1] == placeholder).all()
