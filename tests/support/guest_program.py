"""The program under test, as its users start it, and those who look at its virtual camera."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.devices.loopback import LoopbackOutput
from vcam_relight.vcam.devices.v4l2 import CAPTURE, query_capability

ROOT = Path(__file__).parent.parent.parent
WEBCAM = os.environ.get("WEBCAM_DEVICE", "")
VIRTUAL = os.environ.get("VCAM_DEVICE", "")
FED = os.environ.get("FED_DEVICE", "")
LABEL = os.environ.get("VCAM_LABEL", "")
FFMPEG = ["ffmpeg", "-v", "error"]
ACCURATE = ["-sws_flags", "accurate_rnd+full_chroma_int"]
"""Its quick conversions are off by up to five levels, on their own."""
CALM_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
"""A fresh page costs the guest 46 us, a hundred times what it costs a real machine: 10 ms for a
image. So malloc keeps what it has."""
WEBCAM_ARGS = (
    *("--source", "camera:" + WEBCAM.removeprefix("/dev/video")),
    *("--sink", f"device:{LABEL}", "--size", "640x480", "--engine", "passthrough"),
)
DARK_S = 5.0
"""Within that time the light must go out."""
PATIENCE_S = 60.0
"""How long a test waits for what must happen; it passes as soon as it does."""


def wait_for(what: Callable[[], Any], timeout: float = PATIENCE_S) -> float:
    """Seconds until `what()` was true; fails the test after `timeout` seconds."""
    start = time.monotonic()
    while not what():
        assert time.monotonic() - start < timeout, "it did not happen"
        time.sleep(0.02)
    return time.monotonic() - start


class GuestProgram:
    """`vcam run` in a process of its own."""

    def __init__(self, *args: str, folder: Path, start: tuple[str, ...] = ("run_vcam.py",)) -> None:
        """
        Args:
            args: what follows `vcam run`.
            folder: an empty one, for its settings and what it says.
            start: what Python runs.
        """
        self.crashed = False
        self.log = folder / "log"
        command = [sys.executable, *start, "-v", "run", "--no-browser", "--port", "0", *args]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | CALM_MALLOC | {"XDG_CONFIG_HOME": str(folder / "config")},
            )

    @property
    def said(self) -> str:
        """What it has printed and logged so far."""
        return self.log.read_text()

    @property
    def panel(self) -> str:
        """Its panel's address, with the token."""
        wait_for(lambda: "panel: " in self.said or self.process.poll() is not None)
        found = re.search(r"panel: (\S+)", self.said)
        assert found, self.said
        return found[1]

    def holds(self, device: str) -> bool:
        """Whether it has a device open: while a webcam is held its light is on."""
        links = []
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(str(link.readlink()))
        return device in links

    @property
    def files(self) -> int:
        """How many descriptors it has."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def memory(self) -> int:
        """Its resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def choose(self, **changes: object) -> None:
        """Changes settings, as its panel does."""
        address, token = self.panel.split("#token=")
        request = urllib.request.Request(
            f"{address}api/settings",
            json.dumps(changes).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            assert answer.status == 200

    def stop(self) -> int:
        """Asks it to end, and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def crash(self) -> None:
        """Ends it without a chance to clean up."""
        self.crashed = True
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(*args: str, folder: Path, **how: Any) -> Iterator[GuestProgram]:
    """A program that has printed its panel's address; it must end cleanly,
    unless the test makes it crash."""
    program = GuestProgram(*args, folder=folder, **how)
    try:
        assert program.panel
        yield program
        assert program.crashed or program.stop() == 0
    except BaseException:
        print(program.said)
        raise
    finally:
        program.process.kill()
        program.process.wait()


@contextlib.asynccontextmanager
async def panel_of(program: GuestProgram) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """The connection that the program's panel uses."""
    address, token = program.panel.split("#token=")
    protocols = ("vcam", f"token.{token}")
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{address}ws", protocols=protocols, max_msg_size=0) as panel,
    ):
        yield panel


class Reader:
    """Another program's view of a camera, through OpenCV."""

    def __init__(self, device: str, size: tuple[int, int] | None = None) -> None:
        self._capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        assert self._capture.isOpened(), device
        if size is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])

    def image(self) -> BgrImage:
        """The next image, BGR."""
        ok, image = self._capture.read()
        assert ok
        return np.asarray(image, np.uint8)

    def fps(self, count: int = 90) -> float:
        """Images per second that come out, over `count` images."""
        self.image()
        start = time.monotonic()
        for _ in range(count):
            self.image()
        return count / (time.monotonic() - start)

    def close(self) -> None:
        self._capture.release()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def feeding(images: list[BgrImage], folder: Path, pixels: str = "yuv420p") -> Iterator[None]:
    """ffmpeg plays images at 30 fps into the camera `FED`, over and over."""
    height, width = images[0].shape[:2]
    raw = ["-f", "rawvideo", "-video_size", f"{width}x{height}"]
    clip = folder / "fed"
    made = [*FFMPEG, *raw, "-pix_fmt", "bgr24", "-i", "-", *ACCURATE, "-pix_fmt", pixels]
    subprocess.run(
        [*made, "-f", "rawvideo", str(clip)], input=np.stack(images).tobytes(), check=True
    )
    play = ["-framerate", "30", "-re", "-stream_loop", "-1", "-pix_fmt", pixels, "-i", str(clip)]
    release(FED)
    player = subprocess.Popen([*FFMPEG, *raw, *play, "-f", "v4l2", FED])
    try:
        wait_for(lambda: captures(FED))
        yield
    finally:
        player.kill()
        player.wait()


def release(device: str) -> None:
    """Frees a device that ffmpeg or pyvirtualcam wrote to (`vcam.devices.loopback` says why)."""
    LoopbackOutput(device, "", (640, 480), 30.0).close()


def captures(device: str) -> bool:
    """Whether programs that look for cameras see this device as one."""
    capability = query_capability(Path(device))
    return capability is not None and bool(capability.flags & CAPTURE)


def is_live(image: BgrImage) -> bool:
    """Whether this is the webcam's test pattern, which is bright, and not the dark placeholder."""
    return float(np.mean(image)) > 80


def see_live(reader: Reader) -> int:
    """How many images came before the webcam's."""
    return next(count for count in range(100) if is_live(reader.image()))


def ffmpeg_images(device: str, count: int) -> list[BgrImage]:
    """Images of a camera as ffmpeg sees them, BGR."""
    show = ["ffprobe", "-v", "error", "-f", "v4l2", "-show_entries", "stream=width,height"]
    size = _output([*show, "-of", "csv=p=0", device]).decode().strip()
    width, height = (int(number) for number in size.split(","))
    read = [*FFMPEG, "-f", "v4l2", "-i", device, "-fps_mode", "passthrough"]
    made = ["-frames:v", str(count), *ACCURATE, "-pix_fmt", "bgr24", "-f", "rawvideo", "-"]
    raw = _output([*read, *made])
    return list(np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3))


def _output(command: list[str]) -> bytes:
    return subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE_S, check=True).stdout
