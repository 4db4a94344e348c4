"""Runs the real frame loop, as fast as it goes or at a camera's pace, and takes the times.

A frame's way is the live one: JPEG as a webcam sends it -> source thread -> slot -> inference
thread -> slot -> sink thread that makes I420 as a virtual camera takes it. As fast as it goes, the
source gives a frame only when the slot before the inference is free, and the inference hands one on
only when the sink's slot is free, so that nothing is dropped and throughput is what is measured. At
a camera's pace nobody waits for anybody: what comes too late is dropped, as it is live.
"""

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.compositing.backdrop import KEEP
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.effort import FULL
from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.presets import Preset
from vcam_relight.pipeline.relighter import Relighter
from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.vcam.core.frame import TIME_BASE, Frame
from vcam_relight.vcam.media.letterbox import Letterbox
from vcam_relight.vcam.settings.store import Settings, SettingsStore
from vcam_relight.vcam.sinks import ProcessedFrame, Sink
from vcam_relight.vcam.sources import Source
from vcam_relight.vcam.sources.demo import demo_clip
from vcam_relight.vcam.stream.loop import FrameLoop

WARM_UP = 30
"""Frames before those that count: models load, trackers find the face, filters settle. No more
than those that count: an engine may take seconds for each."""

FPS = 30
_JPEG_QUALITY = 85
_STALL_S = 180.0
"""Without a frame taken or relit; the slowest engine takes a minute on a small, busy machine."""

Jpeg = NDArray[np.uint8]
Ms = dict[str, float]


@dataclass(frozen=True, slots=True)
class Result:
    """What one engine took; `p50` and `p99` in milliseconds."""

    fps: float
    cpu_ms: float
    """Processor time of the whole process over the frames that came out, user and system."""
    frame_ms: Ms
    """Work on one frame (decode, relight, convert), without waiting for slots."""
    age_ms: Ms
    """From the camera's JPEG to the converted frame, waiting included."""
    interval_ms: Ms
    """Between two frames handed out."""
    stages_ms: dict[str, Ms]
    drops: int
    """Of the frames that the camera made, those that did not come out."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def encoded_clip(size: tuple[int, int], most: int) -> list[Jpeg]:
    """The demo clip as a webcam would send it: `(N,)` uint8 JPEGs, `most` frames or fewer.

    Raises:
        VcamError: the clip is missing.
    """
    letterbox = Letterbox(size)
    jpegs = []
    with av.open(str(demo_clip())) as container:
        for frame in container.decode(video=0):
            image = letterbox.fit(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
            done, jpeg = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))
            if not done:
                raise VcamError("OpenCV encodes no JPEG", "run `vcam doctor`")
            jpegs.append(np.asarray(jpeg, np.uint8))
            if len(jpegs) == most:
                break
    return jpegs


def decoded(jpeg: Jpeg) -> BgrImage:
    """The image in one of a clip's JPEGs."""
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)


