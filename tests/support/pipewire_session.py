"""A PipeWire desktop of its own, without a screen: D-Bus, PipeWire, WirePlumber, camera portal."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_PATIENCE_S = 20.0
_PORTAL = "[portal]\nDBusName=org.freedesktop.impl.portal.desktop.stub\n"
_PORTAL += "Interfaces=org.freedesktop.impl.portal.Access\nUseIn=stub\n"
_STORE = "org.freedesktop.impl.portal.PermissionStore"


def require_pipewire() -> None:
    """Skips the test where there is no PipeWire; fails it where VCAM_REQUIRE_BROWSER=1."""
    needed = ["/usr/libexec/xdg-desktop-portal", "/usr/libexec/xdg-permission-store"]
    needed += ["pipewire", "wireplumber", "dbus-daemon", "gdbus"]
    missing = [one for one in needed if shutil.which(one) is None]
    if not missing:
        return
    reason = f"PipeWire is not installed ({', '.join(missing)})"
    if os.environ.get("VCAM_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class PipeWireSession:
    """Its programs, and the environment that finds them."""

    def __init__(self, folder: Path) -> None:
        run = folder / "run"
        run.mkdir(mode=0o700, parents=True)
        (folder / "stub.portal").write_text(_PORTAL)
        self.environ = {
            "XDG_RUNTIME_DIR": str(run),
            "XDG_STATE_HOME": str(folder / "state"),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={run}/bus",
            "XDG_CURRENT_DESKTOP": "stub",
            "XDG_DESKTOP_PORTAL_DIR": str(folder),
        }
        self._run, self._log = run, folder / "log"
        self._programs: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Everything, one after the other."""
        bus = ["dbus-daemon", "--session", "--nofork", "--nopidfile"]
        self._begin("bus", *bus, f"--address={self.environ['DBUS_SESSION_BUS_ADDRESS']}")
        self._there("bus")
        self.start_pipewire()
        self._begin("store", "/usr/libexec/xdg-permission-store")
        # The dialog that asks whether programs may use cameras is answered once.
        self._asked(
            "call", "--session", "--dest", _STORE, "--object-path",
            "/org/freedesktop/impl/portal/PermissionStore", "--method", f"{_STORE}.SetPermission",
            "devices", "true", "camera", "", "['yes']",
        )  # fmt: skip
        self._begin("portal", "/usr/libexec/xdg-desktop-portal")
        portal = "org.freedesktop.portal.Desktop"
        self._asked(
            "call", "--session", "--dest", portal, "--object-path",
            "/org/freedesktop/portal/desktop", "--method", "org.freedesktop.DBus.Properties.Get",
            "org.freedesktop.portal.Camera", "IsCameraPresent",
        )  # fmt: skip

    def start_pipewire(self) -> None:
        """The daemon and its manager."""
        self._begin("pipewire", "pipewire")
        self._there("pipewire-0")
        self._begin("wireplumber", "wireplumber")

    def stop_pipewire(self) -> None:
        """The same, ended."""
        for name in ("wireplumber", "pipewire"):
            self._end(name)
        with contextlib.suppress(FileNotFoundError):
            (self._run / "pipewire-0").unlink()

    def stop(self) -> None:
        """Ends all."""
        for name in reversed(list(self._programs)):
            self._end(name)

    def _begin(self, name: str, *command: str) -> None:
        with self._log.open("ab") as log:
            self._programs[name] = subprocess.Popen(
                command, env=os.environ | self.environ, stdout=log, stderr=log
            )

    def _end(self, name: str) -> None:
        program = self._programs.pop(name)
        program.kill()
        program.wait()

    def _there(self, name: str) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not (self._run / name).exists():
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.05)

    def _asked(self, *arguments: str) -> None:
        end, env = time.monotonic() + _PATIENCE_S, os.environ | self.environ
        while True:
            done = subprocess.run(["gdbus", *arguments], env=env, capture_output=True, text=True)
            if done.returncode == 0:
                return
            assert time.monotonic() < end, done.stderr + self._log.read_text()
            time.sleep(0.1)


@contextlib.contextmanager
def pipewire_session() -> Iterator[PipeWireSession]:
    """One that runs; this process finds it, too."""
    require_pipewire()
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="vcam-pw-") as folder:
        session = PipeWireSession(Path(folder))
        try:
            session.start()
            os.environ.update(session.environ)
            yield session
        finally:
            os.environ.clear()
            os.environ.update(before)
            session.stop()
