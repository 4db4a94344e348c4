"""Sessions: how many there may be, and that each has what is its own."""

import pytest

from support.stand_ins import KeepingSink, MarkingRelighter, NumberedSource, is_relit, wait_for
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.vcam.settings.store import Settings, SettingsStore
from vcam_relight.vcam.stream.session import SessionLimitError, SessionManager


def store() -> SettingsStore:
    return SettingsStore(load_presets()[0], Settings("soft-front"))


def test_sessions_are_limited_and_a_place_is_free_once_one_has_stopped() -> None:
    sessions = SessionManager(lambda engine: MarkingRelighter(), max_sessions=2)
    first = sessions.create(NumberedSource(), store(), [KeepingSink()])
    second = sessions.create(NumberedSource(), store(), [KeepingSink()])
    assert list(sessions) == [first, second] and sessions[second.id] is second
    with pytest.raises(SessionLimitError, match="2 streams already"):
        sessions.create(NumberedSource(), store(), [KeepingSink()])
    first.loop.start()
    sessions.stop(first)
    sessions.stop(first)
    assert first.loop.status().state == "stopped" and len(sessions) == 1
    third = sessions.create(NumberedSource(), store(), [KeepingSink()])
    assert third.id not in (first.id, second.id)


def test_sessions_run_at_once_each_with_its_own_settings_and_relighter() -> None:
    made: list[MarkingRelighter] = []

    def make(engine: str) -> MarkingRelighter:
        made.append(MarkingRelighter())
        return made[-1]

    sessions = SessionManager(make, max_sessions=2)
    sinks = [KeepingSink(), KeepingSink()]
    for sink in sinks:
        sessions.create(NumberedSource(), store(), [sink]).loop.start()
    one, other = sessions
    try:
        for sink in sinks:
            wait_for(lambda sink=sink: bool(sink.kept) and is_relit(sink.kept[-1]))
        changed = one.loop.settings.change({"mirror": True})
        wait_for(lambda: sinks[0].kept[-1].settings_id == changed.id)
        assert len(made) == 2 and made[0] is not made[1]
        assert not other.loop.settings.current.settings.mirror
        count = len(sinks[1].kept)
        sessions.stop(one)
        wait_for(lambda: len(sinks[1].kept) > count + 3)
    finally:
        for session in sessions:
            sessions.stop(session)
    assert len(sessions) == 0
