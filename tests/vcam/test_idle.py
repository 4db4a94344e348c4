"""A source that nobody looks at is let go of, and is back when somebody does."""

import time

from support.stand_ins import KeepingSink, MarkingRelighter, NumberedSource, is_relit, wait_for
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.vcam.core.errors import SinkError, SourceError
from vcam_relight.vcam.settings.store import Settings, SettingsStore
from vcam_relight.vcam.stream.loop import FrameLoop

IDLE_TIMEOUT_S = 0.1


class RestingSource(NumberedSource):
    """Counts how often it is let go of."""

    can_rest = True

    held = False

    def open(self) -> None:
        self.held = True
        super().open()

    def close(self) -> None:
        super().close()
        self.held = False


class FillingSink(KeepingSink):
    """A sink that must not fall silent."""

    needs_filler = True
    fills = 0
    failing = False

    def fill(self) -> None:
        if self.failing:
            raise SinkError("it was unplugged")
        self.fills += 1


def loop_of(source: NumberedSource, *sinks: KeepingSink, idle_timeout: float | None) -> FrameLoop:
    settings = SettingsStore(load_presets()[0], Settings("off"))
    return FrameLoop(source, lambda engine: MarkingRelighter(), settings, sinks, idle_timeout)


def test_the_source_rests_while_nobody_looks_and_wakes_for_any_sink() -> None:
    source, preview, camera = RestingSource(), KeepingSink("preview"), KeepingSink("camera")
    preview.has_consumers = camera.has_consumers = False
    loop = loop_of(source, preview, camera, idle_timeout=IDLE_TIMEOUT_S)
    loop.start()
    try:
        for number, sink in enumerate([camera, preview, camera], 1):
            wait_for(lambda number=number: source.opened == number and not source.held)
            wait_for(lambda: loop.status().state == "idle")
            sink.has_consumers = True
            count = len(sink.kept)
            wait_for(lambda sink=sink, count=count: len(sink.kept) > count)
            wait_for(lambda sink=sink: is_relit(sink.kept[-1]))
            wait_for(lambda: loop.status().state == "running")
            sink.has_consumers = False
        assert loop.problem == ""
    finally:
        loop.stop()
    assert loop.status().state == "stopped"


def test_a_short_look_away_does_not_let_go_of_the_source() -> None:
    source, sink = RestingSource(), KeepingSink()
    loop = loop_of(source, sink, idle_timeout=5.0)
    loop.start()
    try:
        wait_for(lambda: len(sink.kept) > 3)
        sink.has_consumers = False
        wait_for(lambda: loop.status().state == "idle")
        sink.has_consumers = True
        wait_for(lambda: loop.status().state == "running")
        assert source.opened == 1
    finally:
        loop.stop()


def test_always_on_never_rests() -> None:
    source, sink = RestingSource(), KeepingSink()
    sink.has_consumers = False
    loop = loop_of(source, sink, idle_timeout=None)
    loop.start()
    try:
        time.sleep(3 * IDLE_TIMEOUT_S)
        assert source.held and source.opened == 1
    finally:
        loop.stop()


def test_a_file_is_not_read_while_nobody_looks_and_goes_on_where_it_was() -> None:
    source, sink = NumberedSource(), KeepingSink()
    source.can_pause = True
    loop = loop_of(source, sink, idle_timeout=IDLE_TIMEOUT_S)
    loop.start()
    try:
        for _ in range(2):
            count = len(sink.kept)
            wait_for(lambda count=count: len(sink.kept) > count + 3)
            sink.has_consumers = False
            time.sleep(2 * IDLE_TIMEOUT_S + 0.2)
            sent = source.sent
            time.sleep(0.3)
            assert source.sent == sent
            sink.has_consumers = True
        wait_for(lambda: len(sink.kept) > sent - 2)
        assert source.opened == 1
    finally:
        loop.stop()


def test_a_loop_that_rests_stops_at_once() -> None:
    source, sink = RestingSource(), KeepingSink()
    sink.has_consumers = False
    loop = loop_of(source, sink, idle_timeout=IDLE_TIMEOUT_S)
    loop.start()
    wait_for(lambda: source.opened == 1 and not source.held)
    start = time.perf_counter()
    loop.stop()
    assert time.perf_counter() - start < 4.0, "a thread that hangs is given five seconds"


def test_a_sink_is_filled_while_the_source_fails_and_heals_while_it_rests() -> None:
    lost = SourceError("the camera is busy")
    source, sink = RestingSource([lost, lost, lost, 1000]), FillingSink()
    loop = loop_of(source, sink, idle_timeout=IDLE_TIMEOUT_S)
    loop.start()
    try:
        wait_for(lambda: sink.fills > 1)
        assert sink.kept == [] and "busy" in loop.problem
        wait_for(lambda: len(sink.kept) > 0)
        sink.has_consumers = False
        wait_for(lambda: not source.held)
        sink.failing = True
        wait_for(lambda: "unplugged" in loop.problem)
        sink.failing = False
        count = sink.fills
        wait_for(lambda: sink.fills > count + 1)  # without a frame
        assert loop.problem == ""
    finally:
        loop.stop()
