"""Thumbnails of all presets: the largest head under each, for panels that show them."""

import json
import struct
import threading
import time

import cv2
import numpy as np

from vcam_relight.pipeline.compositing.portrait import Portrait, ball
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.settings.store import SettingsStore
from vcam_relight.vcam.sinks import ProcessedFrame, Sink
from vcam_relight.web.messages import ThumbnailsHeader
from vcam_relight.web.panel.preview import Viewer

QUALITY = 80
SIDE = 96
"""Pixels of a thumbnail."""
COLUMNS = 8
INTERVAL_S = 0.35
SHARE = 0.045
"""Of a core that thumbnails may take: a slower machine shows new ones less often."""
PATIENCE_S = 1.5
"""How long a head that is lost stays in view."""


class ThumbnailSink(Sink):
    """Shades a small picture of the largest head for each preset, a few times a second.

    Where there is no head, or the engine knows no shapes, a plain ball takes its place, and is sent
    only once. `attach` and `detach` run on the event loop, `write` on the sink's thread.
    """

    kind = "thumbnails"
    label = "thumbnails"
    is_page = True
    needs_portrait = True

    def __init__(self, settings: SettingsStore) -> None:
        """Of the presets in `settings`."""
        self.made = 0
        """Sheets so far."""
        self._settings = settings
        self._lock = threading.Lock()
        self._viewers: tuple[Viewer, ...] = ()
        self._due = 0.0
        self._seen = -PATIENCE_S
        """When there was a portrait last."""
        self._balls: tuple[object, tuple[Viewer, ...]] | None = None
        """The presets that balls were last sent for, and to whom."""

    def attach(self, viewer: Viewer) -> None:
        """From now on `viewer` gets thumbnails while it shows them."""
        with self._lock:
            self._viewers = (*self._viewers, viewer)

    def detach(self, viewer: Viewer) -> None:
        """`viewer` has gone."""
        with self._lock:
            self._viewers = tuple(v for v in self._viewers if v is not viewer)

    @property
    def has_consumers(self) -> bool:
        """Whether a page shows thumbnails, and new ones are due."""
        return time.monotonic() >= self._due and bool(self._takers())

    def open(self) -> None:
        """Nothing to open."""

    def write(self, frame: ProcessedFrame) -> None:
        """Sends a sheet to each viewer that shows thumbnails.

        The message: 4 bytes big-endian, the length of the header; the header (`ThumbnailsHeader`)
        as JSON; the sheet as JPEG.

        Raises:
            SinkError: it cannot be encoded.
        """
        now, begin = time.monotonic(), time.thread_time()
        self._due = now + INTERVAL_S
        takers, presets = self._takers(), self._settings.presets
        portrait = frame.portrait
        if portrait is not None:
            self._seen, self._balls = now, None
        elif now - self._seen < PATIENCE_S or self._balls == (presets, takers):
            return
        else:
            self._balls = presets, takers
        data = self._message(portrait or ball())
        self.made += 1
        for viewer in takers:
            if not viewer.loop.is_closed():
                viewer.loop.call_soon_threadsafe(viewer.deliver_thumbnails, data)
        self._due = now + max(INTERVAL_S, (time.thread_time() - begin) / SHARE)

    def close(self) -> None:
        """Nothing to close."""

    def _takers(self) -> tuple[Viewer, ...]:
        return tuple(viewer for viewer in self._viewers if viewer.visible and viewer.thumbnails)

    def _message(self, portrait: Portrait) -> bytes:
        presets = self._settings.presets
        tiles = [
            _sized(portrait.under(preset.lighting(), preset.controls))
            for preset in presets.values()
        ]
        done, data = cv2.imencode(".jpg", _sheet(tiles), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if not done:
            raise SinkError("thumbnails cannot be encoded")
        header = ThumbnailsHeader(
            type="thumbnails",
            names=list(presets),
            side=SIDE,
            columns=COLUMNS,
            parts=[data.size],
        )
        text = json.dumps(header).encode()
        return b"".join((struct.pack(">I", len(text)), text, bytes(data)))


def _sized(tile: BgrImage) -> BgrImage:
    return np.asarray(cv2.resize(tile, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _sheet(tiles: list[BgrImage]) -> BgrImage:
    """Tiles row by row, `COLUMNS` in each."""
    rows = -(-len(tiles) // COLUMNS)
    sheet = np.zeros((rows * SIDE, COLUMNS * SIDE, 3), np.uint8)
    for index, tile in enumerate(tiles):
        y, x = divmod(index, COLUMNS)
        sheet[y * SIDE : (y + 1) * SIDE, x * SIDE : (x + 1) * SIDE] = tile
    return sheet
