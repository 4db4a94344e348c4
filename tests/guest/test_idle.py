"""The webcam's light is out while nobody looks, and its image there as soon as somebody does."""

import asyncio
import os
import time
from pathlib import Path

import numpy as np

from support.guest_program import (
    DARK_S,
    VIRTUAL,
    WEBCAM,
    WEBCAM_ARGS,
    Reader,
    captures,
    is_live,
    panel_of,
    running,
    see_live,
    wait_for,
)

GUEST_GROWTH = 8 * 2**20
"""Bytes, of the program's memory over fifteen readers: a leaked image of 640x480 each would be
14 MB; malloc's arenas settle within a few."""

LIVE_S = 1.0
"""Within that time a reader must get the webcam's image."""


def test_readers_come_and_go(tmp_path: Path) -> None:
    with running(*WEBCAM_ARGS, folder=tmp_path) as program:
        wait_for(lambda: not program.holds(WEBCAM), DARK_S)
        waits, before = [], (0, 0)
        for number in range(20):
            assert captures(VIRTUAL)  # the placeholder keeps it listed
            start = time.monotonic()
            with Reader(VIRTUAL) as reader:
                see_live(reader)
                waits.append(time.monotonic() - start)
                assert program.holds(WEBCAM)
            if number % 4 == 0:  # the others come back before the light is out
                wait_for(lambda: not program.holds(WEBCAM), DARK_S)
            if number == 4:
                before = (program.files, program.memory)
        wait_for(lambda: not program.holds(WEBCAM), DARK_S)
        assert program.files <= before[0]
        grown = program.memory - before[1]
        print(f"live after {np.median(waits):.2f} s, {max(waits):.2f} at worst; {grown} bytes more")
        assert sorted(waits)[-2] < LIVE_S  # one may meet whatever else the host is doing
        assert grown < GUEST_GROWTH


def test_what_the_camera_saw_is_not_kept_for_the_next_reader(tmp_path: Path) -> None:
    with running(*WEBCAM_ARGS, folder=tmp_path) as program:
        with Reader(VIRTUAL) as reader:
            see_live(reader)
        wait_for(lambda: not program.holds(WEBCAM), DARK_S)
        device = os.open(VIRTUAL, os.O_RDONLY)
        first = np.frombuffer(os.read(device, 640 * 480), np.uint8)  # what lies there: its luma
        os.close(device)
        assert not is_live(first)


def test_programs_that_only_list_cameras_do_not_light_the_webcam(tmp_path: Path) -> None:
    with running(*WEBCAM_ARGS, folder=tmp_path) as program:
        wait_for(lambda: not program.holds(WEBCAM), DARK_S)
        for _ in range(10):
            os.close(os.open(VIRTUAL, os.O_RDWR))
            time.sleep(0.1)
            assert not program.holds(WEBCAM)


def test_always_on_keeps_the_webcam(tmp_path: Path) -> None:
    with running(*WEBCAM_ARGS, "--always-on", folder=tmp_path) as program:
        time.sleep(DARK_S)
        assert program.holds(WEBCAM)
        with Reader(VIRTUAL) as reader:
            assert is_live(reader.image())


async def test_a_preview_keeps_the_webcam_and_frees_it_when_it_is_closed(tmp_path: Path) -> None:
    with running(*WEBCAM_ARGS, folder=tmp_path) as program:
        wait_for(lambda: not program.holds(WEBCAM), DARK_S)
        async with panel_of(program) as panel:
            await panel.send_json({"type": "view", "visible": True})
            wait_for(lambda: program.holds(WEBCAM))
            await asyncio.sleep(DARK_S)
            assert program.holds(WEBCAM)
        wait_for(lambda: not program.holds(WEBCAM), DARK_S)
