"""One clock for all videos: how many frames come out, and how long they last, live and to files."""

import io
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from support.clips import contents, ffmpeg, image, make_clip, psnr
from support.tolerances import VIDEO_REENCODED_DB
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.media.video import convert_video
from vcam_relight.vcam.sources.file import FileSource

FRAMES = 30
SECONDS = 1.0
FRAME = 1 / 30
SHARP = 0.5
"""Of the vertical detail of interlaced fields that may be left between lines."""


def same(image: BgrImage, seconds: float) -> BgrImage:
    return image


def quiet(expected: int | None) -> None:
    pass


def clip(path: Path, begin: int = 0, codec: str = "libx264", audio: str | None = None) -> None:
    """A second at 30 fps, with frames that change places, from `begin` seconds on."""
    images = [image(number, (96, 64)) for number in range(FRAMES)]
    times = [begin * 90_000 + index * 3000 for index in range(FRAMES)]
    make_clip(path, images=images, times=times, codec=codec, audio=audio)


def encoded(path: Path) -> None:
    """At a constant rate, in a file that knows no times, or not when frames are shown."""
    clip(path.with_suffix(".mkv"))
    encode = ["-r", "30", "-c:v", "libx264", "-crf", "10", "-bf", "2"]
    ffmpeg("-i", path.with_suffix(".mkv"), *encode, path)


def late(path: Path) -> None:
    clip(path, begin=40_000)


def wraps(path: Path) -> None:
    clip(path, begin=95_443)  # 33 bits of 90 kHz end 0.7 s later


def twice(path: Path) -> None:
    clip(path, begin=7)
    path.write_bytes(path.read_bytes() * 2)


KINDS: dict[str, tuple[Callable[[Path], None], int]] = {
    "in.h264": (encoded, 1),
    "in.avi": (encoded, 1),
    "late.ts": (late, 1),
    "late.mkv": (late, 1),
    "wraps.ts": (wraps, 1),
    "twice.ts": (twice, 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_frame_is_lost_and_time_is_kept(tmp_path: Path, kind: str) -> None:
    make, parts = KINDS[kind]
    make(tmp_path / kind)
    seen: list[float] = []

    def look(image: BgrImage, seconds: float) -> BgrImage:
        seen.append(seconds)
        return image

    assert convert_video(tmp_path / kind, tmp_path / "out.mp4", look, quiet) == []
    found = contents(tmp_path / "out.mp4")
    assert len(found.times) == parts * FRAMES
    assert 0 <= seen[0] <= FRAME and found.times == sorted(set(found.times))
    lasts = float(found.times[-1] - found.times[0]) + FRAME
    assert lasts == pytest.approx(parts * SECONDS, abs=FRAME)
    for number in (0, 7, FRAMES - 1):
        assert psnr(found.stored[number], image(number, (96, 64))) > VIDEO_REENCODED_DB - 3
    source = FileSource(str(tmp_path / kind))
    source.open()
    begin = time.perf_counter()
    frames = [source.read() for _ in range(FRAMES)]
    took = time.perf_counter() - begin
    source.close()
    times = [frame.seconds for frame in frames if frame is not None]
    assert times[-1] - times[0] == pytest.approx(SECONDS - FRAME, abs=FRAME)
    assert took == pytest.approx(SECONDS - FRAME, abs=0.35)


def test_sound_follows_a_recording_that_begins_again(tmp_path: Path) -> None:
    clip(tmp_path / "in.ts", begin=3, audio="aac")
    data = (tmp_path / "in.ts").read_bytes()
    (tmp_path / "in.ts").write_bytes(data * 2)
    assert convert_video(tmp_path / "in.ts", tmp_path / "out.mp4", same, quiet) == []
    found = contents(tmp_path / "out.mp4")
    assert len(found.times) == 2 * FRAMES
    assert float(found.audio_times[-1]) == pytest.approx(float(found.times[-1]), abs=0.15)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "webm"])
