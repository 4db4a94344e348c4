"""Between FFmpeg's video frames and our images, with matrix and range stated."""

from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.media.orientation import Orientation

# swscale's flags by number: PyAV 17 does not name them all
_BICUBIC, _FULL_CHROMA_OUT, _FULL_CHROMA_IN, _ACCURATE = 0x4, 0x2000, 0x4000, 0x40000
_EXACT = _BICUBIC | _FULL_CHROMA_OUT | _FULL_CHROMA_IN | _ACCURATE

_BT601, _BT709, _BT2020 = 5, 1, 9  # swscale's numbers, for the same reason
# AVColorSpace (ITU-T H.273, table 4) to the matrices of swscale
_MATRICES = {1: _BT709, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: _BT2020, 10: _BT2020}
_UNSPECIFIED = 2
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


@dataclass(frozen=True, slots=True)
class Colour:
    """What a stream says about its colours, as H.273 numbers."""

    matrix: int
    full_range: bool
    primaries: int
    transfer: int
    matrix_of_pixels: int
    """The matrix itself, by swscale's number; a stream that names none is BT.601 up to 576 lines
    and BT.709 above, as players guess."""

    @staticmethod
    def of(frame: av.VideoFrame) -> "Colour":
        """The colour tags of a decoded frame."""
        guess = _BT709 if frame.height > 576 else _BT601
        return Colour(
            matrix=frame.colorspace,
            full_range=(
                frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
            ),
            primaries=frame.color_primaries,
            transfer=frame.color_trc,
            matrix_of_pixels=_MATRICES.get(frame.colorspace, guess),
        )

    @staticmethod
    def named(matrix: int, full_range: bool) -> "Colour":
        """A standard's matrix, primaries and transfer, which have the same H.273 number."""
        return Colour(matrix, full_range, matrix, matrix, _MATRICES[matrix])

    @staticmethod
    def bt709() -> "Colour":
        """What is used for new files: BT.709, limited range."""
        return Colour.named(1, full_range=False)

    @property
    def hdr(self) -> str:
        """`PQ` or `HLG`; empty for ordinary video."""
        return _HDR_TRANSFERS.get(self.transfer, "")

    def tag(self, context: av.VideoCodecContext) -> None:
        """Writes the tags to an encoder; RGB sources become YUV of no named matrix."""
        context.colorspace = self.matrix if self.matrix in _MATRICES else _UNSPECIFIED
        context.color_range = ColorRange.JPEG if self.full_range else ColorRange.MPEG
        context.color_primaries = self.primaries
        context.color_trc = self.transfer


class FrameConverter:
    """Converts frames of one stream, on one thread; keeps swscale's tables between them."""

    def __init__(self, exact: bool = False) -> None:
        """Converts nothing yet.

        Args:
            exact: slower, without swscale's rounding errors (10 dB in a round trip through YUV).
        """
        self._reformatter = VideoReformatter()
        self._interpolation = _EXACT if exact else None

    def to_image(self, frame: av.VideoFrame) -> BgrImage:
        """The frame as `(H, W, 3)` BGR, full range, as stored (not turned upright)."""
        if frame.format.is_rgb:
            bgr = self._reformatter.reformat(frame, format="bgr24")
        else:
            colour = Colour.of(frame)
            bgr = self._reformatter.reformat(
                frame,
                format="bgr24",
                src_colorspace=colour.matrix_of_pixels,
                src_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG,
                dst_color_range=ColorRange.JPEG,
                interpolation=self._interpolation,
            )
        return np.asarray(bgr.to_ndarray(), np.uint8)

    def from_image(self, image: BgrImage, colour: Colour) -> av.VideoFrame:
        """A yuv420p frame of `(H, W, 3)` BGR; odd sizes grow by one repeated column or row."""
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        return self._reformatter.reformat(
            frame,
            format="yuv420p",
            dst_colorspace=colour.matrix_of_pixels,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG,
            interpolation=self._interpolation,
        )


def _name_all_side_data() -> None:
    """Makes frames with EXIF readable: PyAV knows no name for it, and raises a ValueError.

    Ends with the release that has https://github.com/PyAV-Org/PyAV/pull/2392.
    """

    def missing(cls: type[SideDataType], value: object) -> SideDataType:
        member: Any = object.__new__(cls)
        member._name_, member._value_ = f"UNKNOWN_{value}", value
        named: SideDataType = member
        return named

    SideDataType._missing_ = classmethod(missing)  # type: ignore[assignment, method-assign]


_name_all_side_data()


def has_alpha(frame: av.VideoFrame, stream: VideoStream) -> bool:
    """Whether the video is transparent in places.

    VP8 and VP9 keep that beside the frames, and WebM says so in a tag.
    """
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    return tags.get("alpha_mode") == "1" or any(c.is_alpha for c in frame.format.components)


def display_matrix(frame: av.VideoFrame) -> list[int] | None:
    """The frame's display matrix: nine integers, or None when it has none."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, Buffer):
        return None
    values = np.frombuffer(memoryview(data), np.int32)
    return [int(value) for value in values] if values.size == 9 else None


def orientation(frame: av.VideoFrame) -> Orientation:
    """How the frame has to be turned to be upright.

    Ask for one frame of a file: PyAV's side data and its frame hold each other, so that each frame
    asked lives until Python looks for cycles.
    """
    matrix = display_matrix(frame)
    return Orientation() if matrix is None else Orientation.from_matrix(matrix)
