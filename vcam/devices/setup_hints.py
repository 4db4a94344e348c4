"""How a person gets a virtual camera, for each platform."""

import sys

LABEL = "vcam"
"""Name of the v4l2loopback device that is meant for this program, and preferred to others."""
LOAD_MODULE = f"sudo modprobe v4l2loopback devices=1 exclusive_caps=1 card_label='{LABEL}'"
"""Loads v4l2loopback so that browsers list the camera: they skip it without exclusive_caps=1."""
RELOAD_MODULE = f"sudo modprobe -r v4l2loopback && {LOAD_MODULE}"


def how_to_get_one() -> str:
    """The hint where there is no virtual camera."""
    if sys.platform == "linux":
        return (
            f"`vcam setup` prints the commands; in short: install v4l2loopback, then {LOAD_MODULE}"
        )
    return "`vcam setup` prints how; in short: start OBS Studio's virtual camera once, close OBS"
