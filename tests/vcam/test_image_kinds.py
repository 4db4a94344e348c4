"""Images of rare kinds are read as other programs show them, and what is written is whole."""

import io
import lzma
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from support.clips import ffmpeg, image
from vcam_relight.vcam.cli.main import main
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.media import image as image_module
from vcam_relight.vcam.media import tiff as tiff_module
from vcam_relight.vcam.media import tiff_packing
from vcam_relight.vcam.media.image import ImageFile, read_image, write_image

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
LAB_ROUNDED = 16
"""Levels, at most: one step of a or b in 8 bits moves a saturated colour by as much."""

CHROMA_SUBSAMPLED = 10
"""Levels on average, of which FFmpeg's limited range in a TIFF, which has none, makes the most."""

Levels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def shown() -> Levels:
    """RGB."""
    return np.ascontiguousarray(image(1, (64, 48))[..., ::-1])


def tiff(
    samples: np.ndarray,
    photometric: int,
    *,
    big: bool = False,
    order: str = "<",
    planar: bool = False,
    alpha: int | None = None,
    deflate: bool = False,
) -> bytes:
    """A TIFF or BigTIFF file of one strip (a plane each, if planar), written by hand."""
    height, width, count = samples.shape
    kind = samples.dtype.newbyteorder(order)
    planes = np.moveaxis(samples, -1, 0)[..., None] if planar else [samples]
    strips = [np.ascontiguousarray(plane, kind).tobytes() for plane in planes]
    strips = [zlib.compress(strip) for strip in strips] if deflate else strips
    head = 16 if big else 8
    offsets = [head + sum(map(len, strips[:number])) for number in range(len(strips))]
    format_of = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    tags: list[tuple[int, str, list[int]]] = [
        (256, "I", [width]),
        (257, "I", [height]),
        (258, "H", [samples.dtype.itemsize * 8] * count),
        (259, "H", [8 if deflate else 1]),
        (262, "H", [photometric]),
        (273, "I", offsets),
        (277, "H", [count]),
        (278, "I", [height]),
        (279, "I", [len(strip) for strip in strips]),
        (284, "H", [2 if planar else 1]),
        *([(338, "H", [alpha])] if alpha is not None else []),
        (339, "H", [format_of] * count),
    ]
    body = b"".join(strips)
    start = head + len(body)
    entry, word = (20, "Q") if big else (12, "I")
    after = start + (8 if big else 2) + entry * len(tags) + (8 if big else 4)
    directory, values = struct.pack(order + ("Q" if big else "H"), len(tags)), b""
    for tag, letter, numbers in tags:
        packed = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        size = 8 if big else 4
        if len(packed) > size:
            place = struct.pack(order + word, after + len(values))
            values += packed
        else:
            place = packed.ljust(size, b"\0")
        directory += struct.pack(order + "HH" + word, tag, 3 if letter == "H" else 4, len(numbers))
        directory += place
    directory += struct.pack(order + word, 0)
    mark = b"II" if order == "<" else b"MM"
    if big:
        header = mark + struct.pack(order + "HHHQ", 43, 8, 0, start)
    else:
        header = mark + struct.pack(order + "HI", 42, start)
    return header + body + directory + values


