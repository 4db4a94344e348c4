"""A source or a sink is a class and one row: `--source` and `--sink` know it, and so does help."""

from collections.abc import Callable

import pytest

from support.stand_ins import KeepingSink, NumberedSource
from vcam_relight.vcam.cli.main import main
from vcam_relight.vcam.core.errors import UsageError
from vcam_relight.vcam.core.frame import VideoMode
from vcam_relight.vcam.sinks.registry import SINKS, SinkKind, open_sink
from vcam_relight.vcam.sources.registry import SOURCES, SourceKind, open_source

MODE = VideoMode((64, 48), 25.0)


def keeping(asked: list[object]) -> Callable[[str, VideoMode, bool], KeepingSink]:
    def make(argument: str, mode: VideoMode, always_on: bool) -> KeepingSink:
        asked.append((argument, mode, always_on))
        return KeepingSink()

    return make


def test_a_row_is_all_that_a_source_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def make(argument: str, mode: VideoMode) -> NumberedSource:
        asked.append((argument, mode))
        return NumberedSource()

    monkeypatch.setitem(SOURCES, "noise", SourceKind(make, "SEED"))
    opened = open_source("noise:7", MODE), open_source("noise", MODE)
    assert all(isinstance(source, NumberedSource) and source.opened == 1 for source in opened)
    assert asked == [("7", MODE), ("", MODE)]
    with pytest.raises(UsageError, match="noise:SEED"):
        open_source("noise:", MODE)
    assert main(["run", "--help"]) == 0
    assert "noise|noise:SEED" in capsys.readouterr().out


def test_a_row_is_all_that_a_sink_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []
    monkeypatch.setitem(SINKS, "shelf", SinkKind(keeping(asked)))
    opened = open_sink("shelf", MODE, always_on=True)
    assert isinstance(opened, KeepingSink) and opened.opened == 1
    assert asked == [("", MODE, True)]
    with pytest.raises(UsageError, match="shelf"):
        open_sink("shelf:upper", MODE)  # it takes no argument
    assert main(["run", "--help"]) == 0
    assert "pipewire:NAME|shelf" in capsys.readouterr().out.replace("\n", "")
