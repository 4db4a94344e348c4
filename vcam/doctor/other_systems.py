"""Windows and macOS: their virtual cameras, and what they ask before a program may use a camera."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.devices.listing import CameraDevice
from vcam_relight.vcam.doctor.check import Check
from vcam_relight.vcam.doctor.system import System

_CONSENT = r"SOFTWARE\Microsoft\Windows\CurrentVersion\CapabilityAccessManager\ConsentStore\webcam"


def other_checks(
    system: System, cameras: list[CameraDevice], try_virtual_camera: Callable[[], str]
) -> Iterator[Check]:
    """The checks of a system that is not Linux.

    Args:
        system: with `platform` `win32` or `darwin`.
        cameras: those that open.
        try_virtual_camera: opens it, closes it, returns its name; raises SinkError.
    """
    windows = system.platform == "win32"
    yield check_cameras(cameras, windows)
    if windows:
        yield check_consent(_consent())
    yield check_virtual_camera(system, try_virtual_camera)


def check_cameras(cameras: list[CameraDevice], windows: bool) -> Check:
    """There is a camera that opens."""
    if cameras:
        return Check("ok", "cameras", ", ".join(f"{c.index}: {c.name}" for c in cameras))
    if windows:
        hint = "close programs that use it; allow it in Settings > Privacy & security > Camera"
    else:
        hint = (
            "allow the terminal that starts vcam in System Settings > Privacy & Security > Camera, "
            "and start it again"
        )
    return Check("warn", "cameras", "none opens", f"{hint}; or use --source demo or peer")


def check_consent(consent: str) -> Check:
    """Windows lets desktop programs use the camera.

    Args:
        consent: `Allow` or `Deny`.
    """
    if consent == "Deny":
        hint = "Settings > Privacy & security > Camera: let desktop apps access your camera"
        return Check("warn", "permissions", "Windows keeps the camera from programs", hint)
    return Check("ok", "permissions", "Windows lets programs use the camera")


def check_virtual_camera(system: System, try_it: Callable[[], str]) -> Check:
    """OBS's or UnityCapture's camera opens."""
    name = "virtual camera"
    try:
        device = try_it()
    except SinkError as error:
        return Check("warn", name, error.what, _mend(system, error.what))
    return Check("ok", name, f"choose '{device}' in other programs")


def virtual_camera_name() -> str:
    """Opens the virtual camera and closes it again; returns its name in other programs.

    Raises:
        SinkError: none opens.
    """
    from vcam_relight.vcam.sinks.virtual_camera import VirtualCameraSink

    sink = VirtualCameraSink((1280, 720), 30.0)
    try:
        sink.open()
        return sink.device
    finally:
        sink.close()


def _mend(system: System, problem: str) -> str:
    if "pyvirtualcam does not load" in problem:
        return "pip install pyvirtualcam"
    if system.platform == "win32":
        if "could not be started" in problem:  # one program at a time writes to it
            return "stop the virtual camera in OBS, or close OBS"
        return (
            "install OBS Studio (obsproject.com), or UnityCapture beside it; `vcam setup` says how"
        )
    if not system.path("/Applications/OBS.app").exists():
        return "install OBS Studio 30 or newer (obsproject.com); `vcam setup` says how"
    return (
        "press Start Virtual Camera in OBS once, allow its camera extension in System Settings > "
        "General > Login Items & Extensions > Camera Extensions; restart, then close OBS"
    )


def _consent() -> str:
    """`Deny` where the machine's, the user's or desktop programs' switch is off."""
    if sys.platform != "win32":
        return "Allow"
    import winreg

    for root in (winreg.HKEY_LOCAL_MACHINE, winreg.HKEY_CURRENT_USER):
        for key in (_CONSENT, rf"{_CONSENT}\NonPackaged"):
            with contextlib.suppress(OSError), winreg.OpenKey(root, key) as opened:
                if winreg.QueryValueEx(opened, "Value")[0] == "Deny":
                    return "Deny"
    return "Allow"
