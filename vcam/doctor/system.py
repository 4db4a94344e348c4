"""The machine as the checks see it: its files below a root folder, its devices, its user."""

import getpass
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vcam_relight.vcam.devices.v4l2 import Capability, query_capability
from vcam_relight.vcam.doctor.modes import Mode, video_modes

if TYPE_CHECKING:
    from vcam_relight.vcam.devices.distro import LinuxDistribution


@dataclass(frozen=True, slots=True)
class VideoNode:
    """A V4L2 device."""

    index: int
    name: str
    path: Path
    capability: Capability | None
    """None when it cannot be opened."""


@dataclass(frozen=True)
class System:
    """A machine. What cannot be read counts as not being there: no check needs a privilege."""

    root: Path = Path("/")
    kernel: str = field(default_factory=platform.release)
    platform: str = sys.platform
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    home: Path = field(default_factory=Path.home)
    user: str = field(default_factory=lambda: _user())
    groups: frozenset[int] = field(default_factory=lambda: _groups())
    """Of this process, by number: those of the session, which may be older than `/etc/group`."""
    accessible: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK)
    query: Callable[[Path], Capability | None] = query_capability
    modes: Callable[[Path], list[Mode]] = video_modes

    def path(self, place: str) -> Path:
        """Where the file `place`, an absolute path, is."""
        return self.root / place.removeprefix("/")

    def text(self, place: str | Path) -> str:
        """A text file's content without white space around it; empty when it cannot be read.

        Args:
            place: as in `path`, or what `path` or `glob` gave.
        """
        path = self.path(place) if isinstance(place, str) else place
        try:
            return path.read_text("utf-8", "replace").strip()
        except OSError:
            return ""

    def glob(self, pattern: str) -> list[Path]:
        """The files that an absolute pattern matches, sorted."""
        try:
            return sorted(self.root.glob(pattern.removeprefix("/")))
        except OSError:
            return []

    @property
    def distribution(self) -> "LinuxDistribution":
        """The Linux distribution, with its commands."""
        from vcam_relight.vcam.devices.distro import (
            distribution,
        )

        return distribution(self.text("/etc/os-release"))

    @property
    def container(self) -> bool:
        """Whether this is a container, whose kernel is its host's."""
        return any(self.path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))

    def video_nodes(self) -> Iterator[VideoNode]:
        """The kernel's list of video devices, by number; opens no stream and lights no LED."""
        entries = self.glob("/sys/class/video4linux/video*")
        numbered = [(int(entry.name[5:]), entry) for entry in entries if entry.name[5:].isdigit()]
        for index, entry in sorted(numbered):
            path = self.path(f"/dev/{entry.name}")
            name = self.text(f"/sys/class/video4linux/{entry.name}/name") or entry.name
            yield VideoNode(index, name, path, self.query(path) if path.exists() else None)

    def holders(self, path: Path) -> list[str]:
        """The programs that hold a device open, as `name (process number)`.

        Those of other users are seen by root alone.
        """
        found = []
        for descriptors in self.glob("/proc/[0-9]*/fd"):
            process = descriptors.parent
            if int(process.name) == os.getpid():
                continue
            try:
                held = any(link.readlink() == path for link in descriptors.iterdir())
            except OSError:  # another user's, or gone meanwhile
                continue
            if held:
                program = self.text(f"/proc/{process.name}/comm") or "a program"
                found.append(f"{program} ({process.name})")
        return found

    def in_group_file(self, gid: int) -> bool:
        """Whether `/etc/group` lists the user as a member of the group."""
        pattern = rf"^[^:\n]*:[^:\n]*:{gid}:(?:.*,)?{re.escape(self.user)}(?:,|$)"
        return re.search(pattern, self.text("/etc/group"), re.M) is not None

    def group_name(self, gid: int) -> str:
        """A group's name; its number where it has none."""
        match = re.search(rf"^([^:\n]+):[^:\n]*:{gid}:", self.text("/etc/group"), re.M)
        return match[1] if match else str(gid)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        return ""


def _groups() -> frozenset[int]:
    if sys.platform == "win32":
        return frozenset()
    return frozenset({*os.getgroups(), os.getegid()})
