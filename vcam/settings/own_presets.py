"""The presets that the user saves in the panel: one TOML file beside those written by hand."""

import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vcam_relight.pipeline.lighting.presets import (
    LONGEST_TITLE,
    Preset,
    load_presets,
    presets_toml,
    read_presets,
)
from vcam_relight.vcam.core.atomic_file import replacing
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.settings.store import SettingsStore

FILE = "saved.toml"
MOST = 60
"""Presets that can be saved."""
AFTER_DELETION = "auto"
"""What is shown when the preset that is deleted is on."""


class OwnPresets:
    """Saves, renames, orders and deletes them; `store` and the file are changed together.

    The file is read anew each time, so that what was changed in it by hand stays. One that cannot
    be read is never written over. Any thread may call; files are written, so not on an event loop.
    """

    def __init__(self, store: SettingsStore, folder: Path) -> None:
        """Reads nothing yet.

        Args:
            store: whose presets are kept up to date.
            folder: of the user's presets; made when the first is saved.
        """
        self._store = store
        self._folder = folder
        self._path = folder / FILE
        self._lock = threading.Lock()
        self.names: frozenset[str] = frozenset(_read(self._path, strict=False))
        """Those that are in the file."""

    def save(self, title: str) -> None:
        """Saves the current look and chooses it; one of that title is replaced.

        Raises:
            InputError: the title cannot be used, there are `MOST`, or the file is damaged or cannot
                be written.
        """
        with self._lock:
            saved = _read(self._path)
            title, name = self._named(title, saved)
            if name not in saved and len(saved) >= MOST:
                raise InputError(f"{MOST} looks are saved already", "delete one of them")
            now = self._store.current.settings
            preset = self._store.presets[now.preset]
            look = replace(
                preset,
                name=name,
                title=title,
                help="Saved in the panel",
                lights=preset.lit(now.aim, now.lights),
                controls=now.relight,
            )
            self._write(saved | {name: look})
            self._store.change({"preset": name}, resumed=True)

    def rename(self, name: str, title: str) -> None:
        """Gives one another title, and the name that goes with it; it keeps its place.

        Raises:
            InputError: as of `save`; or there is none of that name, or one of the new name.
        """
        with self._lock:
            saved = _read(self._path)
            look = _known(saved, name)
            title, new = self._named(title, saved)
            if new != name and new in saved:
                raise InputError(f"a look called {title!r} is saved already", "choose another name")
            look = replace(look, name=new, title=title)
            renamed = {(new if n == name else n): (look if n == name else p)
                       for n, p in saved.items()}  # fmt: skip
            self._write(renamed, {name: new})

    def move(self, name: str, by: int) -> None:
        """Moves one earlier (below 0) or later among those that are saved.

        Raises:
            InputError: there is none of that name, or the file is damaged or cannot be written.
        """
        with self._lock:
            saved = _read(self._path)
            _known(saved, name)
            names = list(saved)
            place = min(max(names.index(name) + by, 0), len(names) - 1)
            names.remove(name)
            names.insert(place, name)
            self._write({each: saved[each] for each in names})

    def delete(self, name: str) -> None:
        """Forgets one.

        Raises:
            InputError: as of `move`.
        """
        with self._lock:
            saved = _read(self._path)
            _known(saved, name)
            self._write({each: preset for each, preset in saved.items() if each != name})

    def _named(self, title: str, saved: Mapping[str, Preset]) -> tuple[str, str]:
        """A title in one line and the name that goes with it.

        Raises:
            InputError: it is empty or too long, or the name is that of a preset of the program's or
                in another file.
        """
        title = " ".join(title.split())
        name = re.sub(r"[\W_]+", "-", title.casefold()).strip("-")
        if not name or not title.isprintable():
            raise InputError("a look needs a name with a letter or a digit")
        if len(title) > LONGEST_TITLE or len(name) > LONGEST_TITLE:
            raise InputError(f"a name has at most {LONGEST_TITLE} characters")
        if name not in saved and name in self._store.presets:
            raise InputError(f"there is a preset called {name!r}", "choose another name")
        return title, name

    def _write(self, saved: Mapping[str, Preset], renamed: Mapping[str, str] | None = None) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as path:
                path.write_text(presets_toml(saved.values()), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{self._path} cannot be written ({error})", "check it") from error
        self.names = frozenset(saved)
        presets, _ = load_presets(self._folder)
        self._store.replace_presets(presets, renamed or {}, AFTER_DELETION)


def _known(saved: Mapping[str, Preset], name: str) -> Preset:
    if name not in saved:
        raise InputError(f"no look called {name!r} is saved")
    return saved[name]


def _read(path: Path, *, strict: bool = True) -> dict[str, Preset]:
    """Those in the file, in order; unless `strict`, none where it is damaged."""
    try:
        return read_presets(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        if not strict:
            return {}
        raise InputError(
            f"{path} is damaged, and nothing was saved ({error})", "mend or move the file"
        ) from error
