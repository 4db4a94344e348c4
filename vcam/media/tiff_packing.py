"""How TIFF files pack their samples: compression, differences between neighbours, odd bits.

TIFF 6.0 and Adobe's Technical Notes 2 and 3 (2002, 2005) say how.
"""

import lzma
import zlib

import numpy as np
from numpy.typing import NDArray

_RAW, _LZW, _ADOBE_DEFLATE, _DEFLATE, _PACKBITS, _LZMA = 1, 5, 8, 32946, 32773, 34925
_HORIZONTAL, _FLOATING_POINT = 2, 3

Samples = NDArray[np.generic]


class Unsupported(ValueError):
    """The file is whole, but of a kind that is not read."""


def unpacked(data: bytes, compression: int, wanted: int) -> bytes:
    """The bytes of a strip or tile; of those beyond `wanted` as many as come.

    Raises:
        Unsupported: it is packed in another way.
        Exception: of several kinds, when it is damaged.
    """
    if compression == _RAW:
        return data
    if compression in (_ADOBE_DEFLATE, _DEFLATE):
        return zlib.decompressobj().decompress(data, wanted)
    if compression == _LZW:
        return _lzw(data, wanted)
    if compression == _PACKBITS:
        return _packbits(data, wanted)
    if compression == _LZMA:
        return lzma.LZMADecompressor(memlimit=1 << 28).decompress(data, wanted)
    raise Unsupported(f"compression {compression} is not supported for its samples")


def undifferenced(
    data: bytes, shape: tuple[int, int, int], kind: np.dtype[np.generic], predictor: int
) -> Samples:
    """`(rows, columns, channels)` of whole bytes.

    Raises:
        Unsupported: the predictor is another one.
    """
    rows, columns, channels = shape
    if predictor == _FLOATING_POINT and kind.kind == "f":  # a row's highest bytes come first
        size = rows * columns * channels * kind.itemsize
        deltas = np.frombuffer(data, np.uint8, size).reshape(rows, -1, channels)
        planes = np.cumsum(deltas, axis=1, dtype=np.uint8).reshape(rows, kind.itemsize, -1)
        numbers = np.ascontiguousarray(planes.transpose(0, 2, 1))
        return numbers.view(kind.newbyteorder(">")).reshape(shape)
    samples = np.frombuffer(data, kind, rows * columns * channels).reshape(shape)
    if predictor == _HORIZONTAL:
        return np.asarray(np.cumsum(samples, axis=1, dtype=kind.newbyteorder("=")))
    if predictor != 1:
        raise Unsupported(f"predictor {predictor} is not supported for its samples")
    return samples


def levels_of_bits(
    data: bytes, shape: tuple[int, int, int], bits: int, predictor: int
) -> NDArray[np.uint16]:
    """`(rows, columns, channels)`, stretched to 16 bits; each row begins with a byte.

    Raises:
        Unsupported: neighbours are stored as differences.
    """
    if predictor != 1:
        raise Unsupported(f"predictor {predictor} is not supported for samples of {bits} bits")
    rows, columns, channels = shape
    used = columns * channels * bits
    stored = np.frombuffer(data, np.uint8, rows * -(-used // 8)).reshape(rows, -1)
    out = np.empty(shape, np.uint16)
    for row, packed in enumerate(stored):
        digits = np.unpackbits(packed)[:used].reshape(-1, bits)
        values = digits @ (1 << np.arange(bits - 1, -1, -1, dtype=np.uint32))
        stretched = np.rint(values * (65_535 / ((1 << bits) - 1)))
        out[row] = stretched.astype(np.uint16).reshape(columns, channels)
    return out


def _packbits(data: bytes, wanted: int) -> bytes:
    """TIFF 6.0, section 9: runs of bytes as they are, or of one byte."""
    out = bytearray()
    at = 0
    while at + 1 < len(data) and len(out) < wanted:
        count, at = data[at], at + 1
        if count < 128:
            out += data[at : at + count + 1]
            at += count + 1
        elif count > 128:
            out += data[at : at + 1] * (257 - count)
            at += 1
    return bytes(out)


def _lzw(data: bytes, wanted: int) -> bytes:
    """TIFF 6.0, section 13: codes of 9 to 12 bits, most significant bit first."""
    clear, end = 256, 257
    table: list[bytes] = []
    out, length = [], 0
    previous = b""
    stored, bits = 0, 0
    for byte in data:
        stored, bits = (stored << 8 | byte) & 0xFFFFF, bits + 8
        size = len(table)
        width = 9 if size < 511 else 10 if size < 1023 else 11 if size < 2047 else 12
        if bits < width:
            continue
        bits -= width
        code = stored >> bits & ((1 << width) - 1)
        if code == end or length >= wanted:
            break
        if code == clear:
            table = [bytes([value]) for value in range(256)] + [b"", b""]
            previous = b""
            continue
        if code > size or (code == size and not previous):
            raise ValueError("its LZW data is damaged")
        entry = table[code] if code < size else previous + previous[:1]
        if previous:
            table.append(previous + entry[:1])
        out.append(entry)
        length += len(entry)
        previous = entry
    return b"".join(out)
