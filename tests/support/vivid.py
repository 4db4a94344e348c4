"""The webcam of the guest: vivid's controls, and pulling its plug."""

import ctypes
import fcntl
import os
import struct
import subprocess
from subprocess import DEVNULL

from support.guest_program import wait_for

_QUERYCTRL, _S_CTRL = 0xC0445624, 0xC008561C  # linux/videodev2.h
_NEXT = 0x80000000
OPTIONS = ["n_devs=1", "node_types=0x1", "num_inputs=1", "input_types=0"]


class _Control(ctypes.Structure):
    """`struct v4l2_queryctrl`."""

    _fields_ = (
        ("id", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("name", ctypes.c_char * 32),
        ("numbers", ctypes.c_int32 * 4),
        ("flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 2),
    )


def unplug(device: str) -> None:
    """What vivid does when its button "Disconnect" is pressed: the device says ENODEV until the
    last program lets go of it."""
    fd = os.open(device, os.O_RDWR)
    try:
        control = _Control()
        while control.name != b"Disconnect":
            control.id |= _NEXT
            fcntl.ioctl(fd, _QUERYCTRL, control)  # OSError after the last one
        fcntl.ioctl(fd, _S_CTRL, struct.pack("Ii", control.id, 1))
    finally:
        os.close(fd)


def load(number: int) -> None:
    """Puts its module in, as `/dev/video{number}`."""
    subprocess.run(["modprobe", "vivid", f"vid_cap_nr={number}", *OPTIONS], check=True)


def unload() -> None:
    """Takes its module out as soon as nobody holds the webcam."""
    wait_for(lambda: subprocess.run(["modprobe", "-r", "vivid"], stderr=DEVNULL).returncode == 0)