def measure(
    engine: Engine,
    clip: Sequence[Jpeg],
    frames: int,
    presets: Mapping[str, Preset],
    settings: Settings,
    pace: float | None = None,
) -> Result:
    """Runs up to `WARM_UP` frames and then `frames` that count, the clip again and again.

    Args:
        engine: what relights.
        clip: the camera's frames.
        frames: that the camera makes after the warm-up.
        presets: all that there are.
        settings: of the stream.
        pace: the camera's frames per second; None: as fast as they are taken.

    Raises:
        VcamError: the engine failed.
    """
    warm_up = min(WARM_UP, frames)
    total = warm_up + frames
    log = _Log(warm_up)
    source = _Clip(clip, total, pace, log)
    sink = _NullCamera(log)
    loop = FrameLoop(
        source,
        lambda name: _Paced(Relighter(engine), source, sink, log),
        SettingsStore(presets, settings),
        [sink],
        load_grace_period=_STALL_S,  # what passes through is not measured
    )
    loop.start()
    try:
        while not loop.finished.wait(0.2):
            if loop.problem:
                raise VcamError(f"nothing was measured: {loop.problem}")
            if time.perf_counter() - log.last_sign > _STALL_S:
                raise VcamError("nothing was measured: the pipeline stands still")
    finally:
        source.close()
        sink.stop_waiting()
        loop.stop()
    out = sum(frame.out > 0 for frame in log.frames)
    if loop.problem or out < (total if pace is None else warm_up + 2):
        raise VcamError(f"{out} of {total} frames came out: {loop.problem or 'some were dropped'}")
    return log.result(total - out)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many processes that each keep a core busy meanwhile, as a meeting's other programs do."""
    command = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(count)]  # noqa: S603
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def machine() -> dict[str, Any]:
    """The CPU, its cores that we may use, and the versions that matter."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_name(),
        "cores": cores,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {
            name: version(name) for name in ("numpy", "opencv-python-headless", "av", "torch")
        },
    }


@dataclass(slots=True)
class _Times:
    """What one frame took; milliseconds, but for the moments, in seconds of the same clock."""

    captured: float
    decode: float
    relight: float = 0.0
    stages: Ms = field(default_factory=dict)
    convert: float = 0.0
    out: float = 0.0
    """0 for one that was dropped."""
    cpu: float = 0.0
    """Processor time in seconds that had been used when it was out."""


@dataclass(slots=True)
class _Log:
    """What happened to each frame, by its number."""

    warm_up: int
    frames: list[_Times] = field(default_factory=list)
    last_sign: float = field(default_factory=time.perf_counter)

    def result(self, drops: int) -> Result:
        counted = [frame for frame in self.frames[self.warm_up :] if frame.out]
        intervals = np.diff([frame.out for frame in counted]) * 1e3
        stages = {"decode": _summary([frame.decode for frame in counted])}
        for name in dict.fromkeys(name for frame in counted for name in frame.stages):
            stages[name] = _summary([frame.stages.get(name, 0.0) for frame in counted])
        stages["relight (all)"] = _summary([frame.relight for frame in counted])
        stages["convert"] = _summary([frame.convert for frame in counted])
        work = [frame.decode + frame.relight + frame.convert for frame in counted]
        cpu = counted[-1].cpu - counted[0].cpu
        return Result(
            fps=round(1e3 / float(intervals.mean()), 2),
            cpu_ms=round(cpu / len(intervals) * 1e3, 2),
            frame_ms=_summary(work),
            age_ms=_summary([(frame.out - frame.captured) * 1e3 for frame in counted]),
            interval_ms=_summary(intervals),
            stages_ms=stages,
            drops=drops,
        )


class _Clip(Source):
    """A camera whose JPEGs come at its pace, or whenever the inference thread has taken the last.

    The frames of the warm-up always wait, as models load with the first.
    """

    kind = label = "clip"

    def __init__(self, clip: Sequence[Jpeg], total: int, pace: float | None, log: _Log) -> None:
        self._clip, self._total, self._pace, self._log = clip, total, pace, log
        self._count = 0
        self._began = 0.0
        self._free = threading.Semaphore(1)
        self._closed = threading.Event()

    @property
    def waits(self) -> bool:
        """Whether the frame that comes next waits to be asked for."""
        return self._pace is None or self._count < self._log.warm_up

    def open(self) -> None:
        """Everything is in memory."""

    def taken(self) -> None:
        """The slot is free again."""
        self._free.release()

    def read(self) -> Frame | None:
        """The next frame; None after the last."""
        if self.waits:
            self._free.acquire()
        if self._closed.is_set() or self._count == self._total:
            return None
        begin = time.perf_counter() if self._pace is None else self._due(self._pace)
        decoding = time.perf_counter()
        image = cv2.imdecode(self._clip[self._count % len(self._clip)], cv2.IMREAD_COLOR)
        self._log.frames.append(_Times(begin, (time.perf_counter() - decoding) * 1e3))
        self._log.last_sign = begin
        pts = round(self._count / FPS / TIME_BASE)
        self._count += 1
        return Frame(np.asarray(image, np.uint8), begin, pts)

    def close(self) -> None:
        """Ends a waiting `read`."""
        self._closed.set()
        self._free.release()

    def _due(self, pace: float) -> float:
        """The moment at which the camera has the next frame, which has come when this returns."""
        now = time.perf_counter()
        first = self._count - self._log.warm_up
        if first < 0:
            return now
        if first == 0:
            self._began = now
        due = self._began + first / pace
        self._closed.wait(due - now)
        return due


class _Paced:
    """A relighter that holds the source and itself back, so that no slot overflows."""

    def __init__(self, relighter: Relighter, source: _Clip, sink: "_NullCamera", log: _Log) -> None:
        self.timer: StageTimer = relighter.timer
        self.effort, self.backdrop, self.runs_on = FULL, KEEP, relighter.runs_on
        self._relighter, self._source, self._sink, self._log = relighter, source, sink, log

    def process(
        self, image: BgrImage, time_s: float, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """See `Relighter.process`."""
        self._source.taken()
        begin = time.perf_counter()
        self._relighter.effort, self._relighter.backdrop = self.effort, self.backdrop
        output = self._relighter.process(image, time_s, lighting, settings)
        self._log.last_sign = time.perf_counter()
        times = self._log.frames[round(time_s * FPS)]
        times.relight = (self._log.last_sign - begin) * 1e3
        times.stages = dict(self.timer.ms)
        if self._source.waits:
            self._sink.wait_until_free()
        return output

    def close(self) -> None:
        """See `Relighter.close`."""
        self._relighter.close()

    def portrait(self, image: BgrImage, time: float) -> None:
        """None: nobody looks."""

    def reset(self) -> None:
        """See `Relighter.reset`."""
        self._relighter.reset()


class _NullCamera(Sink):
    """A virtual camera's conversion, into nothing."""

    kind = label = "null camera"

    def __init__(self, log: _Log) -> None:
        self._log = log
        self._free = threading.Semaphore(1)
        self._i420: BgrImage | None = None

    def wait_until_free(self) -> None:
        """Returns when the slot before this sink is empty."""
        self._free.acquire()

    def stop_waiting(self) -> None:
        """Lets a waiting inference thread go on."""
        self._free.release()

    def open(self) -> None:
        """Nothing to open."""

    def write(self, frame: ProcessedFrame) -> None:
        """Converts as for a virtual camera."""
        self._free.release()
        begin = time.perf_counter()
        image = frame.output.image
        height, width = image.shape[:2]
        even = image[: height & ~1, : width & ~1]
        self._i420 = np.asarray(cv2.cvtColor(even, cv2.COLOR_BGR2YUV_I420), np.uint8)
        times = self._log.frames[round(frame.output.seconds * FPS)]
        times.out = time.perf_counter()
        times.convert = (times.out - begin) * 1e3
        times.cpu = time.process_time()

    def close(self) -> None:
        """Nothing to close."""


def _summary(values: Sequence[float] | NDArray[np.float64]) -> Ms:
    p50, p99 = np.percentile(values, (50, 99))
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
