"""Encodes frames as H.264 in MP4, limited-range BT.709."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

# H.273 code point of BT.709 for primaries, transfer and matrix.
_BT709 = 1


def write_video(
    path: Path, frames: Iterable[np.ndarray], size: tuple[int, int], rate: int, crf: float
) -> None:
    """Encode (H, W, 3) uint8 sRGB `frames` at `rate` per second; `size` is (W, H)."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, rate)
        stream.options = {"crf": str(crf), "preset": "slow", "tune": "film", "threads": "1"}
        codec = stream.codec_context
        codec.color_primaries = codec.color_trc = codec.colorspace = _BT709
        codec.color_range = ColorRange.MPEG
        for index, pixels in enumerate(frames):
            rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = rgb.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
