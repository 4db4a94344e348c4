"""Image files that lack their last bytes: opened when that costs no more than the last rows."""

import io
import struct
import threading
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

_PNG_END = b"IEND\xaeB`\x82"
_COMPARED = 50
"""A fiftieth of the file is left out to see which rows its last bytes hold."""
_BEYOND = 1024  # bytes
_COLUMNS = 256  # that are compared
_REACH = 0.9
"""Of the height: a file whose last bytes hold rows above it lacks more than a little."""
_CLEAR = 6.0
"""Levels: a row that changes by less on average was there already, and became finer."""

_forgiving = threading.Lock()  # Pillow's switch is one for the whole program


def open_picture(file: BinaryIO, formats: list[str]) -> tuple[Image.Image, bool]:
    """The loaded image, and whether the file was whole.

    Raises:
        UnidentifiedImageError: it is none of `formats`.
        Exception: Pillow's, of any kind, when it is damaged or lacks more than a little.
    """
    data = file.read()
    stated = 8 + int.from_bytes(data[4:8], "little") if data[:4] == b"RIFF" else 0
    lacking = max(stated - len(data), 0)
    if 0 < lacking <= len(data) // _COMPARED:
        data = _webp_with_zeros(data, lacking)
    pil = Image.open(io.BytesIO(data), formats=formats)
    try:
        pil.load()
    except Exception:
        cut = _loaded(data, formats)
        if cut is None or not _nearly_whole(cut, data, formats):
            raise
        return cut, False
    ended = pil.format != "PNG" or _PNG_END in data
    return pil, ended and not lacking


def _webp_with_zeros(data: bytes, lacking: int) -> bytes:
    """A WebP file with zeros at its end: the decoder wants all of it, and often reads beyond."""
    if data[12:16] not in (b"VP8 ", b"VP8L"):  # several chunks: their sizes stay
        return data + bytes(lacking)
    size = len(data) + lacking - 8 + _BEYOND
    head = b"RIFF" + struct.pack("<I", size) + data[8:16] + struct.pack("<I", size - 12)
    return head + data[20:] + bytes(lacking + _BEYOND)


def _nearly_whole(cut: Image.Image, data: bytes, formats: list[str]) -> bool:
    earlier = _loaded(data[: -max(len(data) // _COMPARED, 64)], formats)
    if earlier is None or earlier.size != cut.size:
        return False
    every = max(cut.width // _COLUMNS, 1)
    now, before = (
        np.asarray(pil.convert("RGB"))[:, ::every].astype(np.float32) for pil in (cut, earlier)
    )
    rows = np.flatnonzero(np.abs(now - before).mean(axis=(1, 2)) > _CLEAR)
    if cut.format == "BMP":  # from the bottom up
        rows = cut.height - 1 - rows
    return rows.size == 0 or int(rows.max()) >= _REACH * cut.height


def _loaded(data: bytes, formats: list[str]) -> Image.Image | None:
    with _forgiving:
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            pil = Image.open(io.BytesIO(data), formats=formats)
            pil.load()
        except Exception:  # damaged in another way
            return None
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
    return pil
