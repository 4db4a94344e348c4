"""Where a running program listens to commands of its user: a socket that nobody else can reach."""

import os
import stat
import sys
from pathlib import Path

import platformdirs

from vcam_relight.vcam.core.errors import VcamError


def control_path() -> Path | None:
    """The socket of the program that runs; None on systems without such sockets."""
    if sys.platform == "win32":
        return None
    named = os.environ.get("VCAM_CONTROL")
    if named:
        return Path(named)
    runtime = os.environ.get("XDG_RUNTIME_DIR")  # systemd's, gone with the user's last session
    if runtime:
        return Path(runtime) / "vcam" / "control.sock"
    return platformdirs.user_cache_path("vcam", appauthor=False) / "run" / "control.sock"


def private_folder(folder: Path) -> None:
    """Makes a folder that only this user may enter.

    Raises:
        VcamError: there is one that others may enter, or it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.lstat()
    except OSError as error:
        raise VcamError(f"{folder} cannot be used ({error.strerror})") from error
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise VcamError(f"others may enter {folder}", f"remove it, or chmod 700 {folder}")
