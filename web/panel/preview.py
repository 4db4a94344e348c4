"""The live preview: JPEGs for the panels that are visible, and no work when none is."""

import asyncio
import json
import struct
import threading
from collections.abc import Callable

import cv2

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.sinks import ProcessedFrame, Sink
from vcam_relight.web.messages import FrameHeader

QUALITY = 80
LONGEST_SIDE = 1280
"""Larger images are scaled down: a preview that fills a laptop's screen needs no more."""


class Viewer:
    """One panel. It gets a new frame only after it has shown the last one (newest wins)."""

    def __init__(
        self, deliver: Callable[[bytes], None], deliver_thumbnails: Callable[[bytes], None]
    ) -> None:
        """Is not visible yet.

        Args:
            deliver: takes a frame's message on the event loop; it must not block.
            deliver_thumbnails: the same for thumbnails.
        """
        self.deliver = deliver
        self.deliver_thumbnails = deliver_thumbnails
        self.loop = asyncio.get_running_loop()
        self.visible = False
        self.original = False
        """Whether it wants the original beside the relit image."""
        self.thumbnails = False
        """Whether it shows thumbnails of the presets."""
        self.ready = True
        """Whether it has shown what it was sent."""

    def view(self, visible: bool, original: bool, thumbnails: bool) -> None:
        """What the page shows now. A page that comes back may have lost its last frame."""
        if visible and not self.visible:
            self.ready = True
        self.visible, self.original, self.thumbnails = visible, original, thumbnails


class PreviewSink(Sink):
    """Encodes frames for viewers.

    `attach` and `detach` run on the event loop, `write` on the sink's thread.
    """

    kind = "preview"
    is_page = True
    label = "preview"

    def __init__(self) -> None:
        self.encoded = 0
        """Images turned into JPEGs so far."""
        self._lock = threading.Lock()
        self._viewers: tuple[Viewer, ...] = ()
        self._number = 0

    def attach(self, viewer: Viewer) -> None:
        """From now on `viewer` gets frames while it is visible."""
        with self._lock:
            self._viewers = (*self._viewers, viewer)

    def detach(self, viewer: Viewer) -> None:
        """`viewer` has gone."""
        with self._lock:
            self._viewers = tuple(v for v in self._viewers if v is not viewer)

    @property
    def has_consumers(self) -> bool:
        """Whether any connected page is visible."""
        return any(viewer.visible for viewer in self._viewers)

    def open(self) -> None:
        """Nothing to open."""

    def write(self, frame: ProcessedFrame) -> None:
        """Sends one frame to each viewer that has shown its last one.

        The message: 4 bytes big-endian, the length of the header; the header (`FrameHeader`) as
        JSON; the relit image as JPEG; for those who asked, the original as JPEG.

        Raises:
            SinkError: the image cannot be encoded.
        """
        takers = [viewer for viewer in self._viewers if viewer.visible and viewer.ready]
        if not takers:
            return
        relit = self._encode(frame.output.image)
        original = b""
        if any(viewer.original for viewer in takers):
            same = frame.original.image is frame.output.image
            original = relit if same else self._encode(frame.original.image)
        self._number += 1
        height, width = _preview_size(frame.output.image)

        def message(*parts: bytes) -> bytes:
            return _message(
                {
                    "type": "frame",
                    "frame": self._number,
                    "width": width,
                    "height": height,
                    "settings_id": frame.settings_id,
                    "parts": [len(part) for part in parts],
                },
                *parts,
            )

        plain = message(relit)
        both = message(relit, original) if original else plain
        for viewer in takers:
            viewer.ready = False
            data = both if viewer.original and original else plain
            if not viewer.loop.is_closed():
                viewer.loop.call_soon_threadsafe(viewer.deliver, data)

    def close(self) -> None:
        """Nothing to close."""

    def _encode(self, image: BgrImage) -> bytes:
        height, width = _preview_size(image)
        if (height, width) != image.shape[:2]:
            small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        else:
            small = image
        done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if not done:
            raise SinkError(f"the preview cannot encode an image of {width}x{height}")
        self.encoded += 1
        return bytes(data)


def _preview_size(image: BgrImage) -> tuple[int, int]:
    """Height and width in the preview."""
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _message(header: FrameHeader, *parts: bytes) -> bytes:
    text = json.dumps(header).encode()
    return b"".join((struct.pack(">I", len(text)), text, *parts))
