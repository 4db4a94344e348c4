"""Video and audio files that tests make, and what is in a file."""

import shutil
import subprocess
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.media.frames import Colour, FrameConverter, display_matrix, orientation

CLOCK = Fraction(1, 90_000)
QUARTER_TURN = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
"""Display matrix of a phone held upright: the stored image is turned clockwise."""


_OPTIONS = {
    "libx264": {"crf": "10", "preset": "ultrafast", "bf": "2"},
    "libvpx-vp9": {"crf": "10", "deadline": "realtime", "cpu-used": "8"},
}


def image(number: int, size: tuple[int, int] = (320, 180)) -> BgrImage:
    """A smooth colourful image, different for each number and in each corner."""
    width, height = size
    grid = np.random.default_rng(number).integers(40, 216, (4, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def make_clip(
    path: Path,
    *,
    images: list[BgrImage] | None = None,
    times: list[int] | None = None,
    audio: str | None = "aac",
    codec: str = "libx264",
    colour: Colour | None = None,
    matrix: list[int] | None = None,
    aspect: Fraction | None = None,
) -> None:
    """Writes a video file: `times` in 1/90000 s, by default 30 fps; `audio` is an encoder."""
    images = images or [image(number) for number in range(15)]
    times = times or [index * 3000 for index in range(len(images))]
    colour = colour or Colour.bt709()
    converter = FrameConverter(exact=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options=_OPTIONS[codec])
        assert isinstance(stream, VideoStream)
        height, width = images[0].shape[:2]
        odd_allowed = codec == "libvpx-vp9"
        stream.width = width if odd_allowed else width + width % 2
        stream.height = height if odd_allowed else height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = CLOCK
        colour.tag(stream.codec_context)
        stream.set_display_matrix(matrix)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        sound = container.add_stream(audio, rate=48_000) if audio else None
        if sound is not None:
            assert isinstance(sound, AudioStream)
            sound.layout = "mono"
        for shown, time in zip(images, times, strict=True):
            if odd_allowed:
                frame = av.VideoFrame.from_ndarray(shown, "bgr24").reformat(format="yuv420p")
            else:
                frame = converter.from_image(shown, colour)
            frame.pts, frame.time_base = time, CLOCK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            tone = np.sin(np.arange(round(times[-1] / 90_000 * 48_000)) * 0.06) * 0.5
            for start in range(0, len(tone) - 1024, 1024):
                samples = tone[None, start : start + 1024].astype(np.float32)
                block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                block.sample_rate, block.pts = 48_000, start
                block.time_base = Fraction(1, 48_000)
                for part in av.AudioResampler(sound.format, "mono", 48_000).resample(block):
                    container.mux(sound.encode(part))
            container.mux(sound.encode(None))


def ffmpeg(*words: str | Path, folder: Path | None = None) -> None:
    """Runs FFmpeg's program, which makes files that PyAV has no names for; skips without it."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("FFmpeg's program is not installed")
    command = ["ffmpeg", "-v", "error", *map(str, words)]
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL)


@dataclass
class Contents:
    """What a player would find in a file."""

    size: tuple[int, int]
    times: list[Fraction] = field(default_factory=list)
    """Of each frame, in seconds."""
    stored: list[BgrImage] = field(default_factory=list)
    upright: list[BgrImage] = field(default_factory=list)
    matrix: list[int] | None = None
    colour: Colour | None = None
    aspect: Fraction | None = None
    rate: Fraction | None = None
    video_codec: str = ""
    audio_codecs: list[str] = field(default_factory=list)
    audio: list[bytes] = field(default_factory=list)
    """The packets of all audio streams."""
    audio_times: list[Fraction] = field(default_factory=list)


def contents(path: Path) -> Contents:
    """Reads all of a file."""
    converter = FrameConverter(exact=True)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = Contents((stream.width, stream.height))
        found.aspect, found.rate = stream.sample_aspect_ratio, stream.average_rate
        found.video_codec = stream.codec_context.codec.canonical_name
        found.audio_codecs = [s.codec_context.codec.canonical_name for s in container.streams.audio]
        for packet in container.demux():
            if packet.stream is not stream:
                if packet.size:
                    found.audio.append(bytes(packet))
                    assert packet.pts is not None and packet.time_base is not None
                    found.audio_times.append(packet.pts * packet.time_base)
                continue
            for frame in stream.decode(packet):
                assert frame.pts is not None and frame.time_base is not None
                found.times.append(frame.pts * frame.time_base)
                stored = converter.to_image(frame)
                found.stored.append(stored)
                found.upright.append(orientation(frame).upright(stored))
                if len(found.times) == 1:
                    found.colour, found.matrix = Colour.of(frame), display_matrix(frame)
    return found


def psnr(a: BgrImage, b: BgrImage) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))
