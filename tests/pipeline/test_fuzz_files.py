"""Presets, environment maps and coefficients of any content: read, or one line; nothing else."""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vcam_relight.pipeline.lighting.hdri import hdri_to_sh, load_hdri
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.lighting.sh import load_sh

MORE_MEMORY = 3 << 30
"""Bytes of address space that reading one file may take beside the program's own."""
LONGEST_LINE = 700

anything = settings(
    max_examples=150,
    deadline=3000,  # ms
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    if sys.platform != "linux":  # where the limit is kept
        yield
        return
    import resource

    old = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE_MEMORY, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, old)


def is_one_line(error: Exception) -> bool:
    return len(str(error).splitlines()) == 1 and len(str(error)) < LONGEST_LINE


def mutated(whole: bytes) -> st.SearchStrategy[bytes]:
    """A file with pieces overwritten, cut out or repeated, and its end cut off."""
    places = st.integers(0, len(whole))
    edits = st.lists(
        st.tuples(places, places, st.binary(max_size=12), st.integers(0, 3)), max_size=5
    )

    def edit(chosen: tuple[list[tuple[int, int, bytes, int]], int]) -> bytes:
        content = whole
        for begin, end, new, times in chosen[0]:
            content = content[:begin] + new * times + content[max(begin, min(end, begin + 40)) :]
        return content[: chosen[1]] if chosen[1] % 3 == 0 else content

    return st.tuples(edits, places).map(edit)


PRESET = b"""
[mine]
title = "Mine"
ambient = { temperature = 5000, intensity = 0.2 }
controls = { shadows = 0.5 }
[[mine.light]]
azimuth = -35.0
colour = "#ff8800"
intensity = 1e0
softness = 0.3
"""
WORDS = """[a] [[a.light]] intensity = 1 nan -inf 1e999 0xffffffffffff { } [ ] " ''' , . a controls
shadows true # \\u 1979-05-27T07:32:00Z ambient colour "#000000" mode "sh" [[[[[[[[[[[[[[[[["""
toml_words = st.lists(st.sampled_from([*WORDS.split(), "\n", "[" * 300]), max_size=40).map(
    lambda words: " ".join(words).encode()
)


@anything
@given(content=st.one_of(st.binary(max_size=300), mutated(PRESET), toml_words))
def test_preset_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    presets, problems = load_presets(tmp_path)
    assert "soft-front" in presets
    assert all("x.toml" in line and len(line.splitlines()) == 1 for line in problems)
    for preset in presets.values():
        assert np.isfinite(preset.lighting().sh).all() if preset.mode == "sh" else True


def radiance() -> bytes:
    picture = np.linspace(0.1, 5, 8 * 16 * 3, dtype=np.float32).reshape(8, 16, 3)
    return bytes(cv2.imencode(".hdr", picture)[1].tobytes())


def png() -> bytes:
    return bytes(cv2.imencode(".png", np.full((8, 16, 3), 200, np.uint8))[1].tobytes())


def exr() -> bytes:
    header = struct.pack("<4sI", b"v/1\x01", 2)
    for name, kind, value in (
        ("channels", "chlist", b"Y\0" + struct.pack("<iB3xii", 2, 0, 1, 1) + b"\0"),
        ("compression", "compression", b"\0"),
        ("dataWindow", "box2i", struct.pack("<4i", 0, 0, 3, 1)),
        ("displayWindow", "box2i", struct.pack("<4i", 0, 0, 3, 1)),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
    ):
        header += f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value
    rows = [struct.pack("<ii4f", y, 16, 1, 2, 3, 4) for y in (0, 1)]
    start = len(header) + 1 + 16
    return header + b"\0" + struct.pack("<2Q", start, start + 24) + b"".join(rows)


def test_the_maps_that_are_changed_are_good_ones(tmp_path: Path) -> None:
    for content in (radiance(), png(), exr()):
        (tmp_path / "x").write_bytes(content)
        assert load_hdri(tmp_path / "x").max() > 0.5


@anything
@given(
    content=st.one_of(st.binary(max_size=300), mutated(radiance()), mutated(png()), mutated(exr()))
)
def test_environment_maps(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    try:
        picture = load_hdri(tmp_path / "x")
    except ValueError as error:
        assert is_one_line(error)
    else:
        assert np.isfinite(hdri_to_sh(picture)).all()


def npy() -> bytes:
    return (
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9,), }".ljust(117)
        + b"\n"
        + np.arange(9.0).tobytes()
    )


@anything
@given(
    content=st.one_of(st.binary(max_size=200), mutated(npy()), mutated(b"0.8 1 2 3 4 5 6 7 8.5\n")),
    suffix=st.sampled_from([".npy", ".txt"]),
)
def test_coefficients(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    try:
        assert np.isfinite(load_sh(path)).all()
    except ValueError as error:
        assert is_one_line(error)