def lab(shown: Levels) -> Levels:
    """CIE Lab of 8 bits with a and b signed, as TIFF stores it."""
    converted = ImageCms.profileToProfile(
        Image.fromarray(shown),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    return np.asarray(converted)


def lab_16(shown: Levels) -> NDArray[np.uint16]:
    eight = lab(shown)
    axes = eight[..., 1:].view(np.int8).astype(np.int16) * 256
    return np.concatenate([eight[..., :1].astype(np.uint16) * 257, axes.view(np.uint16)], axis=-1)


WIDE = np.uint64(16_843_009)  # from 8 to 32 bits
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CIE_LAB, ICC_LAB = 0, 1, 2, 8, 9
KINDS: dict[str, Callable[[Levels], bytes]] = {
    "white-is-zero-8": lambda a: tiff(255 - a[..., :1], WHITE_IS_ZERO),
    "white-is-zero-16": lambda a: tiff(65535 - a[..., :1] * np.uint16(257), WHITE_IS_ZERO),
    "white-is-zero-16-big-endian": lambda a: tiff(
        65535 - a[..., :1] * np.uint16(257), WHITE_IS_ZERO, order=">"
    ),
    "white-is-zero-32": lambda a: tiff(
        (2**32 - 1 - a[..., :1] * WIDE).astype(np.uint32), WHITE_IS_ZERO
    ),
    "white-is-zero-float": lambda a: tiff((1 - a[..., :1] / 255).astype("f4"), WHITE_IS_ZERO),
    "grey-32": lambda a: tiff((a[..., :1] * WIDE).astype(np.uint32), BLACK_IS_ZERO),
    "grey-half": lambda a: tiff((a[..., :1] / 255).astype("f2"), BLACK_IS_ZERO),
    "big": lambda a: tiff(a, RGB, big=True),
    "big-big-endian": lambda a: tiff(a, RGB, big=True, order=">"),
    "big-16-deflated": lambda a: tiff(a * np.uint16(257), RGB, big=True, deflate=True),
    "planar-8": lambda a: tiff(a, RGB, planar=True),
    "planar-16": lambda a: tiff(a * np.uint16(257), RGB, planar=True, deflate=True),
    "rgb-float": lambda a: tiff((a / 255).astype("f4"), RGB),
    "lab-8": lambda a: tiff(lab(a), CIE_LAB),
    "lab-16": lambda a: tiff(lab_16(a), CIE_LAB),
    "icc-lab": lambda a: tiff(lab(a) ^ np.array([0, 128, 128], np.uint8), ICC_LAB),
}


@pytest.mark.parametrize("kind", KINDS)
def test_tiffs_are_shown_as_elsewhere_and_written_whole(
    tmp_path: Path, shown: Levels, kind: str
) -> None:
    source = tmp_path / "in.tif"
    source.write_bytes(KINDS[kind](shown))
    wanted = shown[..., :1] if "grey" in kind or "white" in kind else shown
    allowed = LAB_ROUNDED if "lab" in kind else 0
    for ending in ("png", "tif", "webp"):
        target = tmp_path / f"out.{ending}"
        assert main(["image", str(source), str(target), "--engine", "passthrough"]) == 0
        if ending != "webp":  # it loses
            judged = cv2.imread(str(target))  # another program's opinion
            assert judged is not None
            found = judged[..., ::-1].astype(int)
            assert np.abs(found - wanted).max() <= allowed, ending


@pytest.mark.parametrize("packing", ["raw", "deflate"])
@pytest.mark.parametrize("format_name", ["yuv420p", "yuv422p", "yuv444p"])
def test_subsampled_tiffs_are_read(
    tmp_path: Path, shown: Levels, packing: str, format_name: str
) -> None:
    Image.fromarray(shown).save(tmp_path / "in.png")
    options = ["-pix_fmt", format_name, "-compression_algo", packing]
    ffmpeg("-i", "in.png", *options, "in.tif", folder=tmp_path)
    found = read_image(tmp_path / "in.tif").image[..., ::-1].astype(int)
    assert np.abs(found - shown).mean() < CHROMA_SUBSAMPLED


def test_an_output_has_its_own_tags_and_the_shots(tmp_path: Path, shown: Levels) -> None:
    exif = Image.Exif()
    own = {256: 9, 257: 9, 258: 16, 259: 7, 262: 5, 277: 4, 284: 2, 339: 3, 0x0112: 6}
    for tag, value in {**own, 0x010E: '{"shape": [9, 9]}', 0x010F: "Maker"}.items():
        exif[tag] = value
    exif.get_ifd(EXIF_IFD).update({0x9003: "2020:02:03 04:05:06", 0xA002: 9, 0xA434: "50mm"})
    exif.get_ifd(GPS_IFD)[1] = "N"
    cmyk = Image.fromarray(shown).convert("CMYK")
    cmyk.save(tmp_path / "in.jpg", exif=exif, dpi=(300, 150), quality=95)
    for ending in ("tif", "jpg", "png", "webp"):
        target = tmp_path / f"out.{ending}"
        write_image(target, read_image(tmp_path / "in.jpg"))
        with Image.open(target) as out:
            assert (out.mode, out.size) == ("RGB", (48, 64))  # turned
            kept = out.getexif()
            assert kept[0x010F] == "Maker" and 0x010E not in kept and kept.get(0x0112, 1) == 1
            assert kept.get_ifd(EXIF_IFD) == {0x9003: "2020:02:03 04:05:06", 0xA434: "50mm"}
            assert kept.get_ifd(GPS_IFD) == {1: "N"}
            if ending == "tif":
                assert kept[262] == RGB and 339 not in kept
            if ending != "webp":
                assert out.info["dpi"] == pytest.approx((150, 300), abs=0.1)


def png_16(samples: NDArray[np.uint16], transparent: tuple[int, ...]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, count = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 0 if count == 1 else 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"tRNS", struct.pack(f">{count}H", *transparent))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_of_16_bits_is_kept(tmp_path: Path, shown: Levels, channels: int) -> None:
    samples = shown[..., :channels].astype(np.uint16) * 257
    colour = (0x1234, 0x5678, 0x9ABC)[:channels]
    samples[4:14, 6:16] = colour
    samples[20:30, 20:30] = [value + 1 for value in colour]  # the same in 8 bits, and opaque
    (tmp_path / "in.png").write_bytes(png_16(samples, colour))
    assert (
        main(["image", *(str(tmp_path / n) for n in ("in.png", "out.png")), "--preset", "off"]) == 0
    )
    with Image.open(tmp_path / "out.png") as out:
        alpha = np.asarray(out)[..., -1]
    assert (alpha == 0).sum() == 100 and (alpha[4:14, 6:16] == 0).all()


def test_files_that_lack_their_last_bytes_open_with_a_note(tmp_path: Path) -> None:
    detailed = np.random.default_rng(0).integers(-12, 12, (240, 320, 3)) + image(2, (320, 240))
    pil = Image.fromarray(np.clip(detailed, 0, 255).astype(np.uint8))
    for ending, kind, options in (
        ("jpg", "JPEG", {}),
        ("jpg", "JPEG", {"progressive": True}),
        ("png", "PNG", {}),
        ("webp", "WEBP", {}),
        ("webp", "WEBP", {"lossless": True}),
        ("bmp", "BMP", {}),
        ("tif", "TIFF", {}),
    ):
        whole = io.BytesIO()
        pil.save(whole, kind, **options)
        data = whole.getvalue()
        path = tmp_path / f"cut.{ending}"
        for lost in (2, 9, 40):
            path.write_bytes(data[:-lost])
            file = read_image(path)
            assert file.notes and "last bytes" in file.notes[0], (kind, lost)
            wrong = np.abs(file.image[..., ::-1].astype(int) - np.asarray(pil)).mean()
            assert wrong < 8, (kind, options, lost)
        if not options.get("progressive"):  # whose half is a whole image, only coarser
            path.write_bytes(data[: len(data) // 2])
            with pytest.raises(InputError):
                read_image(path)


def test_avif_and_heic_are_read_or_told_how(
    tmp_path: Path, shown: Levels, monkeypatch: pytest.MonkeyPatch
) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    for ending in ("avif", "heic"):
        Image.fromarray(shown).save(tmp_path / f"in.{ending}", quality=95)
        found = read_image(tmp_path / f"in.{ending}").image[..., ::-1].astype(int)
        assert np.abs(found - shown).mean() < 4
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind != "HEIF"])
    with pytest.raises(InputError, match=r"HEIC.*heic\]"):
        read_image(tmp_path / "in.heic")


def test_whatever_a_decoder_raises_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "in.png")
    for error in (MemoryError(), RecursionError("too deep"), struct.error("2 bytes"), KeyError(3)):

        def fail(*_: object, error: Exception = error) -> ImageFile:
            raise error

        monkeypatch.setattr(image_module, "open_picture", fail)
        with pytest.raises(InputError, match=r"in\.png (is damaged|needs more memory)"):
            read_image(tmp_path / "in.png")


