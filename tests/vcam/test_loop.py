"""The frame loop with its real threads: what it survives, what it drops, when it rests."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from support.stand_ins import (
    KeepingSink,
    MarkingRelighter,
    NumberedSource,
    is_relit,
    number_of,
    wait_for,
)
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.effort import FULL
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relight
from vcam_relight.vcam.core.errors import SinkError, SourceError
from vcam_relight.vcam.core.frame import Frame
from vcam_relight.vcam.settings.store import Settings, SettingsStore
from vcam_relight.vcam.sinks import Sink
from vcam_relight.vcam.sources import Source
from vcam_relight.vcam.stream.governor import Governor
from vcam_relight.vcam.stream.loop import FrameLoop


def store(**changes: object) -> SettingsStore:
    made = SettingsStore(load_presets()[0], Settings("soft-front"))
    made.change(changes)
    return made


@contextmanager
def running(
    source: Source,
    *sinks: Sink,
    make: Callable[[str], Relight] = lambda engine: MarkingRelighter(),
    settings: SettingsStore | None = None,
) -> Iterator[FrameLoop]:
    loop = FrameLoop(source, make, settings or store(), sinks)
    loop.start()
    try:
        yield loop
    finally:
        loop.stop()


def test_source_that_fails_at_first_is_tried_again() -> None:
    sink = KeepingSink()
    source = NumberedSource([SourceError("camera 0 is busy", "close it"), 100_000])
    with running(source, sink) as loop:
        wait_for(lambda: loop.status().state == "degraded")
        assert loop.status().reason == "camera 0 is busy; close it"
        wait_for(lambda: bool(sink.kept))
        assert loop.status().reason == ""


def test_source_that_dies_comes_back_and_the_reason_goes() -> None:
    sink = KeepingSink()
    source = NumberedSource([5, 100_000])
    with running(source, sink) as loop:
        wait_for(lambda: "unplugged" in loop.status().reason)
        assert loop.status().state == "degraded"
        wait_for(lambda: source.opened == 2 and sink.numbers[-1] > 10)
        assert loop.status().state == "running"
        assert loop.problem == ""
    assert loop.status().state == "stopped"


def test_the_end_of_the_stream_finishes_the_loop_with_the_last_frame_delivered() -> None:
    sink = KeepingSink()
    with running(NumberedSource([20]), sink) as loop:
        assert loop.finished.wait(30)
    assert sink.numbers[-1] == 20
    assert sink.closed >= 1
    assert loop.problem == ""


def test_engine_that_raises_lets_the_image_through_and_recovers() -> None:
    broken = threading.Event()
    broken.set()

    def maybe_raise(image: BgrImage) -> None:
        if broken.is_set():
            raise RuntimeError("out of memory")

    sink = KeepingSink()
    with running(NumberedSource(), sink, make=lambda engine: MarkingRelighter(maybe_raise)) as loop:
        wait_for(lambda: len(sink.kept) > 5)
        wait_for(lambda: loop.status().state == "degraded")
        assert "out of memory" in loop.status().reason
        assert "vcam doctor" in loop.status().reason
        assert not any(map(is_relit, sink.kept))
        assert (sink.kept[-1].output.image == sink.kept[-1].original.image).all()
        broken.clear()
        wait_for(lambda: is_relit(sink.kept[-1]))
        wait_for(lambda: loop.status().state == "running")
        assert loop.problem == ""


@pytest.mark.parametrize(
    "bad",
    [None, np.zeros((48, 64, 3), np.float32), np.zeros((48, 63, 3), np.uint8)],
    ids=["nothing", "floats", "another size"],
)
def test_what_is_no_image_reaches_no_sink(bad: BgrImage | None) -> None:
    class Careless(MarkingRelighter):
        def process(self, image, time, lighting, settings):  # type: ignore[no-untyped-def]
            return bad

    sink = KeepingSink()
    settings = store(mirror=True)
    with running(NumberedSource(), sink, make=lambda engine: Careless(), settings=settings) as loop:
        wait_for(lambda: len(sink.kept) > 5)
        wait_for(lambda: "it made" in loop.problem)
        assert "vcam doctor" in loop.problem
    for delivery in sink.kept:
        assert delivery.output is delivery.original


def test_a_source_that_gives_no_image_ends_the_loop_with_the_reason() -> None:
    class Empty(NumberedSource):
        def read(self) -> Frame | None:
            frame = super().read()
            return frame and Frame(np.zeros((0, 0, 3), np.uint8), 0.0, 0)

    with running(Empty(), KeepingSink(), settings=store(mirror=True)) as loop:
        assert loop.finished.wait(30)
    assert "the picture stopped" in loop.problem and "report" in loop.problem


def test_a_source_that_cannot_even_close_ends_the_loop_with_the_reason() -> None:
    class Stuck(NumberedSource):
        def close(self) -> None:
            if not self._closed.is_set():
                super().close()
                raise RuntimeError("the driver is gone")

    with running(Stuck([5]), KeepingSink()) as loop:
        assert loop.finished.wait(30)
    assert "the driver is gone" in loop.problem


def test_the_stream_is_forgotten_when_the_source_was_lost() -> None:
    sink, relighter = KeepingSink(), MarkingRelighter()
    with running(NumberedSource([50, 100_000]), sink, make=lambda engine: relighter):
        wait_for(lambda: bool(sink.kept) and sink.numbers[-1] > 40)
        assert relighter.resets == 0
        wait_for(lambda: sink.numbers[-1] > 60)
        assert relighter.resets == 1


def test_engine_that_does_not_load_can_be_replaced_from_the_panel() -> None:
    def make(engine: str) -> Relight:
        if engine == "geometry":
            raise OSError("model file is missing")
        return MarkingRelighter()

    sink, settings = KeepingSink(), store(engine="geometry")
    with running(NumberedSource(), sink, make=make, settings=settings) as loop:
        wait_for(lambda: "model file is missing" in loop.status().reason)
        settings.change({"engine": "passthrough"})
        wait_for(lambda: bool(sink.kept) and is_relit(sink.kept[-1]))
        assert loop.problem == ""


def test_a_source_that_cannot_close_does_not_keep_the_sinks_from_being_completed() -> None:
    class Unclosable(NumberedSource):
        def close(self) -> None:
            raise OSError("the driver has gone")

    sink = KeepingSink()
    with running(Unclosable(), sink) as loop:
        wait_for(lambda: bool(sink.kept))
    assert sink.closed and loop.status().state == "stopped"


def test_relighters_are_closed_also_one_that_came_too_late() -> None:
    made: dict[str, MarkingRelighter] = {}
    began, free = threading.Event(), threading.Event()

    def make(engine: str) -> Relight:
        if engine == "geometry":
            began.set()
            free.wait()
        made[engine] = MarkingRelighter()
        return made[engine]

    sink, settings = KeepingSink(), store(engine="geometry")
    with running(NumberedSource(), sink, make=make, settings=settings):
        assert began.wait(30)
        settings.change({"engine": "passthrough"})
        wait_for(lambda: bool(sink.kept) and is_relit(sink.kept[-1]))
        free.set()
        wait_for(lambda: "geometry" in made and made["geometry"].closed)
        assert made["geometry"].calls == 0 and not made["passthrough"].closed
    assert made["passthrough"].closed


def test_slow_sink_does_not_slow_the_others_and_its_drops_are_counted() -> None:
    slow, fast, gate = KeepingSink("slow"), KeepingSink("fast"), threading.Event()
    slow.before_write = gate.wait
    with running(NumberedSource(), slow, fast) as loop:
        wait_for(lambda: len(fast.kept) >= 40)
        assert slow.kept == []
        dropped = loop.status().stats["drops"]["slow"]
        assert dropped >= 30  # one is being written, one waits in the slot
        newest = fast.numbers[-1]
        gate.set()
        wait_for(lambda: len(slow.kept) >= 2)
        # after the one that it was stuck with comes the newest, not the second
        assert slow.numbers[1] >= newest


def test_slow_engine_gets_the_newest_frame_and_falls_no_further_behind() -> None:
    source = NumberedSource(pace_s=0.01)
    behind = []

    def take_60_ms(image: BgrImage) -> None:
        number = int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])
        behind.append(source.sent - number)
        time.sleep(0.06)

    sink = KeepingSink()
    with running(source, sink, make=lambda engine: MarkingRelighter(take_60_ms)) as loop:
        wait_for(lambda: len(sink.kept) >= 25)
        assert loop.status().stats["drops"]["source"] >= 25
    # a queue would be five frames further behind at each frame
    assert np.median(behind) <= 1
    assert sorted(behind)[-3] <= 5
    assert sink.numbers == sorted(set(sink.numbers))


def test_settings_are_swapped_whole_and_acknowledged_by_the_frame_that_shows_them() -> None:
    settings = store()
    asked = {settings.current.id: settings.current}

    class Recording(MarkingRelighter):
        def process(self, image, time, lighting, settings):  # type: ignore[no-untyped-def]
            seen.append((lighting, settings))
            return super().process(image, time, lighting, settings)

    seen: list[tuple[object, object]] = []
    sink = KeepingSink()
    with running(
        NumberedSource(pace_s=0.002), sink, make=lambda engine: Recording(), settings=settings
    ) as loop:
        for step in range(100):
            snapshot = settings.change(
                {"preset": ("candle", "window")[step % 2], "intensity": 0.5 + step / 100}
            )
            asked[snapshot.id] = snapshot
            time.sleep(0.004)
        wait_for(lambda: loop.status().applied == snapshot.id)
        wait_for(lambda: sink.kept[-1].settings_id == snapshot.id)
    known = {(id(s.lighting), s.settings.relight) for s in asked.values()}
    assert all((id(lighting), relight) in known for lighting, relight in seen)
    ids = [delivery.settings_id for delivery in sink.kept]
    assert len(set(ids)) > 10
    assert ids == sorted(ids)


def test_nothing_is_relit_while_no_sink_is_wanted() -> None:
    sink, relighter = KeepingSink(), MarkingRelighter()
    sink.has_consumers = False
    source = NumberedSource()
    with running(source, sink, make=lambda engine: relighter) as loop:
        wait_for(lambda: source.sent > 20)
        assert loop.status().state == "idle"
        wait_for(lambda: relighter.calls == 1)  # it loads the engine's models for who looks first
        sent = source.sent
        wait_for(lambda: source.sent > sent + 10)
        assert relighter.calls == 1
        assert sink.kept == []
        sink.has_consumers = True
        wait_for(lambda: len(sink.kept) > 3)
        wait_for(lambda: loop.status().state == "running")
        sink.has_consumers = False
        wait_for(lambda: loop.status().state == "idle")


@pytest.mark.parametrize("heeds_close", [True, False])
def test_stop_returns_although_the_source_is_blocked(heeds_close: bool) -> None:
    class Blocked(NumberedSource):
        blocked = threading.Event()
        freed = threading.Event()

        def read(self) -> Frame | None:
            self.blocked.set()
            self.freed.wait()
            return None

        def close(self) -> None:
            if heeds_close:
                self.freed.set()

    source, sink = Blocked(), KeepingSink()
    loop = FrameLoop(source, lambda engine: MarkingRelighter(), store(), [sink])
    loop.start()
    assert source.blocked.wait(30)
    stopping = threading.Thread(target=loop.stop, daemon=True)
    stopping.start()
    stopping.join(30)
    assert not stopping.is_alive()
    assert loop.status().state == "stopped"
    assert sink.closed >= 1
    source.freed.set()


def test_mirror_turns_output_and_original_alike() -> None:
    class Halves(NumberedSource):
        def read(self) -> Frame | None:
            frame = super().read()
            if frame is not None:
                frame.image[:, :32] = 200
            return frame

    def paint_top_left(image: BgrImage) -> None:
        assert image[0, 0, 0] == 200  # the engine sees the camera's side

    sink = KeepingSink()
    with running(
        Halves(),
        sink,
        make=lambda engine: MarkingRelighter(paint_top_left),
        settings=store(mirror=True),
    ) as loop:
        wait_for(lambda: len(sink.kept) > 2 and is_relit(sink.kept[-1]))
        assert loop.problem == ""
    delivery = sink.kept[-1]
    assert is_relit(delivery)
    for frame in (delivery.output, delivery.original):
        assert (frame.image[:, 32:, 0] == 200).all()
        assert (frame.image[:, :32, 0] != 200).all()


def test_sink_that_fails_is_opened_again_while_others_go_on() -> None:
    failing, other, broken = KeepingSink("failing"), KeepingSink("other"), threading.Event()

    def maybe_fail() -> None:
        if broken.is_set():
            raise SinkError("the device is gone", "load it anew")

    failing.on_open = failing.before_write = maybe_fail
    with running(NumberedSource(), failing, other) as loop:
        wait_for(lambda: len(failing.kept) > 3)
        broken.set()
        wait_for(lambda: loop.status().reason == "the device is gone; load it anew")
        count = len(other.kept)
        wait_for(lambda: len(other.kept) > count + 10)
        broken.clear()
        count = len(failing.kept)
        wait_for(lambda: len(failing.kept) > count)
        wait_for(lambda: loop.problem == "")


def test_file_that_cannot_be_completed_is_told_at_the_end() -> None:
    sink, disk_full = KeepingSink(), SinkError("the disk is full", "make room")

    def fail() -> None:
        raise disk_full

    sink.on_close = fail
    with running(NumberedSource(), sink) as loop:
        wait_for(lambda: len(sink.kept) > 3)
        assert loop.problem == ""
    assert loop.problem == str(disk_full)


def test_images_are_counted_and_timed() -> None:
    sink = KeepingSink()
    with running(NumberedSource([30]), sink) as loop:
        assert loop.finished.wait(30)
    stats = loop.status().stats
    assert stats["frames_in"] == 30
    dropped = stats["drops"]["source"] + stats["drops"]["keeping"]
    assert len(sink.kept) == 30 - dropped
    assert stats["latency_ms"]["p50"] > 0
    assert "mark" in stats["stages_ms"]
    assert loop.status().size == (64, 48)
    assert number_of(sink.kept[-1].output) == 30


def test_less_is_asked_of_the_engine_while_frames_are_dropped() -> None:
    relighter = MarkingRelighter()

    def work(image: BgrImage) -> None:
        if relighter.effort is FULL:
            time.sleep(0.05)

    relighter.before = work
    loop = FrameLoop(
        NumberedSource(), lambda engine: relighter, store(), [KeepingSink()], governor=Governor()
    )
    loop.start()
    try:
        wait_for(lambda: loop.status().effort.level > 0)
        assert loop.status().effort.reason == "the machine is busy"
        wait_for(lambda: relighter.effort is not FULL)
    finally:
        loop.stop()
