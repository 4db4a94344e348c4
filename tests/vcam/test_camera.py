"""The webcam source; only `cv2.VideoCapture` is stood in for, there is no camera here."""

import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import vcam_relight.vcam.sources.camera as camera_module
from support.stand_ins import KeepingSink, MarkingRelighter, wait_for
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.vcam.core.errors import InputError, SourceError, SourceLost, UsageError
from vcam_relight.vcam.core.frame import VideoMode
from vcam_relight.vcam.devices.listing import CameraDevice, v4l2_devices
from vcam_relight.vcam.devices.v4l2 import Capability
from vcam_relight.vcam.settings.store import Settings, SettingsStore
from vcam_relight.vcam.sources.camera import CameraSource, open_capture
from vcam_relight.vcam.sources.registry import open_source
from vcam_relight.vcam.stream.loop import FrameLoop

MODE = VideoMode((640, 480), 30.0)
MODES = [(640, 480), (1280, 720), (1920, 1080)]


class FakeCapture:
    """A webcam driver: takes the nearest of its modes, MJPG or not."""

    def __init__(self) -> None:
        self.size = MODES[0]
        self.wished: dict[int, float] = {}
        self.order: list[int] = []
        self.opened = True
        self.failing = 0.0
        """So many reads."""
        self.released = 0
        self.make: Callable[[int, int], np.ndarray[Any, Any]] = lambda w, h: np.full(
            (h, w, 3), 90, np.uint8
        )

    def isOpened(self) -> bool:
        return self.opened

    def set(self, prop: int, value: float) -> bool:
        self.order.append(prop)
        self.wished[prop] = value
        width = self.wished.get(cv2.CAP_PROP_FRAME_WIDTH, 640)
        self.size = min(MODES, key=lambda mode: abs(mode[0] - width))
        return True

    def get(self, prop: int) -> float:
        return self.wished.get(prop, 0.0)

    def read(self) -> tuple[bool, Any]:
        time.sleep(0.005)
        if self.failing:
            self.failing -= 1
            return False, None
        return True, self.make(*self.size)

    def release(self) -> None:
        self.released += 1


def no_node(index: int) -> Path | None:
    return None


def source_of(capture: FakeCapture, node: Callable[[int], Path | None] = no_node) -> CameraSource:
    return CameraSource(0, (1000, 600), 30.0, "Fake", lambda index: capture, node)


def test_asks_for_mjpg_before_the_size_and_takes_the_nearest_mode() -> None:
    capture = FakeCapture()
    source = source_of(capture)
    source.open()
    source.open()  # a second time does nothing
    frames = [source.read() for _ in range(3)]
    source.close()
    source.close()
    assert capture.order.index(cv2.CAP_PROP_FOURCC) < capture.order.index(cv2.CAP_PROP_FRAME_WIDTH)
    assert capture.wished[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")
    assert capture.wished[cv2.CAP_PROP_FPS] == 30.0
    assert [frame.image.shape for frame in frames if frame] == [(720, 1280, 3)] * 3
    stamps = [frame.pts for frame in frames if frame]
    assert stamps == sorted(set(stamps))
    assert capture.released == 1
    assert source.read() is None


def test_can_be_opened_again_at_once() -> None:
    source = source_of(FakeCapture())
    for _ in range(50):
        source.open()
        assert source.read() is not None
        source.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda w, h: np.full((h, w), 90, np.uint8),
        lambda w, h: np.full((h, w, 1), 90, np.uint8),
        lambda w, h: np.full((h, w), 90 * 257, np.uint16),
        lambda w, h: np.full((h, w, 4), 90, np.uint8),
        lambda w, h: np.tile(np.array([93, 128], np.uint8), (h, w, 1)),  # YUYV, Y 93 is grey 90
    ],
    ids=["grey", "grey, one channel", "grey of 16 bits", "BGRA", "YUYV"],
)
def test_other_pixel_formats_become_bgr(make: Callable[[int, int], np.ndarray[Any, Any]]) -> None:
    capture = FakeCapture()
    capture.make = make
    source = source_of(capture)
    source.open()
    frame = source.read()
    source.close()
    assert frame is not None and frame.image.dtype == np.uint8
    assert frame.image.shape == (720, 1280, 3)
    assert np.abs(frame.image.astype(int) - 90).max() <= 1


def test_camera_that_hangs_while_opening_is_reported_and_not_opened_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(camera_module, "OPEN_TIMEOUT_S", 0.2)
    free, capture, tries = threading.Event(), FakeCapture(), []

    def hang(index: int) -> FakeCapture:
        tries.append(index)
        free.wait()
        return capture

    source = CameraSource(0, (640, 480), 30.0, opener=hang, node=no_node)

    def opens() -> bool:
        try:
            source.open()
        except SourceError:
            return False
        return True

    for _ in range(3):
        with pytest.raises(SourceError, match="camera 0 is busy or not answering; close"):
            source.open()
    wait_for(lambda: len(tries) == 1)
    monkeypatch.setattr(camera_module, "OPEN_TIMEOUT_S", 30.0)
    free.set()
    wait_for(lambda: capture.released == 1)  # what came too late is let go
    wait_for(opens)  # once the first attempt has let go
    assert len(tries) == 2
    assert source.read() is not None
    source.close()


def test_close_ends_a_hanging_open() -> None:
    began, free = threading.Event(), threading.Event()

    def hang(index: int) -> FakeCapture:
        began.set()
        free.wait()
        return FakeCapture()

    source = CameraSource(0, (640, 480), 30.0, opener=hang, node=no_node)
    opening = threading.Thread(target=source.open, daemon=True)
    opening.start()
    assert began.wait(30)
    source.close()
    opening.join(5)
    assert not opening.is_alive()
    free.set()


