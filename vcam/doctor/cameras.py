"""The cameras: there is one, it may be opened, it is free, and it is as fast as it should be."""

from collections.abc import Callable, Iterator

from vcam_relight.vcam.core.errors import SourceError
from vcam_relight.vcam.devices.v4l2 import CAPTURE
from vcam_relight.vcam.doctor.check import Check
from vcam_relight.vcam.doctor.loopback import DRIVER
from vcam_relight.vcam.doctor.modes import Mode
from vcam_relight.vcam.doctor.system import System, VideoNode

ASKED, RATE = (1280, 720), 30.0
"""What `vcam run` asks of a camera by default: pixels and frames per second."""
SMOOTH = 24.0
"""Frames per second below which movement is seen to jerk."""
KEPT = 0.8
"""Of the rate that a camera promises; long exposures in the dark halve it."""

Measure = Callable[[int, tuple[int, int], float], tuple[tuple[int, int], float]]
"""As `vcam.doctor.modes.measured_rate`."""


def camera_checks(system: System, measure: Measure) -> Iterator[Check]:
    """The checks of the machine as a whole, then of each camera. Opens each that is free."""
    nodes = list(system.video_nodes())
    yield check_permissions(system, nodes)
    cameras = [node for node in nodes if _is_camera(node)]
    yield check_cameras(cameras, refused=any(node.capability is None for node in nodes))
    for camera in cameras:
        holders = system.holders(camera.path)
        modes = system.modes(camera.path)
        yield check_free(camera, holders)
        yield check_modes(camera, modes)
        if not holders:
            yield check_rate(camera, modes, measure)


def check_permissions(system: System, nodes: list[VideoNode]) -> Check:
    """The user may open every video device."""
    name = "permissions"
    missing = [node.path for node in nodes if not node.path.exists()]
    if missing:
        shown = ", ".join(map(str, missing))
        hint = (
            f"start the container with --device {missing[0]}"
            if system.container
            else "restart the machine, or unplug the camera and plug it in again"
        )
        return Check("warn", name, f"the kernel knows {shown}, but there is no such file", hint)
    refused = [node.path for node in nodes if not system.accessible(node.path)]
    if not refused:
        return Check("ok", name, "all video devices may be opened" if nodes else "no video device")
    gid = refused[0].stat().st_gid
    group = system.group_name(gid)
    detail = f"{', '.join(map(str, refused))} may be opened by the group {group} only"
    if system.container:
        return Check("warn", name, detail, f"start the container with --group-add {gid}")
    if gid not in system.groups and system.in_group_file(gid):
        hint = "you are in it since after this session began: log out and in again"
        return Check("warn", name, detail, hint)
    return Check("warn", name, detail, f"sudo usermod -aG {group} $USER, then log out and in again")


def check_cameras(cameras: list[VideoNode], refused: bool) -> Check:
    """There is a camera.

    Args:
        cameras: those that can be opened.
        refused: whether there are devices that cannot.
    """
    if not cameras and refused:
        return Check("warn", "cameras", "none that can be opened", "see the line on permissions")
    if not cameras:
        return Check("warn", "cameras", "none", "plug one in, or use --source demo or peer")
    return Check("ok", "cameras", ", ".join(f"{c.index}: {c.name}" for c in cameras))


def check_free(camera: VideoNode, holders: list[str]) -> Check:
    """No other program has it."""
    name = f"camera {camera.index} in use"
    if holders:
        hint = "close that program, or choose the virtual camera in it"
        return Check("warn", name, f"{camera.path} is held by {', '.join(holders)}", hint)
    return Check("ok", name, "no")


def check_modes(camera: VideoNode, modes: list[Mode]) -> Check:
    """It has a mode that is large and smooth enough: most need MJPG for it."""
    name = f"camera {camera.index} modes"
    if not modes:
        return Check("ok", name, "the driver lists none")
    smooth = [mode for mode in modes if mode.fps >= SMOOTH]
    best = max(smooth or modes, key=lambda mode: (mode.width * mode.height, mode.fourcc == "MJPG"))
    has_jpeg = any(mode.fourcc == "MJPG" for mode in modes)
    detail = "MJPG" if has_jpeg else "no MJPG"
    detail += f"; largest smooth mode {_shown(best)}" if smooth else f"; at best {_shown(best)}"
    if smooth and best.width * best.height >= ASKED[0] * ASKED[1]:
        return Check("ok", name, detail)
    hint = f"--size {best.width}x{best.height}" + ("" if smooth else f" --fps {best.fps:.0f}")
    if not has_jpeg:
        hint += ", or a USB 3 port: uncompressed pictures need the bandwidth"
    return Check("warn", name, detail, hint)


def check_rate(camera: VideoNode, modes: list[Mode], measure: Measure) -> Check:
    """It really gives as many frames a second as it says."""
    name = f"camera {camera.index} rate"
    try:
        (width, height), fps = measure(camera.index, ASKED, RATE)
    except SourceError as error:
        return Check("warn", name, error.what, error.hint)
    detail = f"{fps:.1f} frames per second at {width}x{height}"
    promised = [mode.fps for mode in modes if (mode.width, mode.height) == (width, height)]
    if fps >= KEPT * min(max(promised, default=RATE), RATE):
        return Check("ok", name, detail)
    slow = f"v4l2-ctl -d {camera.path} -c exposure_dynamic_framerate=0"
    hint = f"more light, or {slow}, or a USB port of its own"
    return Check("warn", name, f"{detail}, which is less than it says", hint)


def _is_camera(node: VideoNode) -> bool:
    capability = node.capability
    return bool(capability and capability.flags & CAPTURE and capability.driver != DRIVER)


def _shown(mode: Mode) -> str:
    return f"{mode.width}x{mode.height} at {mode.fps:g} frames per second in {mode.fourcc}"
