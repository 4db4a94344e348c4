"""TIFF files: written with EXIF, and read where Pillow does not know the samples or misreads them.

Pillow's own writer keeps the shot's EXIF without compression only. Read here are: 16-bit planes,
32-bit integers, half and double floats, floats of several channels, 16-bit grey with alpha, whole
numbers of odd bits, Lab of 16 bits, ICC Lab, and big-endian BigTIFF. TIFF 6.0 and Adobe's Technical
Notes say what the tags mean.
"""

import contextlib
import zlib
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.vcam.media.tiff_packing import (
    Unsupported,
    levels_of_bits,
    undifferenced,
    unpacked,
)

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PLANES, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT, _ICC = 338, 339, 34675
_SUBSAMPLING = 530
_X_DENSITY, _Y_DENSITY, _DENSITY_UNIT = 282, 283, 296
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_LONG, _UNDEFINED = 4, 7
_WEBP = 50001

_STRIP, _LEVEL = 1 << 18, 4  # bytes of a strip, effort of zlib

WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK, _YCBCR, _LAB, _ICC_LAB = 0, 1, 2, 5, 6, 8, 9
_COLOURS = {WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _CMYK: 4, _LAB: 3, _ICC_LAB: 3}
_MOST_SAMPLES = 8
_MOST, _BRIGHTEST = 0.9, 8.0

_Samples = NDArray[np.generic]
Tags = ImageFileDirectory_v2
"""A TIFF file's tags by number."""


def tags_of(file: BinaryIO) -> Tags | None:
    """The tags of the first image in a TIFF file; None when it is no TIFF file."""
    file.seek(0)
    head = file.read(8)
    if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    if head[:4] == b"MM\0+":  # Pillow looks for the version in the first of its two bytes
        tags = Tags(head)
        tags._bigtiff = True
        tags.next = int.from_bytes(file.read(8), "big")
    else:
        tags = Tags(head + file.read(8) if head[2:3] == b"+" else head)
    file.seek(tags.next)
    tags.load(file)
    return tags


def exif_of(file: BinaryIO, tags: Tags) -> Image.Exif:
    """What the tags say of the shot; of files that Pillow opens `getexif` says it."""
    exif = Image.Exif()
    for tag, value in tags.items():
        if tag not in (_EXIF_IFD, _GPS_IFD):
            exif[tag] = value
    with contextlib.suppress(Exception):  # they are as damaged as the file likes
        nested = Image.Exif()
        nested.bigtiff, nested.endian = tags._bigtiff, tags._endian
        nested.load_from_fp(file, tags._offset)
        for place in (_EXIF_IFD, _GPS_IFD):
            if values := nested.get_ifd(place):
                exif.get_ifd(place).update(values)
                exif[place] = values
    return exif


def bits_of(tags: Tags) -> int:
    """Of each sample."""
    return _first(tags, _BITS, 1)


def extra_channels(tags: Tags) -> int:
    """Channels beside those of the colour: transparency, or what only the writer knows."""
    return len(_all(tags, _EXTRA_SAMPLES))


def is_webp(tags: Tags) -> bool:
    """Whether its strips are WebP, for which Pillow's libtiff has no decoder in its wheels."""
    return tags.get(_COMPRESSION) == _WEBP


def is_misread(tags: Tags) -> bool:
    """Whether Pillow opens the file and gives other pixels."""
    if tags.get(_PHOTOMETRIC) == _YCBCR and tags.get(_COMPRESSION, 1) == 1:
        return tuple(tags.get(_SUBSAMPLING, (2, 2))) != (1, 1)
    bits, integers = _first(tags, _BITS, 1), _first(tags, _SAMPLE_FORMAT, 1) != 3
    return bits >= 16 and (
        (tags.get(_PLANES, 1) == 2 and tags.get(_SAMPLES, 1) > 1) or (bits >= 32 and integers)
    )


