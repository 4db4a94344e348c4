"""Cameras that are taken, unplugged and come back."""

import signal
import subprocess
from pathlib import Path

from support.guest_program import (
    DARK_S,
    LABEL,
    PATIENCE_S,
    VIRTUAL,
    WEBCAM,
    WEBCAM_ARGS,
    GuestProgram,
    Reader,
    captures,
    is_live,
    running,
    see_live,
    wait_for,
)
from support.vivid import load, unload, unplug

LOOPBACK = ["modprobe", "v4l2loopback", "devices=2", "exclusive_caps=1,1"]


def test_a_webcam_that_is_pulled_out_and_put_in_again(tmp_path: Path) -> None:
    with running(*WEBCAM_ARGS, folder=tmp_path) as program, Reader(VIRTUAL) as reader:
        see_live(reader)
        for number in (3, 0):  # what is pulled out in use comes back under another number
            unplug(WEBCAM if number else "/dev/video3")
            unload()
            wait_for(lambda: not is_live(reader.image()))  # the reader goes on
            assert "is missing" in program.said
            load(number)
            wait_for(lambda: is_live(reader.image()))
            assert f"camera {number} (vivid-000-vid-cap) is back" in program.said


def test_a_webcam_whose_module_is_loaded_anew_while_it_rests(tmp_path: Path) -> None:
    with running(*WEBCAM_ARGS, folder=tmp_path) as program:
        wait_for(lambda: not program.holds(WEBCAM), DARK_S)
        unload()
        load(0)
        with Reader(VIRTUAL) as reader:
            see_live(reader)


def test_a_webcam_that_another_program_takes_while_it_rests(tmp_path: Path) -> None:
    with running(*WEBCAM_ARGS, folder=tmp_path) as program:
        wait_for(lambda: not program.holds(WEBCAM), DARK_S)
        other = Reader(WEBCAM)
        assert is_live(other.image())
        with Reader(VIRTUAL) as reader:
            assert not is_live(reader.image())
            wait_for(lambda: "camera 0 (vivid-000-vid-cap) is busy" in program.said)
            other.close()
            wait_for(lambda: is_live(reader.image()))


def test_a_busy_webcam_is_named_in_one_line_at_the_start(tmp_path: Path) -> None:
    with Reader(WEBCAM) as other:
        assert is_live(other.image())
        program = GuestProgram(*WEBCAM_ARGS, folder=tmp_path)
        assert program.process.wait(PATIENCE_S) == 1
        assert program.said.splitlines()[-1].startswith(
            "vcam: camera 0 (vivid-000-vid-cap) is busy"
        )


def lost_with_its_module(program: GuestProgram) -> bool:
    """Takes the virtual camera away from the program, and its module before it is opened again:
    whether that went well."""
    program.process.send_signal(signal.SIGUSR1)
    command = ["modprobe", "-r", "v4l2loopback"]
    return subprocess.run(command, capture_output=True).returncode == 0


def test_the_virtual_cameras_module_is_loaded_anew_under_another_number(tmp_path: Path) -> None:
    moved = "/dev/video20"
    with running(*WEBCAM_ARGS, folder=tmp_path, start=("tests/guest/losing.py",)) as program:
        with Reader(VIRTUAL) as reader:
            see_live(reader)
            refused = subprocess.run(["modprobe", "-r", "v4l2loopback"], capture_output=True)
            assert refused.returncode != 0  # in use: the kernel leaves it alone, and so do we
            assert is_live(reader.image())
        wait_for(lambda: lost_with_its_module(program))
        wait_for(lambda: "takes no pictures" in program.said)
        assert not Path(VIRTUAL).exists()
        try:
            names = f"card_label=Fed Webcam,{LABEL}"
            subprocess.run([*LOOPBACK, "video_nr=11,20", names], check=True)
            wait_for(lambda: captures(moved))
            with Reader(moved) as reader:
                wait_for(lambda: is_live(reader.image()))
        finally:
            assert program.stop() == 0
            program.crashed = True
            subprocess.run(["modprobe", "-r", "v4l2loopback"], check=True)
            names = f"card_label={LABEL},Fed Webcam"
            subprocess.run([*LOOPBACK, "video_nr=10,11", names], check=True)
