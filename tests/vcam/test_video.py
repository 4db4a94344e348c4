"""`vcam video`: what goes in besides the image comes out again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from support.clips import QUARTER_TURN, contents, image, make_clip, psnr
from support.tolerances import VIDEO_REENCODED_DB
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.cli.main import main
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.media.frames import Colour
from vcam_relight.vcam.media.video import convert_video

ROOT = Path(__file__).parents[2]


def same(image: BgrImage, seconds: float) -> BgrImage:
    return image


def quiet(expected: int | None) -> None:
    pass


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_everything_but_the_pixels_is_kept(tmp_path: Path, ending: str) -> None:
    source, target = tmp_path / f"in{ending}", tmp_path / f"out{ending}"
    times = [0, 3000, 4500, 12_000, 12_900, 30_000, 33_000, 36_000]  # a variable frame rate
    make_clip(
        source,
        images=[image(number) for number in range(len(times))],
        times=times,
        matrix=QUARTER_TURN,
        aspect=Fraction(4, 3),
    )
    assert convert_video(source, target, same, quiet) == []
    before, after = contents(source), contents(target)
    assert after.times == before.times
    assert after.audio == before.audio and len(before.audio) > 10
    assert after.audio_times == before.audio_times
    assert (after.matrix, after.aspect) == (QUARTER_TURN, Fraction(4, 3))
    assert (after.size, after.colour) == (before.size, before.colour)
    for old, new in zip(before.stored, after.stored, strict=True):
        assert psnr(old, new) > VIDEO_REENCODED_DB


def test_faces_stand_upright_when_the_phone_did(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    make_clip(source, matrix=QUARTER_TURN)
    shapes = set()

    def darken_the_upper_half(upright: BgrImage, seconds: float) -> BgrImage:
        shapes.add(upright.shape)
        changed = upright.copy()
        changed[: len(changed) // 2] = 0
        return changed

    convert_video(source, target, darken_the_upper_half, quiet)
    shown = contents(target).upright[0]
    assert shapes == {(320, 180, 3)}
    assert shown[:150].mean() < 10 < 60 < shown[170:].mean()


@pytest.mark.parametrize(
    "colour",
    [
        Colour.bt709(),
        replace(Colour.bt709(), full_range=True),
        Colour.named(6, full_range=False),
        Colour.named(6, full_range=True),
    ],
    ids=["709", "709-full", "601", "601-full"],
)
def test_colours_are_read_as_tagged(tmp_path: Path, colour: Colour) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    shown = np.full((180, 320, 3), (30, 90, 200), np.uint8)
    make_clip(source, images=[shown] * 5, colour=colour, audio=None)
    seen = []

    def look(upright: BgrImage, seconds: float) -> BgrImage:
        seen.append(upright)
        return upright

    convert_video(source, target, look, quiet)
    after = contents(target)
    assert after.colour is not None
    assert (after.colour.matrix, after.colour.full_range) == (colour.matrix, colour.full_range)
    for result in (seen[0], after.stored[0]):
        assert np.abs(result[90, 160].astype(int) - (30, 90, 200)).max() <= 3


def test_webm_in_and_out(tmp_path: Path) -> None:
    webm, mp4, again = tmp_path / "a.webm", tmp_path / "b.mp4", tmp_path / "c.webm"
    make_clip(mp4)
    notes = convert_video(mp4, webm, same, quiet)
    assert notes == ["audio was converted from aac to opus"]
    assert convert_video(webm, again, same, quiet) == []
    first, second = contents(webm), contents(again)
    assert (second.video_codec, second.audio_codecs) == ("vp9", ["opus"])
    assert second.audio == first.audio and second.times == first.times
    assert len(first.times) == 15 and first.audio_times[-1] > Fraction(4, 10)


def test_odd_sizes_grow_by_one(tmp_path: Path) -> None:
    source, target = tmp_path / "in.webm", tmp_path / "out.mp4"
    images = [image(3, (161, 91))] * 4
    make_clip(source, images=images, codec="libvpx-vp9", audio=None)
    sizes = set()

    def look(upright: BgrImage, seconds: float) -> BgrImage:
        sizes.add(upright.shape)
        return upright

    convert_video(source, target, look, quiet)
    after = contents(target)
    assert sizes == {(91, 161, 3)} and after.size == (162, 92)
    assert psnr(after.stored[0][:91, :161], contents(source).stored[0]) > VIDEO_REENCODED_DB


def _cut(clip: bytes) -> bytes:
    return clip[: len(clip) * 6 // 10]


def _scratch(clip: bytes) -> bytes:
    middle = len(clip) // 2
    return clip[:middle] + bytes(range(256)) * 8 + clip[middle + 2048 :]


@pytest.mark.parametrize("damage", [_cut, _scratch])
def test_what_can_be_decoded_of_a_damaged_video_is_kept(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    make_clip(source, images=[image(number) for number in range(60)], audio=None)
    source.write_bytes(damage(source.read_bytes()))
    notes = convert_video(source, target, same, quiet)
    assert notes and not any("\n" in note for note in notes)
    assert 20 < len(contents(target).times) <= 60


def test_unusable_files_give_one_line_and_leave_the_old_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, sound = tmp_path / "clip.mp4", tmp_path / "sound.mp4"
    make_clip(clip)
    _only_sound(clip, sound)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video, just words\n" * 50)
    (tmp_path / "no-index.mp4").write_bytes(_cut(clip.read_bytes()))
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "old.mp4").write_text("the old output")
    for name, words in {
        "missing.mp4": "does not exist",
        "folder.mp4": "is not a file",
        "empty.mp4": "is not a video that can be read",
        "text.mp4": "is not a video that can be read",
        "no-index.mp4": "is not a video that can be read",
        "sound.mp4": "has no video stream",
    }.items():
        status = main(["video", str(tmp_path / name), str(tmp_path / "old.mp4")])
        lines = [line for line in capsys.readouterr().err.splitlines() if "vcam:" in line]
        assert status == 1 and len(lines) == 1 and words in lines[0], (name, lines)
    assert (tmp_path / "old.mp4").read_text() == "the old output"
    for target, words in {
        "clip.mp4": "same file",
        "folder.mp4": "is a folder",
        "out.avi": "no known video ending",
        "nowhere/out.mp4": "does not exist",
    }.items():
        assert main(["video", str(clip), str(tmp_path / target)]) == 1
        assert words in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))


def _only_sound(clip: Path, target: Path) -> None:
    import av

    with av.open(str(clip)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                new.mux(packet)


def test_a_video_without_a_face_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_clip(tmp_path / "in.mp4", images=[image(1)] * 3, audio=None)
    for options, told in (([], 1), (["--preset", "off"], 0), (["--engine", "passthrough"], 0)):
        paths = [str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4")]
        assert main(["video", *paths, *options]) == 0
        assert capsys.readouterr().err.count("no face was found") == told


def test_an_error_on_the_way_leaves_no_half_file(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    make_clip(source)

    def fail(upright: BgrImage, seconds: float) -> BgrImage:
        if seconds > 0.2:
            raise InputError("enough")
        return upright

    with pytest.raises(InputError, match="enough"):
        convert_video(source, target, fail, quiet)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["in.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as on Linux and macOS")
def test_program_shows_progress_and_ctrl_c_leaves_no_half_file(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    make_clip(source)
    command = [sys.executable, "run_vcam.py", "video", str(source), str(target)]
    done = subprocess.run(
        [*command, "--engine", "passthrough"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "15/15" in done.stderr and "<" in done.stderr  # tqdm: elapsed<remaining
    target.unlink()
    make_clip(source, images=[image(n, (640, 360)) for n in range(6)] * 100, audio=None)
    # Where these tests themselves run in the background, Ctrl-C is ignored, and would be here.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heard
    ) as running:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".out.part*")):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 1 and "nothing was written" in said and "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["in.mp4"]