def read_samples(file: BinaryIO, tags: Tags) -> Image.Image:
    """The image in one of Pillow's modes of 8 bits: L, LA, RGB, RGBA, CMYK or LAB.

    Raises:
        Unsupported: it is of a kind that is not read here either.
        ValueError: it is damaged or too large.
    """
    photometric = tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO)
    if photometric == _YCBCR:
        return _by_opencv(file, tags)
    colours = _COLOURS.get(photometric)
    count = tags.get(_SAMPLES, 1)
    if colours is None or not colours <= count <= _MOST_SAMPLES:
        raise Unsupported(f"colours of kind {photometric} in {count} channels are not supported")
    samples = _read(file, tags)
    colour = samples[..., :colours]
    if photometric in (_LAB, _ICC_LAB):
        image = _lab(colour, photometric == _ICC_LAB)
    else:
        levels = _levels(colour)
        if photometric == WHITE_IS_ZERO:
            levels = 255 - levels
        mode = {1: "L", 3: "RGB", 4: "CMYK"}[colours]
        image = Image.frombytes(mode, levels.shape[1::-1], levels.tobytes())
    extra = _all(tags, _EXTRA_SAMPLES)
    if extra[:1] in ((1,), (2,)) and photometric in (WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        alpha = _levels(samples[..., colours : colours + 1])[..., 0]
        if extra[0] == 1:  # premultiplied
            levels = np.asarray(image).reshape(*alpha.shape, colours).astype(np.float32)
            straight = levels * (255 / np.maximum(alpha[..., None], 1))
            image = Image.fromarray(np.squeeze(np.clip(straight, 0, 255).astype(np.uint8)))
        image.putalpha(Image.fromarray(alpha))
    if _ICC in tags:
        image.info["icc_profile"] = bytes(tags[_ICC])
    return image


def inverted(image: Image.Image, tags: Tags) -> Image.Image:
    """The image in a WhiteIsZero file of more than 8 bits, which Pillow gives as its negative."""
    if tags.get(_PHOTOMETRIC) != WHITE_IS_ZERO or image.mode in ("1", "L", "LA", "La"):
        return image
    values = np.asarray(image)
    white = 1.0 if image.mode == "F" and _is_to_one(values) else 255.0
    flipped = (white - values) if image.mode == "F" else np.iinfo(np.uint16).max - values
    return Image.fromarray(flipped.astype(values.dtype))


def write_tiff(
    file: BinaryIO,
    image: Image.Image,
    exif: bytes,
    icc: bytes | None,
    density: tuple[float, float] | None,
) -> None:
    """Writes an image in mode L, LA, RGB or RGBA, deflated.

    Args:
        file: an empty file.
        image: what to write.
        exif: as `vcam.media.exif.shot_exif` gives it.
        icc: the colour profile.
        density: pixels per inch, across and down.
    """
    levels = np.asarray(image).reshape(image.height, image.width, -1)
    deltas = np.diff(levels, axis=1, prepend=np.zeros((image.height, 1, levels.shape[2]), np.uint8))
    rows = max(_STRIP // max(deltas[0].size, 1), 1)
    strips = [
        zlib.compress(deltas[top : top + rows].tobytes(), _LEVEL)
        for top in range(0, image.height, rows)
    ]
    counts = [len(strip) for strip in strips]
    tags = Tags()
    if exif:
        shot = Image.Exif()
        shot.load(exif)
        for tag in shot:
            tags[tag] = shot.get_ifd(tag) if tag in (_EXIF_IFD, _GPS_IFD) else shot[tag]
    colours = 1 if image.mode in ("L", "LA") else 3
    tags[_WIDTH], tags[_HEIGHT] = image.size
    tags[_BITS] = (8,) * levels.shape[2]
    tags[_COMPRESSION], tags[_PREDICTOR], tags[_PLANES] = 8, 2, 1
    tags[_PHOTOMETRIC] = _BLACK_IS_ZERO if colours == 1 else _RGB
    tags[_SAMPLES], tags[_ROWS] = levels.shape[2], rows
    tags[_OFFSETS] = tuple(sum(counts[:number]) for number in range(len(counts)))
    tags[_COUNTS] = tuple(counts)
    for tag in (_OFFSETS, _COUNTS, _ROWS):
        tags.tagtype[tag] = _LONG
    if levels.shape[2] > colours:
        tags[_EXTRA_SAMPLES] = 2  # straight alpha
    if icc is not None:
        tags.tagtype[_ICC] = _UNDEFINED
        tags[_ICC] = icc
    if density is not None:
        tags[_X_DENSITY], tags[_Y_DENSITY] = density
        tags[_DENSITY_UNIT] = 2  # inches
    tags.save(file)
    file.writelines(strips)


def _lab(samples: _Samples, unsigned: bool) -> Image.Image:
    """Pillow's LAB: lightness to 255, a and b as whole numbers."""
    bits = samples.dtype.itemsize * 8
    if samples.dtype.kind not in "ui" or bits not in (8, 16):
        raise Unsupported("Lab colours other than whole numbers of 8 or 16 bits are not supported")
    raw = samples.view(f"u{bits // 8}").astype(np.int32)
    lightness = np.rint(raw[..., :1] / (257 if bits == 16 else 1))
    axes = raw[..., 1:]
    if unsigned:
        axes = axes - (1 << (bits - 1))
    else:
        axes = np.where(axes >= 1 << (bits - 1), axes - (1 << bits), axes)
    axes = np.clip(np.rint(axes / (256 if bits == 16 else 1)), -128, 127)
    levels = np.concatenate([lightness, axes % 256], axis=-1).astype(np.uint8)
    return Image.frombytes("LAB", levels.shape[1::-1], levels.tobytes())


def _levels(samples: _Samples) -> NDArray[np.uint8]:
    if samples.dtype == np.uint8:
        return np.ascontiguousarray(samples, np.uint8)
    if samples.dtype.kind == "f":
        return float_levels(samples.astype(np.float32))
    white = float((1 << 8 * samples.dtype.itemsize - (samples.dtype.kind == "i")) - 1)
    scaled = samples.astype(np.float64) * (255.0 / white)
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def float_levels(values: FloatArray) -> NDArray[np.uint8]:
    """Levels to 255 of numbers in which 1 is white; larger ones are levels already."""
    finite = np.nan_to_num(values, nan=0.0, posinf=255.0, neginf=0.0)
    scale = 255.0 if _is_to_one(finite) else 1.0
    return np.asarray(np.clip(np.rint(finite * scale), 0, 255), np.uint8)


def _is_to_one(values: FloatArray) -> bool:
    """Whether 1 is white: lamps may be brighter, but not most of the picture."""
    return not values.size or float(np.quantile(values, _MOST)) <= _BRIGHTEST


def _by_opencv(file: BinaryIO, tags: Tags) -> Image.Image:
    """Luma and subsampled chroma side by side, which libtiff puts together."""
    _size(tags)
    file.seek(0)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    shown = cv2.imdecode(np.frombuffer(file.read(), np.uint8), flags)
    if shown is None:
        raise ValueError("its samples cannot be read")
    return Image.fromarray(np.ascontiguousarray(shown[..., ::-1], np.uint8))


def _size(tags: Tags) -> tuple[int, int]:
    width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
    if min(width, height) < 1 or width * height > 2 * (Image.MAX_IMAGE_PIXELS or 0):
        raise Image.DecompressionBombError
    return width, height


def _read(file: BinaryIO, tags: Tags) -> _Samples:
    """`(H, W, samples)` as stored."""
    width, height = _size(tags)
    count = int(tags.get(_SAMPLES, 1))
    kind, bits = _kind(tags)
    compression, predictor = int(tags.get(_COMPRESSION, 1)), int(tags.get(_PREDICTOR, 1))
    out = np.zeros((height, width, count), kind.newbyteorder("="))
    planar = tags.get(_PLANES, 1) == 2
    tiled = _TILE_WIDTH in tags
    across = int(tags[_TILE_WIDTH]) if tiled else width
    down = int(tags[_TILE_HEIGHT]) if tiled else min(int(tags.get(_ROWS, height)), height)
    if not (1 <= across <= width + 65_536 and 1 <= down <= height + 65_536):
        raise ValueError("its tiles are of no possible size")
    offsets = _all(tags, _TILE_OFFSETS if tiled else _OFFSETS)
    counts = _all(tags, _TILE_COUNTS if tiled else _COUNTS)
    places = [
        (plane, top, left)
        for plane in range(count if planar else 1)
        for top in range(0, height, down)
        for left in range(0, width, across)
    ]
    channels = 1 if planar else count
    for (plane, top, left), offset, size in zip(places, offsets, counts, strict=False):
        file.seek(offset)
        rows = down if tiled else min(down, height - top)
        wanted = rows * -(-across * channels * bits // 8)
        data = unpacked(file.read(size), compression, wanted)
        if len(data) < wanted:
            raise ValueError("image file is truncated")
        shape = (rows, across, channels)
        piece: _Samples = (
            levels_of_bits(data, shape, bits, predictor)
            if bits % 8
            else undifferenced(data, shape, kind, predictor)
        )
        h, w = min(rows, height - top), min(across, width - left)
        channel = slice(plane, plane + 1) if planar else slice(None)
        out[top : top + h, left : left + w, channel] = piece[:h, :w]
    if len(offsets) < len(places):
        raise ValueError("image file is truncated")
    return out


def _kind(tags: Tags) -> tuple[np.dtype[np.generic], int]:
    """Of each sample as it is given here, and its bits as stored."""
    depths = set(_all(tags, _BITS))
    bits = int(depths.pop()) if len(depths) == 1 else 0
    kind = {1: "u", 2: "i", 3: "f"}.get(_first(tags, _SAMPLE_FORMAT, 1))
    if kind == "u" and 1 <= bits <= 16 and bits % 8:
        return np.dtype("u2"), bits
    if kind is None or bits not in ((16, 32, 64) if kind == "f" else (8, 16, 32)):
        raise Unsupported(f"samples of {bits or 'several numbers of'} bits are not supported")
    return np.dtype(f"{'>' if tags.prefix == b'MM' else '<'}{kind}{bits // 8}"), bits


def _all(tags: Tags, tag: int) -> tuple[int, ...]:
    value = tags.get(tag, ())
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _first(tags: Tags, tag: int, default: int) -> int:
    return next(iter(_all(tags, tag)), default)