@pytest.mark.parametrize("sound", ["wmav2 48000 wmv", "pcm_u8 8000 avi", "pcm_s16le 37800 avi"])
def test_sound_that_a_container_refuses_is_converted(
    tmp_path: Path, ending: str, sound: str
) -> None:
    codec, rate, container = sound.split()
    source, target = tmp_path / f"in.{container}", tmp_path / f"out.{ending}"
    inputs = ["-f", "lavfi", "-i", "testsrc=s=96x64:r=30:d=1"]
    inputs += ["-f", "lavfi", "-i", f"sine=d=1:r={rate}"]
    ffmpeg(*inputs, "-c:v", "mpeg4", "-c:a", codec, source)
    notes = convert_video(source, target, same, quiet)
    with av.open(str(target)) as container_out:
        (stream,) = container_out.streams.audio
        samples = sum(frame.samples for frame in container_out.decode(stream))
        kept = stream.codec_context.codec.canonical_name == codec
        assert samples / stream.rate == pytest.approx(1.0, abs=0.15)
    assert bool(notes) != kept and all("converted" in note for note in notes)


def test_interlaced_video_is_deinterlaced(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    fields = "-f lavfi -i testsrc2=s=96x64:r=60:d=1 -vf interlace=lowpass=off"
    options = "-c:v libx264 -flags +ilme+ildct -x264-params tff=1 -crf 10"
    ffmpeg(*fields.split(), *options.split(), source)
    (note,) = convert_video(source, target, same, quiet)
    assert "de-interlaced" in note
    before, after = contents(source), contents(target)
    assert after.times == before.times

    def combing(shown: BgrImage) -> float:
        rows = shown.astype(np.float32)
        return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean())

    combs = [combing(frame) for frame in before.stored[2:-2]]
    assert np.mean([combing(f) for f in after.stored[2:-2]]) < SHARP * np.mean(combs)


def test_lost_depth_is_said(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mp4"
    pixels = "testsrc=s=96x64:r=30:d=0.2,format=yuv422p10le"
    ffmpeg("-f", "lavfi", "-i", pixels, "-c:v", "ffv1", source)
    assert convert_video(source, target, same, quiet) == [
        "it has more than 8 bits: the output has 8"
    ]


def test_lost_transparency_is_said_and_not_tagged(tmp_path: Path) -> None:
    source, target = tmp_path / "in.webm", tmp_path / "out.webm"
    filters = "testsrc=s=96x64:r=30:d=0.2,format=yuva420p,colorchannelmixer=aa=0.5"
    ffmpeg("-f", "lavfi", "-i", filters, "-c:v", "libvpx-vp9", source)
    assert convert_video(source, target, same, quiet) == ["its transparency could not be kept"]
    with av.open(str(target)) as out:
        assert "alpha_mode" not in {name.lower() for name in out.streams.video[0].metadata}


@pytest.mark.parametrize("ending", ["avi", "mov", "mkv"])
def test_frames_that_carry_exif(tmp_path: Path, ending: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 5  # mirrored and turned: what PyAV's `rotation` alone does not tell
    jpeg = io.BytesIO()
    Image.fromarray(image(3, (96, 64))[..., ::-1]).save(jpeg, "JPEG", exif=exif, quality=95)
    source = tmp_path / f"in.{ending}"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for number in range(5):
            packet = av.Packet(jpeg.getvalue())
            packet.pts = packet.dts = number
            packet.time_base, packet.is_keyframe, packet.stream = Fraction(1, 30), True, stream
            container.mux(packet)
    upright = np.transpose(image(3, (96, 64)), (1, 0, 2))
    convert_video(source, tmp_path / "out.mp4", same, quiet)
    found = contents(tmp_path / "out.mp4")
    assert len(found.times) == 5 and psnr(found.upright[0], upright) > 28
    live = FileSource(str(source))
    live.open()
    frame = live.read()
    live.close()
    assert frame is not None and psnr(frame.image, upright) > 28


def test_frames_that_ffmpeg_drops_are_told(tmp_path: Path) -> None:
    whole, begun, target = (tmp_path / name for name in ("whole.ts", "begun.ts", "out.mp4"))
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=2", "-c:v", "libx264", "-g", "10", str(whole))
    packets = whole.read_bytes()
    begun.write_bytes(packets[len(packets) // 4 :])  # between two key frames
    assert convert_video(whole, target, same, quiet) == []
    notes = convert_video(begun, target, same, quiet)
    assert any(note.startswith("frames that could not be decoded: ") for note in notes)
