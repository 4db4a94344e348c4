"""The training stream: clips rendered while training, by worker processes, from the asset pack.

Clip `i` depends on the pack, the seed, the recipe and `i` alone, so that the same clips come in the
same order however many workers there are. Worker `w` of `W` renders clips w, w + W, ... into a
queue of its own; a full queue makes it wait, nothing is ever dropped.
"""

import os
import queue
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import cv2

from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack
from vcam_relight.pipeline.lightstage.clips.clip import (
    ClipPlan,
    ClipRecipe,
    RenderedClip,
    RenderedFrame,
    render_clip,
)
from vcam_relight.pipeline.lightstage.render.rasterizer import Rasterizer

AHEAD = 48
"""Frames that a worker renders ahead of the reader, the longest clip: while one worker's clip is
read, the others finish theirs. At 256x256 a frame with one novel view takes 7.5 MB."""
_ONE_THREAD = {
    name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
} | {"LP_NUM_THREADS": "0"}
"""Each worker is one thread's worth of work: numpy's, and Mesa's software rasteriser's."""


class ClipStream:
    """Clips without end, or until `stop`.

    Iterating starts worker processes and renders; leaving the loop ends them. Start it from a
    script's `if __name__ == "__main__":` block, as processes are spawned. Several iterations give
    the same clips.

    Args:
        pack: the asset pack's file.
        seed: everything follows from it.
        recipe: what clips are made of.
        workers: processes; one per core. 0 renders in this process, one frame at a time.
        start: index of the first clip: the last one's + 1 resumes a stream.
        stop: index after the last clip; None for an endless stream.
        ahead: frames that each worker may be ahead of the reader.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        pack: Path,
        seed: int,
        recipe: ClipRecipe | None = None,
        workers: int = 2,
        start: int = 0,
        stop: int | None = None,
        ahead: int = AHEAD,
    ) -> None:
        if seed < 0 or workers < 0 or start < 0 or ahead < 1:
            raise ValueError("seed, workers and start are 0 or more, ahead 1 or more")
        self._job = _Job(pack, seed, recipe or ClipRecipe(), ahead)
        self._workers = workers
        self._indices = (start, stop)

    def __iter__(self) -> Iterator[RenderedClip]:
        """Whole clips in order; raises what `frames` does."""
        frames: list[RenderedFrame] = []
        for frame, last in self._frames():
            frames.append(frame)
            if last:
                yield RenderedClip(frame.clip, tuple(frames))
                frames = []

    def frames(self) -> Iterator[RenderedFrame]:
        """The frames of all clips in order, each as soon as it is rendered.

        Raises:
            OSError, ValueError: the pack cannot be read, or there is no OpenGL.
            RuntimeError: a worker failed or was killed.
        """
        for frame, _ in self._frames():
            yield frame

    def _frames(self) -> Iterator[tuple[RenderedFrame, bool]]:
        start, stop = self._indices
        if self._workers == 0:
            pack, rasterizer = AssetPack.open(self._job.pack), Rasterizer()
            for index in _counted(start, stop, 1):
                yield from self._job.render(pack, rasterizer, index)
            return
        workers: list[_Worker] = []
        try:
            for k in range(self._workers):
                workers.append(_Worker(self._job, start + k, stop, self._workers))
            for index in _counted(start, stop, 1):
                worker = workers[(index - start) % len(workers)]
                last = False
                while not last:
                    frame, last = worker.receive()
                    yield frame, last
        finally:
            for worker in workers:
                worker.stop()


@dataclass(frozen=True, slots=True)
class _Job:
    pack: Path
    seed: int
    recipe: ClipRecipe
    ahead: int

    def render(
        self, pack: AssetPack, rasterizer: Rasterizer, index: int
    ) -> Iterator[tuple[RenderedFrame, bool]]:
        """The frames of one clip, and whether each is its last."""
        plan = ClipPlan.of(pack, self.recipe, self.seed, index)
        for frame in render_clip(pack, rasterizer, plan, self.recipe):
            yield frame, frame.index == plan.frames - 1


class _Worker:
    """One process, seen from the reader's side."""

    def __init__(self, job: _Job, start: int, stop: int | None, step: int) -> None:
        context = get_context("spawn")  # a forked process would share the reader's OpenGL
        self._reader, writer = context.Pipe(duplex=False)
        self._process: BaseProcess = context.Process(
            target=_work, args=(job, start, stop, step, writer), daemon=True
        )
        with _environment(_ONE_THREAD):
            self._process.start()
        writer.close()  # so that reading ends when the process does

    def receive(self) -> tuple[RenderedFrame, bool]:
        try:
            message = self._reader.recv()
        except (EOFError, OSError):  # between two messages, or within one
            self._process.join()
            raise RuntimeError(
                f"a worker of the light stage ended (exit status {self._process.exitcode}); "
                "-9 means killed, often for memory: use fewer workers or a smaller `ahead`"
            ) from None
        if isinstance(message, _Failure):
            failure = RuntimeError(f"a worker of the light stage failed:\n{message.trace}")
            if message.error is not None:
                raise message.error from failure
            raise failure
        frame, last = message
        return frame, last

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()
        self._reader.close()


@dataclass(frozen=True, slots=True)
class _Failure:
    error: OSError | ValueError | None
    """What the reader can be told as it is."""
    trace: str


_Message = tuple[RenderedFrame, bool] | _Failure | None


def _work(job: _Job, start: int, stop: int | None, step: int, writer: Connection) -> None:
    """A worker's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the reader handles Ctrl-C and ends us
    cv2.setNumThreads(1)
    rendered: queue.Queue[_Message] = queue.Queue(job.ahead)
    sender = threading.Thread(target=_send, args=(rendered, writer), daemon=True)
    sender.start()
    try:
        pack, rasterizer = AssetPack.open(job.pack), Rasterizer()
        for index in _counted(start, stop, step):
            for message in job.render(pack, rasterizer, index):
                rendered.put(message)
    except (OSError, ValueError) as error:
        rendered.put(_Failure(error, traceback.format_exc()))
    except Exception:
        rendered.put(_Failure(None, traceback.format_exc()))
    rendered.put(None)
    sender.join()


def _send(rendered: "queue.Queue[_Message]", writer: Connection) -> None:
    """Hands messages to the reader, which may be busy, while the next frame is rendered."""
    try:
        while (message := rendered.get()) is not None:
            writer.send(message)
    except BrokenPipeError:
        os._exit(1)  # nobody reads any more; the renderer may be waiting for room in the queue
    writer.close()


def _counted(start: int, stop: int | None, step: int) -> Iterator[int]:
    return iter(count(start, step) if stop is None else range(start, stop, step))


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables while a process is started."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
