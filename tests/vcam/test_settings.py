"""Settings: what a preset brings, what an engine cannot do, and files of earlier versions."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from vcam_relight.pipeline.lighting.presets import Preset, load_presets
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.settings.persistence import restore
from vcam_relight.vcam.settings.store import (
    PRESET_SETTINGS,
    Settings,
    SettingsStore,
    preset_changes,
)

TURNED = "[turned]\nlight = [{ azimuth = 30 }]\ncontrols = { yaw = 8, warmth = 0.4 }\n"


@pytest.fixture
def presets(tmp_path: Path) -> dict[str, Preset]:
    """The program's presets and one that turns the view."""
    (tmp_path / "own.toml").write_text(TURNED)
    presets, problems = load_presets(tmp_path)
    assert not problems
    return presets


@pytest.fixture
def store(presets: dict[str, Preset]) -> SettingsStore:
    return SettingsStore(presets, Settings("soft-front"))


def test_a_preset_brings_all_that_it_says(store: SettingsStore, presets: dict[str, Preset]) -> None:
    store.change({"aim": [10, 20], "fill": 0.9, "mirror": True})
    brought = preset_changes(presets["turned"])
    assert brought.keys() == PRESET_SETTINGS
    now = store.change({"preset": "turned"}).settings.to_json()
    assert now == Settings("turned").to_json() | brought | {"mirror": True}
    assert (now["yaw"], now["fill"], now["aim"]) == (8, 0, None)
    assert store.change({"aim": [1, 2]} | brought).settings.to_json() == now, (
        "saying it is the same"
    )
    assert store.change({"preset": "turned", "warmth": -0.1}).settings.relight.warmth == -0.1


def test_what_an_engine_does_not_support_is_refused_unless_the_preset_has_it(
    store: SettingsStore, presets: dict[str, Preset]
) -> None:
    store.change({"yaw": 5})
    store.change({"engine": "geometry"})  # which leaves the view as it is, whatever was set before
    for changes in ({"yaw": 6}, {"engine": "passthrough", "shadows": 0.5}):
        before = store.current
        with pytest.raises(InputError, match="has no"):
            store.change(changes)
        assert store.current is before
    store.change({"yaw": 0})
    assert store.change(preset_changes(presets["turned"])).settings.relight.yaw == 8


def test_the_file_of_an_earlier_version_is_restored(
    store: SettingsStore, config_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved = {
        "preset": "window", "aim": [12.0, -3.0], "mirror": True, "engine": "geometry",
        "strength": 0.9, "intensity": 1.1, "warmth": 0.2, "fill": 0.1, "background": 0.3,
        "shadows": 0.4, "highlights": 0.5, "yaw": 10.0, "pitch": -2.0,
    }  # fmt: skip
    config_home.mkdir(parents=True)
    (config_home / "settings.json").write_text(json.dumps(saved))
    with caplog.at_level(logging.WARNING):
        assert restore(store) == saved
    assert not caplog.records
    assert store.current.settings.to_json().items() >= (saved | {"aim": (12.0, -3.0)}).items()


LIGHT = {"azimuth": 10, "elevation": 20, "rgb": [1, 0, 2], "softness": 0.5}


def test_lights_take_the_place_of_the_presets(store: SettingsStore) -> None:
    before = store.current
    after = store.change({"lights": [LIGHT]})
    assert not np.array_equal(after.lighting.sh, before.lighting.sh)
    assert store.change(after.settings.to_json()).lighting.equals(after.lighting)
    assert store.change({"preset": "auto", "lights": [LIGHT]}).lighting.mode == "auto"
    assert store.change({"preset": "soft-front"}).lighting.equals(before.lighting)


@pytest.mark.parametrize(
    "lights",
    [
        [], [LIGHT] * 7, LIGHT, [3], [LIGHT | {"more": 1}], [LIGHT | {"azimuth": 181}],
        [LIGHT | {"rgb": [0, 0, 0]}], [LIGHT | {"rgb": [-1, 1, 1]}], [LIGHT | {"rgb": [99, 1, 1]}],
        [LIGHT | {"rgb": [float("nan"), 1, 1]}], [LIGHT | {"rgb": "red"}],
        [LIGHT | {"softness": 1.1}], [LIGHT | {"softness": True}],
    ],
)  # fmt: skip
def test_lights_that_cannot_be_are_refused(store: SettingsStore, lights: object) -> None:
    before = store.current
    with pytest.raises(InputError):
        store.change({"lights": lights})
    assert store.current is before
