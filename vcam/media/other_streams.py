"""The streams beside the video: sound and subtitles, copied where the container takes them."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Protocol

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec import Codec
from av.container import OutputContainer
from av.stream import Stream

from vcam_relight.vcam.media.clock import AnyPacket

_OWN_TAGS = {
    "encoder",
    "duration",
    "rotate",
    "alpha_mode",
    "major_brand",
    "minor_version",
    "compatible_brands",
}
"""Tags that describe the input file itself and would be wrong in the output."""

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""The layouts that every encoder knows, by number of channels."""

_WITHOUT_PCM = {"mp4", "ipod"}
"""FFmpeg writes PCM to them since 2023; few players read it, and some rates end in an error."""

_OPUS_RATE = 48_000


class OtherStream(Protocol):
    """A stream of the output that takes the packets of one of the input."""

    notes: list[str]
    """What was converted or lost, in words; complete when finished."""

    def write(self, packet: AnyPacket) -> None:
        """Takes a packet over."""

    def finish(self) -> None:
        """Writes what is held back."""


def carry_over(container: OutputContainer, source: Stream) -> OtherStream | None:
    """A stream of the output for `source`; None when the container can have none of it."""
    if source.type not in ("audio", "subtitle") or codec_of(source) is None:
        return None
    if _takes(container, source):
        return _Copy(container, source)
    return _Transcode(container, source) if isinstance(source, AudioStream) else None


def codec_of(stream: Stream) -> str | None:
    """Its codec's name; None when FFmpeg has no decoder for it."""
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else None


def kept_tags(tags: dict[str, str]) -> dict[str, str]:
    """The tags that still hold in another file."""
    return {name: value for name, value in tags.items() if name.lower() not in _OWN_TAGS}


def _takes(container: OutputContainer, source: Stream) -> bool:
    """Whether the container takes the stream as it is: its header is tried, for nobody to keep."""
    codec = codec_of(source)
    if codec is None or codec not in container.supported_codecs:
        return False
    if codec.startswith("pcm_") and container.format.name in _WITHOUT_PCM:
        return False
    try:
        with av.open(io.BytesIO(), "w", format=container.format.name) as trial:
            trial.add_stream_from_template(source)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


class _Copy:
    """A stream whose packets are taken over as they are."""

    def __init__(self, container: OutputContainer, source: Stream) -> None:
        self.notes: list[str] = []
        self._container = container
        self._what = f"{codec_of(source)} {source.type}"
        self._lost = 0
        self._stream = container.add_stream_from_template(source)
        self._stream.metadata.update(kept_tags(source.metadata))
        self._stream.disposition = source.disposition

    def write(self, packet: AnyPacket) -> None:
        packet.stream = self._stream
        try:
            self._container.mux(packet)
        except ValueError:  # EINVAL: a damaged file's packet without a usable time
            self._lost += 1

    def finish(self) -> None:
        if self._lost:
            self.notes.append(f"packets of {self._what} were lost: {self._lost}")


class _Transcode:
    """An audio stream in the container's own codec, because it does not take the source's."""

    def __init__(self, container: OutputContainer, source: AudioStream) -> None:
        self._container = container
        self._source = source
        self._damaged = 0
        opus = container.format.name == "webm"
        codec = "libopus" if opus else "aac"
        self.notes = [f"audio was converted from {codec_of(source)} to {codec.removeprefix('lib')}"]
        rate = _OPUS_RATE if opus else _rate(codec, source.rate)
        stream = container.add_stream(codec, rate=rate)
        if not isinstance(stream, AudioStream):
            raise TypeError(f"{codec} is no audio encoder")
        self._stream = stream
        layout = _LAYOUTS.get(source.channels, "stereo")
        stream.layout = layout
        stream.metadata.update(kept_tags(source.metadata))
        stream.disposition = source.disposition
        context: AudioCodecContext = stream.codec_context
        self._resampler = av.AudioResampler(context.format, layout, context.rate)

    def write(self, packet: AnyPacket) -> None:
        try:
            frames = self._source.decode(packet)
        except av.FFmpegError:
            self._damaged += 1
            return
        for frame in frames:
            self._encode(frame)

    def finish(self) -> None:
        with suppress(av.FFmpegError):
            for frame in self._source.decode(None):
                self._encode(frame)
        self._encode(None)
        self._container.mux(self._stream.encode(None))
        if self._damaged:
            self.notes.append(f"damaged pieces of sound were left out: {self._damaged}")

    def _encode(self, frame: AudioFrame | None) -> None:
        for resampled in self._resampler.resample(frame):
            self._container.mux(self._stream.encode(resampled))


def _rate(codec: str, wanted: int) -> int:
    """The encoder's sampling rate that is nearest above `wanted`, or its highest."""
    rates = Codec(codec, "w").audio_rates or [wanted]
    return min((rate for rate in rates if rate >= wanted), default=max(rates))
