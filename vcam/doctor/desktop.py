"""What stands between the virtual camera and other programs on a Linux desktop.

That is PipeWire's camera portal, and the sandboxes of Flatpak and snap.
"""

import re
from collections.abc import Iterator

from vcam_relight.vcam.doctor.check import Check
from vcam_relight.vcam.doctor.system import System

_CALLERS = re.compile(
    r"zoom|teams|slack|discord|skype|webex|signal|telegram|element|jitsi|firefox|chrom|brave"
    r"|\bedge\b|opera|vivaldi|librewolf|obsproject|obs-studio|snapshot|cheese",
    re.I,
)
"""Names of programs that show a camera."""
_APPS = ("/var/lib/flatpak", "{home}/.local/share/flatpak")


def desktop_checks(system: System) -> Iterator[Check]:
    """The checks of the session that this runs in."""
    yield check_portal(system)
    yield check_pipewire_camera(system)
    yield check_flatpaks(system)
    yield check_snaps(system)
    yield check_own_sandbox(system)


def check_portal(system: System) -> Check:
    """PipeWire and the desktop portal run: sandboxed programs get cameras through them."""
    name = "pipewire portal"
    runtime = system.environ.get("XDG_RUNTIME_DIR", "")
    session = system.environ.get("WAYLAND_DISPLAY") or system.environ.get("DISPLAY")
    if not session or not runtime:
        return Check("ok", name, "no desktop session")
    running = system.path(f"{runtime}/pipewire-0").exists()
    places = ("/usr/libexec", "/usr/lib", "/usr/lib/xdg-desktop-portal")
    portal = any(system.path(f"{place}/xdg-desktop-portal").is_file() for place in places)
    if not (running and portal):
        lacking = "PipeWire does not run" if not running else "xdg-desktop-portal is missing"
        hint = (
            "systemctl --user enable --now pipewire wireplumber"
            if not running
            else "install xdg-desktop-portal and your desktop's part of it"
        )
        return Check("warn", name, f"{lacking}: Flatpak programs see no camera", hint)
    # It lists a device by what it was when it appeared; with exclusive_caps=1 that is an output.
    detail = (
        "runs. If Firefox or a Flatpak misses the camera: "
        "`systemctl --user restart wireplumber` while vcam runs"
    )
    return Check("ok", name, detail)


def check_pipewire_camera(system: System) -> Check:
    """Whether `--sink pipewire` has what it needs, and which programs would read it."""
    name = "pipewire camera"
    if not pipewire_runs(system):
        return Check("ok", name, "PipeWire is not running: v4l2loopback is the way here")
    portals = system.glob("/usr/share/xdg-desktop-portal/portals/*.portal")
    if not any("impl.portal.Access" in system.text(portal) for portal in portals):
        # Chromium with the switch and without the portal waits for minutes for its list of cameras.
        hint = "install your desktop's part of xdg-desktop-portal (-gnome, -kde, -gtk) first"
        return Check("warn", name, "no Camera portal: browsers cannot read it", hint)
    detail = (
        "--sink pipewire works without v4l2loopback. Firefox: about:config, "
        "media.webrtc.camera.allow-pipewire; Chromium, Chrome, Edge: chrome://flags, "
        "enable-webrtc-pipewire-camera; OBS: Video Capture Device (PipeWire). Zoom's own program "
        "reads v4l2loopback only. A dialog once refused: `flatpak permission-remove devices camera`"
    )
    return Check("ok", name, detail)


def pipewire_runs(system: System) -> bool:
    """Whether PipeWire's library is installed and its daemon runs."""
    places = ("/usr/lib/*", "/usr/lib", "/usr/lib64", "/lib64", "/lib/*")
    runtime = system.environ.get("XDG_RUNTIME_DIR", "")
    found = any(system.glob(f"{place}/libpipewire-0.3.so.0") for place in places)
    return found and bool(runtime) and system.path(f"{runtime}/pipewire-0").exists()


def check_flatpaks(system: System) -> Check:
    """Programs from Flatpak may open devices."""
    name = "flatpak"
    seen, shut = 0, []
    for place in _APPS:
        base = place.format(home=system.home)
        for app in system.glob(f"{base}/app/*"):
            if not _CALLERS.search(app.name):
                continue
            seen += 1
            texts = [system.text(f"{base}/app/{app.name}/current/active/metadata")]
            texts += [
                system.text(f"{other.format(home=system.home)}/overrides/{app.name}")
                for other in _APPS
            ]
            if not any(re.search(r"^devices=(?:.*;)?all\b", text, re.M) for text in texts):
                shut.append(app.name)
    if shut:
        hint = " && ".join(f"flatpak override --user --device=all {app}" for app in shut)
        return Check("warn", name, f"{', '.join(shut)} may open no virtual camera", hint)
    return Check("ok", name, f"{seen} that may open cameras" if seen else "no program that calls")


def check_snaps(system: System) -> Check:
    """Programs from snap are connected to cameras."""
    name = "snap"
    snaps, shut = [], []
    for folder in system.glob("/snap/*"):
        about = system.text(folder / "current/meta/snap.yaml")
        if not (_CALLERS.search(folder.name) and re.search(r"^\s+(- )?camera\b", about, re.M)):
            continue  # what asks for no camera cannot be given one; classic snaps need none
        snaps.append(folder.name)
        # snapd writes into its udev rules what a snap may open
        rules = system.text(f"/etc/udev/rules.d/70-snap.{folder.name}.rules")
        if 'KERNEL=="video' not in rules:
            shut.append(folder.name)
    if shut:
        hint = " && ".join(f"sudo snap connect {snap}:camera" for snap in shut)
        return Check("warn", name, f"{', '.join(shut)} may open no camera", hint)
    return Check("ok", name, ", ".join(snaps) or "no program that calls")


def check_own_sandbox(system: System) -> Check:
    """This program itself runs in no sandbox that hides devices."""
    for variable, kind in (("FLATPAK_ID", "Flatpak"), ("SNAP", "snap")):
        if system.environ.get(variable):
            hint = "start it from a terminal of the desktop itself"
            return Check("warn", "sandbox", f"vcam runs inside a {kind}, which hides devices", hint)
    return Check("ok", "sandbox", "none around vcam")
