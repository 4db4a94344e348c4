"""`vcam setup`: prints the commands that give this machine a virtual camera, and a service.

It runs none of them: they need an administrator, and should be read first.
"""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcam_relight.vcam.doctor.system import System

_UNIT = """\
# The camera filter vcam for one user; made by `vcam setup --unit`.
[Unit]
Description=vcam, a camera filter that relights your face

[Service]
Type=exec
# A service shows the camera or nothing: without --source camera it might show the demo clip.
ExecStart={command} run --source camera --sink device --no-browser
# SIGTERM ends it cleanly and saves the panel's settings for the next start.
TimeoutStopSec=15
# Started before the camera or the virtual camera is there, it tries again. Wrong usage stays wrong.
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2
NoNewPrivileges=yes
Environment=PYTHONUNBUFFERED=1

[Install]
WantedBy=default.target
"""

_SERVICE = """\
# Optional: run vcam from login on, as a service of your own user.
mkdir -p ~/.config/systemd/user
{command} setup --unit > ~/.config/systemd/user/vcam.service
systemctl --user daemon-reload
systemctl --user enable --now vcam.service
# its panel:   journalctl --user -u vcam -o cat | grep panel: | tail -1
# its options: systemctl --user edit --full vcam
"""

_LINUX = """\
# A virtual camera for {name}. Nothing was changed: run these yourself.

# 1. Install the kernel module v4l2loopback.
{install}

# 2. Load it. Browsers list the camera only with exclusive_caps=1, and while vcam runs.
{load}

# 3. Load it whenever the machine starts.
echo v4l2loopback | sudo tee /etc/modules-load.d/vcam.conf
echo 'options v4l2loopback {options}' | sudo tee /etc/modprobe.d/vcam.conf

# 4. Let yourself use video devices; log out and in again afterwards.
sudo usermod -aG video "$USER"

# With Secure Boot, step 2 says 'Key was rejected by service' until the firmware knows the key that
# signs modules built here. This asks for a password, which the blue menu at the next start wants:
#   sudo mokutil --import {key}

# Check it all; with --watch it goes on, and ticks off what you mend.
{command} doctor

{service}"""

_WINDOWS = """\
A virtual camera for Windows. One of the two is enough.

OBS Studio: the camera is called 'OBS Virtual Camera'.
  1. winget install OBSProject.OBSStudio
  2. Start OBS once, press Start Virtual Camera, Stop Virtual Camera, and close OBS: the camera
     serves one program at a time.

UnityCapture: the camera is called 'Unity Video Capture', and OBS's stays free for OBS.
  1. Download https://github.com/schellingb/UnityCapture to a folder where it can stay.
  2. Run Install\\Install.bat in it as administrator.

Let programs use the camera: Settings > Privacy & security > Camera, both switches for apps.

Choose one:      {command} --sink "device:OBS Virtual Camera"
                 {command} --sink "device:Unity Video Capture"
Check it all:    {command} doctor
"""

_MACOS = """\
A virtual camera for macOS 13 or newer. It is called 'OBS Virtual Camera'.

  1. brew install --cask obs       (OBS Studio 30 or newer)
  2. Start OBS once and press Start Virtual Camera. Allow its camera extension in
     System Settings > General > Login Items & Extensions > Camera Extensions
     (macOS 13 and 14: System Settings > Privacy & Security), and restart the Mac.
  3. Close OBS: the camera serves one program at a time.
  4. System Settings > Privacy & Security > Camera: allow the terminal that starts vcam.

Check it all:    {command} doctor
"""


_PIPEWIRE = """\
# A camera for {use}, by PipeWire: nothing to install, no administrator.

# 1. Start vcam; its camera is called vcam.
{command} --sink pipewire

# 2. Let {use} read it, once.
{switch}

# What is still missing is said, and ticked off while you mend it:
{command} doctor --watch

# Other programs (Zoom's own, for one) need v4l2loopback:   {command} setup --for zoom
"""
_SWITCHES = {
    "browser": """\
#    Firefox: about:config, media.webrtc.camera.allow-pipewire, true
#    Chromium, Chrome, Edge: chrome://flags/#enable-webrtc-pipewire-camera, Enabled""",
    "obs": "#    OBS Studio: Sources, +, Video Capture Device (PipeWire), vcam",
}
USES = ("zoom", "browser", "obs")
"""What may read the camera."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What reads the camera, and `--unit`."""
    parser.add_argument(
        "--for",
        dest="use",
        choices=USES,
        help="what is to read the camera; in a terminal you are asked (Linux)",
    )
    parser.add_argument(
        "--unit", action="store_true", help="print the systemd user unit alone, for a file"
    )


def run(args: argparse.Namespace) -> int:
    """Prints; returns 0."""
    if args.unit:
        print(unit(this_program()), end="")
        return 0
    command = shlex.join(this_program())
    if sys.platform == "win32":
        print(_WINDOWS.format(command=f'"{this_program()[-1]}"'), end="")
    elif sys.platform == "darwin":
        print(_MACOS.format(command=command), end="")
    else:
        from vcam_relight.vcam.doctor.system import System

        system = System()
        use = args.use or _asked()
        print(steps(use, command, system), end="")
    return 0


def steps(use: str | None, command: str, system: "System") -> str:
    """What to do on Linux so that a use of `USES` (None: any) sees the camera."""
    from vcam_relight.vcam.doctor.desktop import check_pipewire_camera, pipewire_runs

    if use in _SWITCHES and pipewire_runs(system):
        text = _PIPEWIRE.format(
            use="OBS Studio" if use == "obs" else "your browser",
            command=command,
            switch=_SWITCHES[use],
        )
        check = check_pipewire_camera(system)
        return text if check.level == "ok" or use == "obs" else f"# {check}\n\n{text}"
    return linux(command, system.text("/etc/os-release"))


def _asked() -> str | None:
    """What somebody at a terminal says; None for no terminal, or no word."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    print(f"What is to read the camera? {', '.join(USES)} (Enter: any)", flush=True)
    try:
        word = input("> ").strip().lower()
    except EOFError:
        return None
    return next((use for use in USES if word and use.startswith(word)), None)


def linux(command: str, os_release: str) -> str:
    """What to do on the Linux distribution that `/etc/os-release`, given as text, describes."""
    from vcam_relight.vcam.devices.distro import MODULE_OPTIONS, distribution
    from vcam_relight.vcam.devices.setup_hints import LOAD_MODULE

    known = distribution(os_release)
    return _LINUX.format(
        name=known.name,
        install=known.install_module,
        load=LOAD_MODULE,
        options=MODULE_OPTIONS,
        key=known.signing_key,
        command=command,
        service=_SERVICE.format(command=command),
    )


def unit(program: Sequence[str]) -> str:
    """The systemd user unit that starts `program`, which is given as words."""
    first, *others = map(_quoted, program)
    # Variables are put into arguments, and not into the path of the program.
    words = [first, *(word.replace("$", "$$") for word in others)]
    return _UNIT.format(command=" ".join(words))


def _quoted(word: str) -> str:
    """A word as systemd.syntax(7) and systemd.unit(5) want it."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{word}"' if re.search(r"[\s\"']", word) else word


def this_program() -> list[str]:
    """The words that start this program from anywhere."""
    started = Path(sys.argv[0])
    own = str(started.absolute())
    return [sys.executable, own] if started.suffix == ".py" else [own]  # run_vcam.py of a checkout
