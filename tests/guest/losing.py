"""The program, which loses its virtual camera on SIGUSR1.

The kernel refuses to unload a module that is in use, so the descriptor is made useless behind the
program's back.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))
from vcam_relight.vcam.cli.main import main

VIRTUAL = Path(os.environ["VCAM_DEVICE"])


def lose(*_: object) -> None:
    """Replaces each descriptor of the device by one that cannot be written to."""
    for link in Path("/proc/self/fd").iterdir():
        if link.is_symlink() and link.readlink() == VIRTUAL:
            nothing = os.open("/dev/null", os.O_RDONLY)
            os.dup2(nothing, int(link.name))
            os.close(nothing)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, lose)
    sys.exit(main())
