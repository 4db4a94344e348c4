"""The virtual cameras of Windows and macOS, with backends registered under pyvirtualcam's names.

They behave as its own do there: formats, device names, what they refuse and in which words.
"""

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import pyvirtualcam
from pyvirtualcam import PixelFormat
from pyvirtualcam.camera import BACKENDS
from pyvirtualcam.util import encode_fourcc

from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.core.frame import Frame, VideoMode
from vcam_relight.vcam.doctor.other_systems import check_virtual_camera, virtual_camera_name
from vcam_relight.vcam.doctor.system import System
from vcam_relight.vcam.sinks import ProcessedFrame
from vcam_relight.vcam.sinks.registry import open_sink

OBS, UNITY = "OBS Virtual Camera", "Unity Video Capture"
SIZE = (64, 48)
RED = (0, 0, 255)


class NativeFormatBackend:
    """A virtual camera that takes its native format alone: another would cost a conversion."""

    names: tuple[str, ...] = (OBS,)
    native = PixelFormat.NV12
    installed = True
    busy = False
    sent: list[np.ndarray[Any, Any]]

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None):
        if device is not None and device not in self.names:
            raise ValueError(f"This backend supports only the '{OBS}' device.")
        if not self.installed:
            raise RuntimeError("OBS Virtual Camera device not found! Did you install OBS?")
        if self.busy:
            raise RuntimeError("virtual camera output could not be started")
        self.fourcc = fourcc
        self.name = device or self.names[0]

    def close(self) -> None:
        """Nothing to let go of."""

    def send(self, frame: np.ndarray[Any, Any]) -> None:
        """Keeps what was sent."""
        assert self.fourcc == encode_fourcc(self.native.value)
        self.sent.append(frame.copy())

    def device(self) -> str:
        """As other programs list it."""
        return self.name

    def native_fourcc(self) -> int:
        """What it takes without converting."""
        fourcc: int = encode_fourcc(self.native.value)
        return fourcc


@pytest.fixture(autouse=True)
def no_backends() -> Iterator[None]:
    """Only those that a test registers."""
    before = dict(BACKENDS)
    BACKENDS.clear()
    yield
    BACKENDS.clear()
    BACKENDS.update(before)


def windows(
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[type[NativeFormatBackend], type[NativeFormatBackend]]:
    """OBS's and UnityCapture's backends, in pyvirtualcam's order."""
    monkeypatch.setattr(sys, "platform", "win32")
    obs = type("Obs", (NativeFormatBackend,), {"sent": []})
    more = {"sent": [], "names": (UNITY, f"{UNITY} #2"), "native": PixelFormat.RGBA}
    unity = type("Unity", (NativeFormatBackend,), more)
    pyvirtualcam.register_backend("obs", obs)
    pyvirtualcam.register_backend("unitycapture", unity)
    return obs, unity


def macos(monkeypatch: pytest.MonkeyPatch) -> type[NativeFormatBackend]:
    """OBS's backend."""
    monkeypatch.setattr(sys, "platform", "darwin")
    obs = type("Obs", (NativeFormatBackend,), {"sent": [], "native": PixelFormat.UYVY})
    pyvirtualcam.register_backend("obs", obs)
    return obs


def send_red(wish: str) -> str:
    """Sends a red image to the camera that is wished for; returns its name."""
    sink = open_sink(wish, VideoMode(SIZE, 30.0))
    assert sink is not None
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    image[:] = RED
    frame = Frame(image, time.perf_counter(), 0)
    sink.write(ProcessedFrame(frame, frame, 1))
    name = sink.device
    sink.close()
    return name


def near(values: np.ndarray[Any, Any], expected: tuple[int, ...]) -> bool:
    """Within a level of rounding."""
    return bool((abs(values.astype(int) - expected) <= 1).all())


def test_windows_writes_obs_camera_in_nv12(monkeypatch: pytest.MonkeyPatch) -> None:
    obs, unity = windows(monkeypatch)
    assert send_red("auto") == OBS
    raw = obs.sent[-1]  # after the placeholder
    luma = SIZE[0] * SIZE[1]
    assert near(raw[:luma], (81,)) and near(raw[luma:].reshape(-1, 2), (90, 240))
    assert not unity.sent


def test_windows_writes_unitycapture_by_its_name_in_rgba(monkeypatch: pytest.MonkeyPatch) -> None:
    obs, unity = windows(monkeypatch)
    assert send_red(f"device:{UNITY} #2") == f"{UNITY} #2"
    raw = unity.sent[-1]  # after the placeholder
    assert near(raw.reshape(-1, 4), (255, 0, 0, 255))
    assert not obs.sent


def test_windows_takes_unitycapture_while_obs_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    obs, _ = windows(monkeypatch)
    obs.busy = True
    assert send_red("device") == UNITY


def test_macos_writes_obs_camera_in_uyvy(monkeypatch: pytest.MonkeyPatch) -> None:
    obs = macos(monkeypatch)
    assert send_red(f"device:{OBS}") == OBS
    raw = obs.sent[-1]  # after the placeholder
    assert near(raw.reshape(-1, 4), (90, 81, 240, 81))


def test_an_unknown_name_is_told_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    windows(monkeypatch)
    with pytest.raises(SinkError, match="Webcam 3000 could not be opened"):
        open_sink("device:Webcam 3000", VideoMode(SIZE, 30.0))


@pytest.mark.parametrize(
    ("fault", "hint"), [("installed", "install OBS Studio"), ("busy", "close OBS")]
)
def test_the_doctor_names_the_mend_on_windows(
    monkeypatch: pytest.MonkeyPatch, fault: str, hint: str
) -> None:
    obs, _ = windows(monkeypatch)
    system = System(platform="win32")
    assert (
        check_virtual_camera(system, virtual_camera_name).detail
        == f"choose '{OBS}' in other programs"
    )
    del BACKENDS["unitycapture"]
    setattr(obs, fault, fault == "busy")
    check = check_virtual_camera(system, virtual_camera_name)
    assert check.level == "warn" and hint in check.hint
