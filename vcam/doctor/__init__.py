"""The checks of `vcam doctor`: what works here, what does not, and what fixes it."""

from collections.abc import Iterator
from pathlib import Path

from vcam_relight.vcam.doctor.bundle import write_bundle
from vcam_relight.vcam.doctor.check import Check
from vcam_relight.vcam.doctor.program import program_checks
from vcam_relight.vcam.doctor.system import System

__all__ = ["System", "all_checks", "write_bundle"]


def all_checks(
    system: System, port: int, host: str, cert: Path | None, key: Path | None, *, engines: bool
) -> Iterator[Check]:
    """Every check, in the order in which a person would fix things.

    Args:
        system: the machine.
        port: as of `vcam run`, like all that follow.
        host: the address that the panel would listen on.
        cert: PEM file.
        key: PEM file.
        engines: whether torch, the default engine and the graphics card are tried, which takes some
            seconds.
    """
    complete = True
    for check in program_checks(system, engines=engines):
        complete &= check.level != "fail"
        yield check
    if complete:  # else the others could not even be imported
        yield from _surroundings(system, engines=engines)
        from vcam_relight.vcam.doctor.panel import check_https, check_port

        yield check_port(port)
        yield check_https(host, cert, key)


def _surroundings(system: System, *, engines: bool) -> Iterator[Check]:
    if engines:
        from vcam_relight.vcam.doctor.gpu import check_gpu

        yield check_gpu(system)
    if system.platform == "linux":
        from vcam_relight.vcam.doctor.cameras import camera_checks
        from vcam_relight.vcam.doctor.desktop import desktop_checks
        from vcam_relight.vcam.doctor.loopback import loopback_checks
        from vcam_relight.vcam.doctor.modes import measured_rate

        yield from camera_checks(system, measured_rate)
        yield from loopback_checks(system)
        yield from desktop_checks(system)
    else:
        from vcam_relight.vcam.devices.listing import cameras_to_show
        from vcam_relight.vcam.doctor.other_systems import other_checks, virtual_camera_name

        yield from other_checks(system, cameras_to_show(), virtual_camera_name)
