"""What `vcam doctor --bundle` writes: all that helps to find a fault, and nothing about a person.

What is private is not collected in the first place: no command lines of other programs, no
addresses, no environment. A name can still be part of a path or an error, so what is known to be
private on this machine is redacted in every text.
"""

import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vcam_relight import __version__
from vcam_relight.vcam.core.atomic_file import replacing
from vcam_relight.vcam.doctor.check import Check
from vcam_relight.vcam.doctor.program import NEEDED
from vcam_relight.vcam.doctor.system import System

_SERIALS = (
    "/sys/bus/usb/devices/*/serial",
    "/sys/class/dmi/id/*_serial",
    "/sys/class/dmi/id/product_uuid",
    "/sys/class/net/*/address",
    "/etc/machine-id",
)
_TOKEN = re.compile(r"(?<![\w-])[\w-]{32,}(?![\w-])")
"""The panel's tokens have 43 such characters, most others are longer still."""
_TOO_SHORT = 3
"""Names of fewer characters are parts of too many words; they are taken out of paths alone."""
_EVERYONES = {"root", "user", "localhost", "vcam", "video", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104
"""Names of users and machines that tell nothing, and are words of ours."""


class Redactor:
    """Takes what is private out of texts."""

    def __init__(self, system: System, more: Iterable[str] = ()) -> None:
        """Learns what is private here.

        Args:
            system: the machine whose names and numbers are private.
            more: other words that are.
        """
        serials = [system.text(path) for pattern in _SERIALS for path in system.glob(pattern)]
        names = [system.user, *_full_name(system).split(), *_host_names(system), *more]
        self._words = {
            **{name: "<name>" for name in names if name.lower() not in _EVERYONES},
            **{serial: "<serial>" for serial in serials if re.search(r"[1-9A-Fa-f]", serial)},
        }
        self._home = str(system.home)

    def text(self, text: str) -> str:
        """`text` without what is private."""
        if len(self._home) > 1:
            text = text.replace(self._home, "~")
        text = re.sub(r"(/home/|/Users/|\\Users\\)[^/\\\s]+", r"\1<name>", text)
        for word, instead in sorted(self._words.items(), key=lambda item: -len(item[0])):
            if len(word) >= _TOO_SHORT:
                whole = rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])"
                text = re.sub(whole, instead, text, flags=re.I)
        return _TOKEN.sub("<token>", text)

    def all(self, value: Any) -> Any:
        """A JSON value with every text in it blotted, keys excepted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.all(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.all(part) for part in value]
        return value


def write_bundle(path: Path, system: System, checks: list[Check], host: str) -> None:
    """Writes the report as JSON; what is at `path` is replaced.

    Args:
        path: the file.
        system: the machine.
        checks: what was found.
        host: the address asked about, which is private.

    Raises:
        InputError: the file cannot be written.
    """
    report = Redactor(system, [host]).all(_report(system, checks))
    with replacing(path) as part:
        part.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _report(system: System, checks: list[Check]) -> dict[str, Any]:
    parameters = system.glob("/sys/module/v4l2loopback/parameters/*")
    return {
        "vcam": __version__,
        "python": platform.python_version(),
        "system": {
            "name": platform.platform(),
            "release": system.text("/etc/os-release").partition("\n")[0],
            "kernel": system.kernel,
            "machine": platform.machine(),
            "processor": _processor(system),
            "cores": os.cpu_count(),
            "container": system.container,
            "desktop": system.environ.get("XDG_CURRENT_DESKTOP", ""),
            "session": system.environ.get("XDG_SESSION_TYPE", ""),
        },
        "packages": dict(_versions()),
        "checks": [asdict(check) for check in checks],
        "video devices": [
            {
                "file": node.path.name,
                "name": node.name,
                "driver": node.capability.driver if node.capability else None,
                "flags": f"{node.capability.flags:08x}" if node.capability else None,
                "modes": [
                    f"{mode.fourcc} {mode.width}x{mode.height} {mode.fps:g}"
                    for mode in system.modes(node.path)
                ],
            }
            for node in system.video_nodes()
        ],
        "v4l2loopback": {path.name: system.text(path) for path in parameters},
        "settings": _settings(system),
    }


def _settings(system: System) -> str:
    try:
        from vcam_relight.vcam.settings.persistence import settings_file
    except ImportError:  # a package is missing, which the checks say
        return ""
    return system.text(settings_file())


def _versions() -> Iterator[tuple[str, str]]:
    for name in sorted([*NEEDED.values(), "torch", "pyvirtualcam"]):
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, "none"


def _processor(system: System) -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", system.text("/proc/cpuinfo"), re.M)
    return match[1] if match else platform.processor()


def _host_names(system: System) -> list[str]:
    whole = {platform.node(), system.text("/etc/hostname")}
    return [name for host in whole if host for name in (host, host.partition(".")[0])]


def _full_name(system: System) -> str:
    """As the user's account has it, in passwd(5)'s comment field."""
    pattern = rf"^{re.escape(system.user)}:(?:[^:\n]*:){{3}}([^:,\n]*)"
    entry = re.search(pattern, system.text("/etc/passwd"), re.M)
    return entry[1] if entry else ""
