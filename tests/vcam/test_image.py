"""`vcam image`: images of every kind come out whole, and bad ones give one line."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from support.clips import image, psnr
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.engines.registry import DEFAULT_ENGINE, ENGINES
from vcam_relight.vcam.cli.main import main
from vcam_relight.vcam.media.video_reader import Decoded, VideoReader
from vcam_relight.vcam.sources.demo import demo_clip

JPEG_SAVED_AGAIN_DB = 38.0
"""PSNR of a JPEG image saved once more at quality 95."""

STILL_MEMORY_MB = 2600
"""Resident memory of relighting one image of 48 million pixels: 144 MB as 8-bit BGR, a few
copies of it, the program itself with its models (about 400 MB), and room for an engine's planes."""

ROOT = Path(__file__).parents[2]
ORIENTATION, MODEL, GPS = 0x0112, 0x0110, 0x8825


def pillow(shown: BgrImage) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(shown[..., ::-1]))


def pixels(path: Path, mode: str = "RGB") -> BgrImage:
    with Image.open(path) as pil:
        array = np.asarray(pil.convert(mode))
    return array[..., ::-1] if mode == "RGB" else array


def off(source: Path, target: Path) -> int:
    """Relights with the light that is there: what comes out must be what went in."""
    return main(["image", str(source), str(target), "--preset", "off"])


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (7, 5), (333, 257)])
def test_every_size_comes_back(tmp_path: Path, size: tuple[int, int]) -> None:
    shown = image(1, size)
    pillow(shown).save(tmp_path / "in.png")
    assert main(["image", str(tmp_path / "in.png"), str(tmp_path / "out.png")]) == 0
    assert np.array_equal(pixels(tmp_path / "out.png").shape, shown.shape)
    assert off(tmp_path / "in.png", tmp_path / "off.png") == 0
    assert np.array_equal(pixels(tmp_path / "off.png"), shown)


def test_alpha_is_untouched(tmp_path: Path) -> None:
    alpha = image(2)[..., 0].copy()
    alpha[:40] = 0
    pil = pillow(image(1))
    pil.putalpha(Image.fromarray(alpha))
    for ending in ("png", "webp", "tiff"):
        pil.save(tmp_path / f"in.{ending}", lossless=True)
        assert off(tmp_path / f"in.{ending}", tmp_path / f"out.{ending}") == 0
        assert np.array_equal(pixels(tmp_path / f"out.{ending}", "RGBA")[..., 3], alpha)