def test_strips_packed_with_lzw_are_read(tmp_path: Path, shown: Levels) -> None:
    deep = shown[..., 0].astype(np.float32) / 255
    Image.fromarray(deep).save(tmp_path / "in.tif", compression="tiff_lzw")
    with (tmp_path / "in.tif").open("rb") as file:
        tags = tiff_module.tags_of(file)
        assert tags is not None
        assert np.array_equal(np.asarray(tiff_module.read_samples(file, tags)), shown[..., 0])


def test_strips_packed_as_runs_or_by_lzma_are_read(tmp_path: Path, shown: Levels) -> None:
    wide = shown * WIDE.astype(np.uint32)
    rows = [row.tobytes() for row in wide]
    literal = [
        bytes([len(part) - 1]) + part
        for row in rows
        for part in (row[at : at + 128] for at in range(0, len(row), 128))
    ]
    packed = {32773: b"".join(literal) + bytes([129, 0]), 34925: lzma.compress(wide.tobytes())}
    for compression, data in packed.items():
        assert tiff_packing.unpacked(data, compression, wide.nbytes)[: wide.nbytes] == (
            wide.tobytes()
        )
    assert tiff_packing.unpacked(bytes([254, 7, 128, 1, 8, 9]), 32773, 5) == bytes([7, 7, 7, 8, 9])