def test_missing_camera_is_named(tmp_path: Path) -> None:
    capture = FakeCapture()
    capture.opened = False
    with pytest.raises(SourceError, match="is missing"):
        source_of(capture, lambda index: tmp_path / "video0").open()
    assert capture.released == 1
    (tmp_path / "video0").touch()
    with pytest.raises(SourceError, match="busy"):
        source_of(capture, lambda index: tmp_path / "video0").open()


def test_one_bad_frame_is_skipped_and_silence_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "READ_TIMEOUT_S", 0.3)
    capture = FakeCapture()
    source = source_of(capture)
    source.open()
    capture.failing = 3
    assert source.read() is not None
    assert not capture.failing
    capture.failing = math.inf
    with pytest.raises(SourceLost, match="gives no pictures"):
        source.read()
    source.close()


def test_unplugged_camera_that_goes_on_reading_is_noticed_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "NODE_CHECK_S", 0.05)
    node = tmp_path / "video0"
    node.touch()
    captures: list[FakeCapture] = []

    def plug(index: int) -> FakeCapture:
        captures.append(FakeCapture())
        captures[-1].opened = node.exists()
        return captures[-1]

    source = CameraSource(0, (640, 480), 30.0, opener=plug, node=lambda index: node)
    sink = KeepingSink()
    settings = SettingsStore(load_presets()[0], Settings("off"))
    loop = FrameLoop(source, lambda engine: MarkingRelighter(), settings, [sink])
    loop.start()
    try:
        wait_for(lambda: len(sink.kept) > 3)
        node.unlink()  # and read() still succeeds
        wait_for(lambda: "unplugged" in loop.problem or "missing" in loop.problem)
        wait_for(lambda: captures[0].released == 1)
        node.touch()
        count = len(sink.kept)
        wait_for(lambda: len(sink.kept) > count + 3)
        assert loop.problem == ""
    finally:
        loop.stop()
    assert all(capture.released == 1 for capture in captures)
    stamps = [delivery.output.pts for delivery in sink.kept]
    assert stamps == sorted(set(stamps))


def test_a_camera_that_comes_back_under_another_number_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [CameraDevice(0, "Webcam", ""), CameraDevice(1, "Other", "")]
    monkeypatch.setattr(camera_module, "list_cameras", lambda: found)
    opened: list[int] = []

    def open_number(index: int) -> FakeCapture:
        opened.append(index)
        return FakeCapture()

    source = CameraSource(0, (640, 480), 30.0, "Webcam", open_number, no_node)
    for now, expected in (
        ([], 0),  # the system lists nothing: the number counts
        ([CameraDevice(0, "Other", ""), CameraDevice(4, "Webcam", "")], 4),
        (
            [CameraDevice(2, "Webcam", ""), CameraDevice(4, "Webcam", "")],
            4,
        ),  # two of a kind: it stays
    ):
        found[:] = now
        source.open()
        source.close()
        assert opened[-1] == expected
    assert source.label == "camera 4 (Webcam)"


def test_opencv_gives_up_on_a_silent_v4l2_camera_in_time() -> None:
    assert float(os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"]) <= 2.0


@pytest.mark.skipif(Path("/dev/video99").exists(), reason="there is a camera 99")
def test_the_real_opencv_reports_a_camera_that_is_not_there() -> None:
    with pytest.raises(SourceError, match="camera 99"):
        CameraSource(99, (640, 480), 30.0, opener=open_capture).open()


def test_v4l2_devices_tells_cameras_from_loopbacks_and_metadata(tmp_path: Path) -> None:
    kinds = {
        "video0": Capability("uvcvideo", "Webcam", 0x04200001),
        "video1": Capability("uvcvideo", "Webcam", 0x04A00000),  # its metadata node
        "video2": Capability("v4l2 loopback", "vcam", 0x05200002),
        "video3": Capability("v4l2 loopback", "busy one", 0x05200001),
        "video10": Capability("vivid", "vivid", 0x05200001),
        "video11": None,
    }
    for name in kinds:
        (tmp_path / name).mkdir()
    (tmp_path / "video0" / "name").write_text("HD Webcam: HD Webcam\n")
    cameras, virtual = v4l2_devices(tmp_path, lambda node: kinds[node.name])
    assert [(c.index, c.name) for c in cameras] == [(0, "HD Webcam: HD Webcam"), (10, "vivid")]
    assert [(v.path, v.writable) for v in virtual] == [
        ("/dev/video2", True),
        ("/dev/video3", False),
    ]
    assert v4l2_devices(tmp_path / "none", lambda node: None) == ([], [])


def test_first_camera_that_works_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Some(CameraSource):
        def open(self) -> None:
            if "0" in self.label:
                raise SourceError("camera 0 is busy")

    monkeypatch.setattr(camera_module, "CameraSource", Some)
    found = [CameraDevice(0, "a", ""), CameraDevice(1, "b", "")]
    monkeypatch.setattr("vcam_relight.vcam.devices.listing.list_cameras", lambda: found)
    assert open_source(None, MODE).label == "camera 1 (b)"
    found.pop()
    with pytest.raises(SourceError, match=r"camera 0 is busy; .*--source demo"):
        open_source("camera", MODE)


def test_sources_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for wrong in ("camera:x", "camera:", ""):
        with pytest.raises(UsageError):
            open_source(wrong, MODE)
    with pytest.raises(InputError, match="there is no file"):
        open_source(str(tmp_path / "none.mp4"), MODE)
