"""Another source while the loop runs."""

import pytest

from support.stand_ins import KeepingSink, MarkingRelighter, NumberedSource, wait_for
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.vcam.core.errors import SourceError
from vcam_relight.vcam.settings.store import Settings, SettingsStore
from vcam_relight.vcam.stream.loop import FrameLoop

PATIENCE_S = 30.0


class RestingSource(NumberedSource):
    can_rest = True


def loop_of(source: NumberedSource, sink: KeepingSink, idle_timeout: float | None) -> FrameLoop:
    settings = SettingsStore(load_presets()[0], Settings("off"))
    return FrameLoop(source, lambda engine: MarkingRelighter(), settings, [sink], idle_timeout)


def test_another_source_takes_over_and_one_that_does_not_open_changes_nothing() -> None:
    first, second, sink = NumberedSource(), NumberedSource(), KeepingSink()
    second.label, missing = "second", NumberedSource([SourceError("there is no camera 7", "look")])
    loop = loop_of(first, sink, None)
    loop.start()
    try:
        wait_for(lambda: len(sink.kept) > 3)
        loop.switch(second).result(PATIENCE_S)
        assert loop.source is second and second.opened == 1
        count, sent = len(sink.kept), first.sent
        wait_for(lambda: len(sink.kept) > count + 3)
        assert first.sent == sent, "the first one is read still"
        with pytest.raises(SourceError, match="there is no camera 7"):
            loop.switch(missing).result(PATIENCE_S)
        assert loop.source is second
        count = len(sink.kept)
        wait_for(lambda: len(sink.kept) > count + 3)
        assert loop.status().state == "running" and loop.problem == ""
    finally:
        loop.stop()


def test_a_source_that_rests_or_is_lost_is_left_at_once() -> None:
    source, sink = RestingSource(), KeepingSink()
    sink.has_consumers = False
    loop = loop_of(source, sink, 0.05)
    loop.start()
    try:
        wait_for(lambda: loop.status().state == "idle")
        lost = NumberedSource([2, *[SourceError("it is gone", "plug it in")] * 1000])
        loop.switch(lost).result(PATIENCE_S)
        sink.has_consumers = True
        wait_for(lambda: loop.status().state == "degraded")
        loop.switch(NumberedSource()).result(PATIENCE_S)
        wait_for(lambda: loop.status().state == "running")
    finally:
        loop.stop()
    late = NumberedSource()
    with pytest.raises(SourceError, match="the program ends"):
        loop.switch(late).result(PATIENCE_S)
    assert late.opened == 0
