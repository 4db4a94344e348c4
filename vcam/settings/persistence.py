"""The user's folder: their own presets, and the settings that the panel leaves behind."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from vcam_relight.pipeline.core.user_files import brief, read_text
from vcam_relight.vcam.core.atomic_file import replacing
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.settings.store import PRESET_SETTINGS, Settings, SettingsStore

log = logging.getLogger(__name__)

LARGEST_FILE = 64 * 1024
"""Bytes of saved settings that are read; the program writes less than 1 KiB."""


def config_folder() -> Path:
    """This platform's place for the program's configuration; it survives upgrades."""
    return platformdirs.user_config_path("vcam", appauthor=False)


def presets_folder() -> Path:
    """Where the user puts `*.toml` files with presets of their own."""
    return config_folder() / "presets"


def settings_file() -> Path:
    """What the panel was left at, as JSON."""
    return config_folder() / "settings.json"


def restore(store: SettingsStore) -> dict[str, Any]:
    """Brings back what the panel was left at, and returns it for `save_changes`.

    What cannot be used (a preset that was deleted, a damaged file) is one warning, and counts as
    not saved; the rest holds.
    """
    saved = _read()
    usable, problems = {}, []
    # The preset goes first, since it brings values for the others; the engine last, since it need
    # not support all that was set for another one.
    for name in sorted(saved, key=lambda name: (name != "preset", name == "engine")):
        try:
            store.change({name: saved[name]})
            usable[name] = saved[name]
        except InputError as error:
            problems.append(error.what)
    if problems:
        log.warning(
            "saved settings are ignored: %s (%s)", brief("; ".join(problems)), settings_file()
        )
    return usable


def save_changes(saved: Mapping[str, Any], before: Settings, after: Settings) -> None:
    """Saves what was changed while the program ran.

    What a preset brings is saved as a whole once a part of it was changed, so together with the
    preset and the controls that the command line asked for; other settings one by one. A file that
    cannot be written is one warning.

    Args:
        saved: what `restore` returned.
        before: the settings at the start.
        after: the settings at the end.
    """
    old, new = before.to_json(), after.to_json()
    changed = {name: value for name, value in new.items() if value != old[name]}
    if changed.keys() & PRESET_SETTINGS:
        changed |= {name: value for name, value in new.items() if name in PRESET_SETTINGS}
    if not changed:
        return
    try:
        settings_file().parent.mkdir(parents=True, exist_ok=True)
        with replacing(settings_file()) as path:
            path.write_text(json.dumps(dict(saved) | changed, indent=2) + "\n", encoding="utf-8")
    except (OSError, InputError) as error:
        log.warning("the settings were not saved: %s", error)


def _read() -> dict[str, Any]:
    path = settings_file()
    try:
        saved = json.loads(read_text(path, LARGEST_FILE))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        log.warning("saved settings are ignored: %s is damaged (%s)", path, brief(error))
        return {}
    if not isinstance(saved, dict):
        log.warning("saved settings are ignored: %s is damaged (no JSON object)", path)
        return {}
    return saved