def test_transparency_on_a_format_without_it_becomes_white(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGBA", (20, 10), (200, 30, 30, 0)).save(tmp_path / "in.png")
    assert off(tmp_path / "in.png", tmp_path / "out.jpg") == 0
    assert pixels(tmp_path / "out.jpg").min() > 250
    assert "JPEG has no transparency" in capsys.readouterr().err


def test_one_channel_stays_one_channel(tmp_path: Path) -> None:
    grey = image(3)[..., 1]
    Image.fromarray(grey).save(tmp_path / "in.png")
    assert off(tmp_path / "in.png", tmp_path / "out.png") == 0
    with Image.open(tmp_path / "out.png") as out:
        assert out.mode == "L"
        assert np.array_equal(np.asarray(out), grey)


def test_sixteen_bits_are_read(tmp_path: Path) -> None:
    shown = image(4)
    assert cv2.imwrite(str(tmp_path / "rgb.png"), shown.astype(np.uint16) * 257)
    assert cv2.imwrite(str(tmp_path / "grey.png"), shown[..., 0].astype(np.uint16) * 257)
    for name, wanted in (("rgb", shown), ("grey", np.repeat(shown[..., :1], 3, axis=2))):
        assert off(tmp_path / f"{name}.png", tmp_path / "out.png") == 0
        assert np.abs(pixels(tmp_path / "out.png").astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path: Path, orientation: int) -> None:
    source, target = tmp_path / "in.jpg", tmp_path / "out.jpg"
    exif = Image.Exif()
    exif[ORIENTATION], exif[MODEL] = orientation, "Camera 1"
    exif.get_ifd(GPS)[1] = "N"
    pillow(image(5)).save(source, exif=exif, quality=95, subsampling=0)
    assert off(source, target) == 0
    # OpenCV as the judge: it applies the tag by itself.
    before, after = cv2.imread(str(source)), cv2.imread(str(target))
    assert before is not None and after is not None and before.shape == after.shape
    assert psnr(np.asarray(before, np.uint8), np.asarray(after, np.uint8)) > JPEG_SAVED_AGAIN_DB
    with Image.open(target) as out:
        kept = out.getexif()
    assert kept.get(ORIENTATION, 1) == 1
    assert kept[MODEL] == "Camera 1" and kept.get_ifd(GPS)[1] == "N"


def test_colour_profile_is_kept(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    pillow(image(6)).save(tmp_path / "in.jpg", icc_profile=profile)
    assert off(tmp_path / "in.jpg", tmp_path / "out.png") == 0
    with Image.open(tmp_path / "out.png") as out:
        assert out.info["icc_profile"] == profile


def test_print_colours_become_an_image(tmp_path: Path) -> None:
    Image.new("CMYK", (30, 20), (0, 255, 255, 0)).save(tmp_path / "in.jpg", quality=95)
    assert off(tmp_path / "in.jpg", tmp_path / "out.png") == 0
    b, g, r = pixels(tmp_path / "out.png")[10, 10]
    assert r > 150 and max(b, g) < 80


def test_bad_input_gives_one_line_and_leaves_the_old_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pillow(image(7)).save(tmp_path / "good.png")
    good = (tmp_path / "good.png").read_bytes()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("words " * 100)
    (tmp_path / "cut.png").write_bytes(good[: len(good) // 2])
    pillow(image(7)).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "bomb.png").write_bytes(_bomb())
    old = tmp_path / "old.png"
    old.write_text("the old output")
    for name, words in {
        "missing.png": "does not exist",
        "folder.png": "is not a file",
        "empty.png": "is not a picture that can be read",
        "text.png": "is not a picture that can be read",
        "cut.png": "is damaged or cut short",
        "cut.jpg": "is damaged or cut short",
        "bomb.png": "million pixels",
    }.items():
        assert off(tmp_path / name, old) == 1
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1 and words in said[0], (name, said)
    assert old.read_text() == "the old output"
    for target, words in {
        "good.png": "same file",
        "folder.png": "is a folder",
        "out.xyz": "no known picture ending",
        "nowhere/out.png": "does not exist",
    }.items():
        assert off(tmp_path / "good.png", tmp_path / target) == 1
        assert words in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))


def _bomb() -> bytes:
    """A few bytes that say they are 30,000 x 30,000 pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def test_wrong_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    pillow(image(8)).save(source)
    (tmp_path / "bad.txt").write_text("1 2 3")
    for options, status, words in (
        (["--preset", "nothing-like-it"], 2, "no preset called"),
        (["--preset", "off", "--sh", "x.txt"], 2, "not allowed with"),
        (["--rotate", "30"], 2, "--rotate goes with --hdri"),
        (["--strength", "1.5"], 2, "between 0 and 1"),
        (["--strength", "nan"], 2, "between 0 and 1"),
        (["--engine", "magic"], 2, "invalid choice"),
        (["--sh", str(tmp_path / "bad.txt")], 1, "expected 9 or 9 x 3 numbers"),
        (["--sh", str(tmp_path / "none.txt")], 1, "is not a file"),
        (["--hdri", str(source)], 1, "twice as wide as high"),
        (["--like", str(source)], 1, "gives no light"),
        (["--yaw", "10", "--engine", "passthrough"], 1, "has no yaw"),
    ):
        assert main(["image", str(source), str(target), *options]) == status, options
        said = capsys.readouterr().err
        assert words in said and "Traceback" not in said, (options, said)
    assert not target.exists()


@pytest.fixture
def face(tmp_path: Path) -> Path:
    """A frame of the demo clip."""
    with VideoReader.open(demo_clip()) as reader:
        first = next(item for item in reader.items() if isinstance(item, Decoded))
    pillow(first.image).save(tmp_path / "face.png")
    return tmp_path / "face.png"


def test_an_image_without_a_face_is_told(
    tmp_path: Path, face: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pillow(image(1)).save(tmp_path / "wall.png")
    for source, options, told in (
        (tmp_path / "wall.png", [], 1),
        (tmp_path / "wall.png", ["--preset", "off"], 0),
        (tmp_path / "wall.png", ["--strength", "0"], 0),
        (tmp_path / "wall.png", ["--engine", "passthrough"], 0),
        (face, [], 0),
    ):
        assert main(["image", str(source), str(tmp_path / "out.png"), *options]) == 0
        said = capsys.readouterr().err
        assert said.count("no face was found: the picture is unchanged") == told, options


def test_the_output_takes_no_file_of_the_users_and_follows_links(tmp_path: Path) -> None:
    pillow(image(7)).save(tmp_path / "in.png")
    mine = tmp_path / ".out.part.png"
    mine.write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "real.png"
    real.write_text("old")
    (tmp_path / "out.png").symlink_to(real)
    old = os.umask(0o022)
    try:
        assert off(tmp_path / "in.png", tmp_path / "out.png") == 0
        assert off(tmp_path / "in.png", tmp_path / "plain.png") == 0
    finally:
        os.umask(old)
    assert mine.read_text() == "mine"
    assert (tmp_path / "out.png").is_symlink()
    assert np.array_equal(pixels(real), image(7))
    if sys.platform != "win32":  # where modes say nothing
        assert (tmp_path / "plain.png").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.rglob(".*")] == [".out.part.png"]


def test_light_comes_from_where_it_is_asked(tmp_path: Path, face: Path) -> None:
    sky = np.full((32, 64, 3), 0.05, np.float32)
    sky[8:16, 12:20] = 8.0  # in the left half of what the person sees: the image's right
    assert cv2.imwrite(str(tmp_path / "sky.hdr"), sky)
    sh = np.zeros(9)
    sh[0], sh[3] = 1.0, 0.6  # from +x: the image's right
    np.savetxt(tmp_path / "right.txt", sh)
    before = pixels(face).astype(np.float32)
    middle = before.shape[1] // 2  # where the demo clip's face is

    def gain(*options: str) -> tuple[float, float]:
        """How much brighter the face's left and right side are than before."""
        target = tmp_path / "out.png"
        assert main(["image", str(face), str(target), *options]) == 0
        after = pixels(target).astype(np.float32)
        height = len(after)
        rows = slice(height // 3, height * 2 // 3)
        left, right = slice(middle - 90, middle - 20), slice(middle + 20, middle + 90)
        return (
            float(after[rows, left].mean() / before[rows, left].mean()),
            float(after[rows, right].mean() / before[rows, right].mean()),
        )

    for options in (["--hdri", str(tmp_path / "sky.hdr")], ["--sh", str(tmp_path / "right.txt")]):
        left, right = gain(*options)
        assert right > 1.1 * left, options
    for options in (
        ["--hdri", str(tmp_path / "sky.hdr"), "--rotate", "-180"],
        ["--preset", "key-left"],
    ):
        left, right = gain(*options)
        assert left > 1.1 * right, options
    photo = tmp_path / "lit-from-right.png"
    assert main(["image", str(face), str(photo), "--sh", str(tmp_path / "right.txt")]) == 0
    left, right = gain("--like", str(photo))
    assert right > left
    assert gain("--preset", "key-left", "--strength", "0") == pytest.approx((1, 1), abs=0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_8000x6000_in_bounded_memory(tmp_path: Path) -> None:
    small = cv2.resize(image(9), (80, 60))
    big = np.asarray(cv2.resize(small, (8000, 6000), interpolation=cv2.INTER_NEAREST), np.uint8)
    pillow(big).save(tmp_path / "in.jpg", quality=80)
    program = (
        "import re, sys; from vcam_relight.vcam.cli.main import main; "
        "status = main(sys.argv[1:]);"
        # getrusage's peak begins with that of the process that this one was forked from
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024);"
        "sys.exit(status)"
    )
    command = [sys.executable, "-c", program, "image", "in.jpg", "out.jpg"]
    command = [str(tmp_path / word) if word.endswith(".jpg") else word for word in command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < STILL_MEMORY_MB
    with Image.open(tmp_path / "out.jpg") as out:
        assert out.size == (8000, 6000)
        row = np.asarray(out.crop((0, 3000, 8000, 3001)))[0, ::100, ::-1]
    assert psnr(row, big[3000, ::100]) > 25


def test_many_go_into_a_folder_under_their_own_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = ENGINES[DEFAULT_ENGINE].make

    def counted(device: str) -> Engine:
        loads.append(device)
        return load(device)

    monkeypatch.setitem(ENGINES, DEFAULT_ENGINE, replace(ENGINES[DEFAULT_ENGINE], make=counted))
    names = ["one.png", "two.JPG", "three.webp"]
    for number, name in enumerate(names):
        pillow(image(number)).save(tmp_path / name)
    files = [str(tmp_path / name) for name in names]
    folder = tmp_path / "new" / "lit"
    assert main(["image", *files, "--out", str(folder), "--preset", "key-left"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert len(loads) == 1
    assert main(["image", files[0], str(tmp_path / "alone.png"), "--preset", "key-left"]) == 0
    assert np.array_equal(pixels(folder / "one.png"), pixels(tmp_path / "alone.png"))
    assert "3/3" in capsys.readouterr().err


def test_a_bad_one_of_many_is_one_line_and_the_others_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    for place in ("a.png", "b.png", "other/a.png"):
        pillow(image(1)).save(tmp_path / place)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "text.txt").write_text("no picture either")
    inputs = ["a.png", "bad.png", "text.txt", "none.png", "other/a.png", "b.png"]
    files = [str(tmp_path / name) for name in inputs]
    out = tmp_path / "out"
    assert main(["image", *files, "--out", str(out), "--preset", "off"]) == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png"]
    said = capsys.readouterr().err
    lines = [line for line in said.replace("\r", "\n").splitlines() if line.startswith("vcam: ")]
    assert len(lines) == 4, said
    for line, words in zip(lines, ("bad.png", "text.txt", "none.png", "other/a.png"), strict=True):
        assert words in line.replace("\\", "/")


def test_many_never_overwrite_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    for number, place in enumerate(("a.png", "other/a.png")):
        pillow(image(number)).save(tmp_path / place)
    before = (tmp_path / "a.png").read_bytes()
    files = [str(tmp_path / "a.png"), str(tmp_path / "other" / "a.png")]
    assert main(["image", *files, "--out", str(tmp_path), "--preset", "off"]) == 1
    assert (tmp_path / "a.png").read_bytes() == before
    assert capsys.readouterr().err.count("is the input") == 2
    for wrong in (files[:1], [*files, files[0]]):
        assert main(["image", *wrong]) == 2
        assert "--out FOLDER" in capsys.readouterr().err
    assert main(["image", files[0], "--out", files[1]]) == 1
    assert "cannot be made" in capsys.readouterr().err
