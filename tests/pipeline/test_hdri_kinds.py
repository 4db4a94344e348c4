"""Environment maps of every kind that programs write, and coefficients of every encoding."""

import itertools
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lighting.hdri import load_hdri
from vcam_relight.pipeline.lighting.sh import load_sh

RGBE_ROUNDED = 0.02
"""Relative: an RGBE pixel has 8 bits for its brightest channel."""
HALF_ROUNDED = 1e-3


def sky() -> FloatArray:
    """A map that differs in each corner; no channel is much darker than another."""
    rows = np.linspace(1, 3, 16)[:, None, None]
    columns = np.linspace(1, 2, 32)[None, :, None]
    return (rows * columns * np.array([1.0, 0.9, 0.8])).astype(np.float32)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("compressed", [False, True])
def test_radiance_of_every_orientation(tmp_path: Path, end: str, compressed: bool) -> None:
    path = tmp_path / "sky.hdr"
    for first, signs in itertools.product("XY", itertools.product("+-", repeat=2)):
        second = "Y" if first == "X" else "X"
        sign = dict(zip((first, second), signs, strict=True))
        stored = sky()[:: -1 if sign["Y"] == "+" else 1, :: -1 if sign["X"] == "-" else 1]
        if first == "X":
            stored = stored.transpose(1, 0, 2)
        options = [cv2.IMWRITE_HDR_COMPRESSION, int(compressed)]
        _, encoded = cv2.imencode(".hdr", np.ascontiguousarray(stored[..., ::-1]), options)
        body = encoded.tobytes()[encoded.tobytes().index(b"+X") :].split(b"\n", 1)[1]
        lines = ["#?RADIANCE", "# by hand", "FORMAT=32-bit_rle_rgbe", "EXPOSURE=1.0", ""]
        lines += [f"{signs[0]}{first} {stored.shape[0]} {signs[1]}{second} {stored.shape[1]}", ""]
        path.write_bytes(end.join(lines).encode() + body)
        assert np.allclose(load_hdri(path), sky(), rtol=RGBE_ROUNDED), (first, signs)


def exr(layer: str, kinds: tuple[int, int, int] = (1, 1, 1)) -> bytes:
    """An OpenEXR file by hand: the three channels in a layer, compressed by ZIPS.

    Args:
        layer: with its dot, or empty.
        kinds: of B, G and R: 1 half, 2 float.
    """
    height, width = sky().shape[:2]

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value

    channels = b"".join(
        f"{layer}{colour}\0".encode() + struct.pack("<iB3xii", kind, 0, 1, 1)
        for colour, kind in zip("BGR", kinds, strict=True)
    )
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    header = struct.pack("<4sI", b"v/1\x01", 2) + b"".join(
        (
            attribute("channels", "chlist", channels + b"\0"),
            attribute("compression", "compression", b"\2"),
            attribute("dataWindow", "box2i", box),
            attribute("displayWindow", "box2i", box),
            attribute("lineOrder", "lineOrder", b"\0"),
            attribute("pixelAspectRatio", "float", struct.pack("<f", 1)),
            attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
            attribute("screenWindowWidth", "float", struct.pack("<f", 1)),
            b"\0",
        )
    )
    chunks = []
    for y, row in enumerate(sky()):
        raw = b"".join(
            row[:, 2 - place].astype("<f2" if kind == 1 else "<f4").tobytes()
            for place, kind in enumerate(kinds)
        )
        halves = np.frombuffer(raw[0::2] + raw[1::2], np.uint8).astype(np.int16)
        predicted = np.diff(halves, prepend=halves[:1] - 128) + 128
        predicted[0] = halves[0]
        packed = zlib.compress(predicted.astype(np.uint8).tobytes())
        packed = packed if len(packed) < len(raw) else raw
        chunks.append(struct.pack("<ii", y, len(packed)) + packed)
    start = len(header) + 8 * height
    offsets = [start + sum(map(len, chunks[:y])) for y in range(height)]
    return header + struct.pack(f"<{height}Q", *offsets) + b"".join(chunks)


@pytest.mark.parametrize("layer", ["", "ViewLayer.Combined.", "left.diffuse."])
def test_a_layer_of_any_name_is_read_without_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    (tmp_path / "sky.exr").write_bytes(exr(layer))
    assert np.allclose(load_hdri(tmp_path / "sky.exr"), sky(), rtol=HALF_ROUNDED)


@pytest.mark.parametrize("lost", [1, 20, 1500, 3000])
def test_a_map_that_lacks_rows_is_refused(tmp_path: Path, lost: int) -> None:
    whole = exr("")
    (tmp_path / "cut.exr").write_bytes(whole[: max(len(whole) - lost, 400)])
    with pytest.raises(ValueError, match="cut short"):
        load_hdri(tmp_path / "cut.exr")


def test_what_ffmpeg_does_not_decode_is_read_by_the_library_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sky.exr"
    path.write_bytes(exr("", kinds=(1, 1, 2)))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "OpenEXR", None)
        with pytest.raises(ValueError, match=r"save it as RGB half.*exr\]"):
            load_hdri(path)
    pytest.importorskip("OpenEXR")
    assert np.allclose(load_hdri(path), sky(), rtol=HALF_ROUNDED)


def test_a_map_too_large_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    huge = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 100000 +X 200000\n"
    (tmp_path / "huge.hdr").write_bytes(huge)
    box = struct.pack("<4i", 0, 0, 31, 15)
    large = struct.pack("<4i", 0, 0, 200_000 - 1, 100_000 - 1)
    (tmp_path / "huge.exr").write_bytes(exr("").replace(box, large))
    rows = zlib.compress(bytes(1000))
    header = struct.pack(">IIBBBBB", 30_000, 15_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    (tmp_path / "huge.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )
    for name in ("huge.hdr", "huge.exr", "huge.png"):
        with pytest.raises(ValueError, match="too large"):
            load_hdri(tmp_path / name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_coefficients_in_every_encoding(tmp_path: Path, encoding: str, end: str) -> None:
    text = end.join(f"{number}.5e-1" for number in range(9)) + end
    (tmp_path / "light.txt").write_bytes(text.encode(encoding))
    assert np.allclose(load_sh(tmp_path / "light.txt")[:, 0], np.arange(9) / 10 + 0.05)
