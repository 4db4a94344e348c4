"""Looks that are saved in the panel: a file that keeps them, and the presets that come of it."""

from pathlib import Path

import numpy as np
import pytest

from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.settings.own_presets import FILE, MOST, OwnPresets
from vcam_relight.vcam.settings.store import Settings, SettingsStore


@pytest.fixture
def store(tmp_path: Path) -> SettingsStore:
    return SettingsStore(load_presets(tmp_path)[0], Settings("neon-duo"))


@pytest.fixture
def own(store: SettingsStore, tmp_path: Path) -> OwnPresets:
    return OwnPresets(store, tmp_path)


def names(folder: Path) -> list[str]:
    """What the command line knows besides the program's own."""
    return list(load_presets(folder)[0])[len(load_presets()[0]) :]


def test_what_is_saved_is_what_was_seen(
    own: OwnPresets, store: SettingsStore, tmp_path: Path
) -> None:
    lights = [
        {"azimuth": azimuth, "elevation": 5, "rgb": [0.1, azimuth / 7, 0.3], "softness": 0.7}
        for azimuth in (10, 30, 50)
    ]
    seen = store.change({"lights": lights, "warmth": 0.35, "background": 0.5})
    seen = store.change({"aim": [33, -12.5]})
    own.save('  Grün "nach"\tacht \\ 🎬 ')
    now = store.current
    assert now.settings.preset == "grün-nach-acht"
    assert now.settings.aim is None and now.settings.lights is None
    assert now.settings.relight == seen.settings.relight
    assert np.array_equal(now.lighting.sh, seen.lighting.sh)
    loaded, problems = load_presets(tmp_path)  # as another start does
    assert not problems
    assert loaded["grün-nach-acht"].title == 'Grün "nach" acht \\ 🎬'
    assert loaded["grün-nach-acht"] == store.presets["grün-nach-acht"]


def test_looks_are_renamed_moved_and_deleted(
    own: OwnPresets, store: SettingsStore, tmp_path: Path
) -> None:
    for title in ("One", "Two", "Three"):
        own.save(title)
    own.move("three", -1)
    own.move("one", -1)  # is the first already
    assert names(tmp_path) == ["one", "three", "two"] == list(store.presets)[-3:]
    before = store.change({"fill": 0.25})
    own.rename("three", "Drei")
    assert names(tmp_path) == ["one", "drei", "two"]
    assert store.current.settings.preset == "drei", "it stays on"
    assert store.current.settings.relight == before.settings.relight
    own.delete("drei")
    assert store.current.settings.preset == "auto"
    own.delete("one")
    own.save("Two")  # in place of itself, with the light of now
    assert names(tmp_path) == ["two"] and store.presets["two"].mode == "auto"
    assert own.names == {"two"}


@pytest.mark.parametrize("title", ["", " - ", "Rim", "rim!", "x" * 61, "a\x00b", "\ud800"])
def test_names_that_cannot_be_are_refused(own: OwnPresets, title: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        own.save(title)
    assert not (tmp_path / FILE).exists()


def test_no_more_looks_than_a_panel_can_show(own: OwnPresets, tmp_path: Path) -> None:
    for number in range(MOST):
        own.save(f"look {number}")
    with pytest.raises(InputError, match="already"):
        own.save("one more")
    own.save("look 0")
    assert len(names(tmp_path)) == MOST


@pytest.mark.parametrize("content", [b"[a]\nlight = 3\n", b"\xff", b"[a", b"[a]\n" * 2])
def test_a_damaged_file_is_not_written_over(
    own: OwnPresets, store: SettingsStore, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    for change in (lambda: own.save("Mine"), lambda: own.delete("a"), lambda: own.move("a", 1)):
        with pytest.raises(InputError, match="damaged") as refused:
            change()
        assert "\n" not in str(refused.value)
    assert path.read_bytes() == content
    assert store.current.id == 1
    assert OwnPresets(store, tmp_path).names == frozenset(), "the program starts all the same"
