"""Video files: every frame goes through a function, everything else is kept.

Kept: timestamps (variable frame rates too), rotation and aspect ratio, colour tags, chapters and
titles, and each audio and subtitle stream, copied packet by packet where the container takes its
codec. Decoding, the function and encoding overlap on three threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import av
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.atomic_file import replacing
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.media.clock import AnyPacket
from vcam_relight.vcam.media.files import H264, MOVIES, VP9, av_name, encoder_of
from vcam_relight.vcam.media.frames import (
    Colour,
    FrameConverter,
    display_matrix,
    has_alpha,
    orientation,
)
from vcam_relight.vcam.media.letterbox import Letterbox, even
from vcam_relight.vcam.media.orientation import Orientation
from vcam_relight.vcam.media.other_streams import OtherStream, carry_over, codec_of, kept_tags
from vcam_relight.vcam.media.stages import PipelineStage
from vcam_relight.vcam.media.video_reader import Decoded, VideoReader, reason

_OPTIONS = {
    H264: {"crf": "18", "preset": "veryfast"},
    VP9: {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"},
}


def convert_video(
    source: Path,
    target: Path,
    change: Callable[[BgrImage, float], BgrImage],
    progress: Callable[[int | None], None],
) -> list[str]:
    """Writes `target`: the video of `source` with each image passed through `change`.

    The output is 8-bit 4:2:0: H.264, or VP9 for `.webm`, where audio becomes Opus if it is not
    yet. An odd width or height grows by one repeated column or row, since 4:2:0 needs even ones.

    Args:
        source: any video file that FFmpeg reads.
        target: its ending is one of `vcam.media.files.ENCODERS`.
        change: upright BGR image and its time in seconds -> image of the same shape; runs on
            one thread, in order.
        progress: called for each frame written, with the number of frames expected in all.

    Returns:
        What was wrong with the input or could not be kept, in words.

    Raises:
        InputError: the input gives no frame, or the output cannot be written.
    """
    with (
        VideoReader.open(source) as reader,
        replacing(target) as temporary,
        PipelineStage(reader.items(), "decode") as decoded,
        PipelineStage(_changed(decoded, change), "relight") as changed,
    ):
        notes = _write(temporary, reader, changed, progress)
    return reader.notes + notes


def _changed(
    items: Iterable[Decoded | AnyPacket], change: Callable[[BgrImage, float], BgrImage]
) -> Iterator[Decoded | AnyPacket]:
    turn: Orientation | None = None
    for item in items:
        if isinstance(item, Decoded):
            turn = turn or orientation(item.frame)
            image = change(turn.upright(item.image), item.seconds)
            yield replace(item, image=turn.stored(image))
        else:
            yield item


def _write(
    path: Path,
    reader: VideoReader,
    items: Iterable[Decoded | AnyPacket],
    progress: Callable[[int | None], None],
) -> list[str]:
    writer: _Writer | None = None
    early: list[AnyPacket] = []  # packets before the first frame, which makes the writer
    try:
        for item in items:
            if isinstance(item, Decoded):
                with _writing():
                    if writer is None:
                        writer = _Writer(path, reader, item)
                        for packet in early:
                            writer.write_packet(packet)
                    writer.write_frame(item)
                progress(reader.expected_frames)
            elif writer is None:
                early.append(item)
            else:
                with _writing():
                    writer.write_packet(item)
        if writer is None:
            raise InputError(
                f"no frame of {reader.path} can be decoded", "use an intact video file"
            )
        with _writing():
            writer.finish()
    finally:
        if writer is not None:
            with suppress(av.FFmpegError):
                writer.container.close()
    return writer.notes


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        raise InputError(
            f"the output cannot be written ({reason(error)})", "choose another place"
        ) from None


class _Writer:
    """The output file."""

    def __init__(self, path: Path, reader: VideoReader, first: Decoded) -> None:
        self.notes: list[str] = []
        self._converter = FrameConverter(exact=True)
        suffix = path.suffix.lower()
        self.container: OutputContainer = av.open(
            av_name(path), "w", options={"movflags": "+faststart"} if suffix in MOVIES else {}
        )
        self.container.metadata.update(kept_tags(reader.container.metadata))
        self.container.set_chapters(reader.chapters)
        self._video = self._add_video(path, reader, first)
        self._others: dict[int, OtherStream] = {}
        left_out: Counter[str] = Counter()
        for stream in reader.container.streams:
            if stream is not reader.stream and not _is_chapter_text(stream, reader):
                other = carry_over(self.container, stream)
                if other is None:
                    left_out[" ".join(filter(None, (codec_of(stream), stream.type)))] += 1
                else:
                    self._others[stream.index] = other
        self.notes += [
            f"{count} {what} stream{'s' * (count > 1)} could not be kept in {suffix}"
            for what, count in left_out.items()
        ]

    def write_frame(self, item: Decoded) -> None:
        """Encodes an image with the time of the frame that it was decoded from."""
        frame = self._converter.from_image(self._fitted(item.image), self._colour)
        frame.pts, frame.time_base = item.pts, self._time_base
        frame.duration = item.frame.duration
        self.container.mux(self._video.encode(frame))

    def write_packet(self, packet: AnyPacket) -> None:
        """Copies or transcodes a packet of another stream."""
        other = self._others.get(packet.stream.index)
        if other is not None:
            other.write(packet)

    def finish(self) -> None:
        """Writes what the encoders still hold, and the file's index."""
        self.container.mux(self._video.encode(None))
        for other in self._others.values():
            other.finish()
            self.notes += other.notes
        self.container.close()

    def _add_video(self, path: Path, reader: VideoReader, first: Decoded) -> VideoStream:
        codec = encoder_of(path)
        stream = self.container.add_stream(
            codec, rate=reader.decoder.clock.rate or 30, options=_OPTIONS[codec]
        )
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{codec} is no video encoder")
        self._time_base = reader.time_base
        self._colour = Colour.of(first.frame)
        if self._colour.hdr:
            self.notes.append(f"it is HDR ({self._colour.hdr}): the output has 8 bits a colour")
        elif max(part.bits for part in first.frame.format.components) > 8:
            self.notes.append("it has more than 8 bits: the output has 8")
        if has_alpha(first.frame, reader.stream):
            self.notes.append("its transparency could not be kept")
        self._colour.tag(stream.codec_context)
        height, width = first.image.shape[:2]
        self._size = (width, height)
        stream.width, stream.height = even((width + 1, height + 1))
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._time_base
        aspect = reader.stream.sample_aspect_ratio
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
            if codec == VP9 and aspect != 1:  # it has no place for it
                self.notes.append(f"pixels of aspect {aspect} could not be kept in .webm")
        stream.set_display_matrix(display_matrix(first.frame))
        stream.metadata.update(kept_tags(reader.stream.metadata))
        stream.disposition = reader.stream.disposition
        return stream

    def _fitted(self, image: BgrImage) -> BgrImage:
        """The image in the first one's size: some streams change it on the way."""
        height, width = image.shape[:2]
        return image if (width, height) == self._size else Letterbox(self._size).fit(image)


def _is_chapter_text(stream: Stream, reader: VideoReader) -> bool:
    """Whether it is QuickTime's text track of chapter titles, which the chapters bring along."""
    return stream.type == "data" and bool(reader.container.chapters())