def test_floats_as_differences_of_bytes_are_read() -> None:
    values = np.linspace(0, 1, 30, dtype=np.float32).reshape(2, 5, 3)
    planes = values.astype(">f4").view(np.uint8).reshape(2, 15, 4).transpose(0, 2, 1)
    planes = planes.reshape(2, 20, 3)
    deltas = np.diff(planes, axis=1, prepend=np.zeros((2, 1, 3), np.uint8))
    found = tiff_packing.undifferenced(deltas.tobytes(), values.shape, np.dtype("<f4"), 3)
    assert np.array_equal(found, values)


@pytest.mark.parametrize("bits", [2, 4, 10, 12, 14])
def test_samples_of_odd_bits_are_read(bits: int) -> None:
    most = (1 << bits) - 1
    values = np.random.default_rng(bits).integers(0, most + 1, (3, 7, 3))
    digits = (values.reshape(3, -1)[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    data = np.packbits(digits.reshape(3, -1).astype(np.uint8), axis=1).tobytes()
    found = tiff_packing.levels_of_bits(data, values.shape, bits, 1)
    assert np.array_equal(np.rint(found * (most / 65_535)), values)


def test_bright_lamps_leave_the_rest_of_a_float_picture(tmp_path: Path, shown: Levels) -> None:
    values = shown.astype(np.float32) / 255
    values[:4, :4] = 40.0
    (tmp_path / "in.tif").write_bytes(tiff(values, RGB))
    found = read_image(tmp_path / "in.tif").image[..., ::-1]
    assert np.array_equal(found[4:], shown[4:]) and found[:4, :4].min() == 255


def test_what_is_whole_but_not_read_is_not_called_damaged(tmp_path: Path, shown: Levels) -> None:
    odd = tmp_path / "odd.tif"
    odd.write_bytes(tiff(shown, 32_844))  # LogL
    with pytest.raises(InputError, match=r"odd\.tif is of a rare kind .*save it as PNG"):
        read_image(odd)


def test_channels_that_are_not_transparency_are_left_out_with_a_note(
    tmp_path: Path, shown: Levels
) -> None:
    grey = shown[..., :1]
    (tmp_path / "unknown.tif").write_bytes(
        tiff(np.concatenate([shown, grey], axis=-1), RGB, alpha=0)
    )
    unknown = read_image(tmp_path / "unknown.tif")
    assert unknown.alpha is None and unknown.notes == ("its extra channels were left out",)
    half = np.full_like(grey, 128)
    (tmp_path / "premultiplied.tif").write_bytes(
        tiff(np.concatenate([grey // 2, half], axis=-1), BLACK_IS_ZERO, alpha=1)
    )
    premultiplied = read_image(tmp_path / "premultiplied.tif")
    assert premultiplied.grey and premultiplied.alpha is not None
    assert np.abs(premultiplied.image[..., 0].astype(int) - grey[..., 0]).max() <= 2


def test_pipes_devices_and_giants_are_refused_at_once(tmp_path: Path) -> None:
    pipe, giant = tmp_path / "pipe.png", tmp_path / "giant.png"
    with giant.open("wb") as file:
        file.truncate(20 << 30)
    refused = {giant: "larger than 2 GiB"}
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
        refused |= {pipe: "is not a file", Path("/dev/zero"): "is not a file"}
    for path, words in refused.items():
        with pytest.raises(InputError, match=words):
            read_image(path)
