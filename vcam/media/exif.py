"""What EXIF tells of a shot, without what it tells of the file that the shot lay in.

A tag of the file (its size, samples, orientation, thumbnail) is false in another one; in a TIFF it
even says how the pixels are to be read. So tags are kept by name, and all others are dropped.
"""

import math
import re
from typing import Any

from PIL import Image

ORIENTATION = 0x0112
_X_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x0128
_DESCRIPTION = 0x010E
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825

_OF_SHOT = {
    _DESCRIPTION: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0132: "DateTime",
    0x013B: "Artist",
    0x8298: "Copyright",
    0x9C9B: "XPTitle",
    0x9C9C: "XPComment",
    0x9C9D: "XPAuthor",
    0x9C9E: "XPKeywords",
    0x9C9F: "XPSubject",
}
_OF_FILE_IN_EXIF = {
    0x9101: "ComponentsConfiguration",
    0x9102: "CompressedBitsPerPixel",
    0xA001: "ColorSpace",
    0xA002: "PixelXDimension",
    0xA003: "PixelYDimension",
    0xA004: "RelatedSoundFile",
    0xA005: "InteroperabilityIFD",
    0xA500: "Gamma",
}
# What programs for science write of the array in the file: {"shape": …}, <OME …>, ImageJ=…
_MACHINE_WRITTEN = re.compile(r"\s*([{<]|ImageJ=|SCANIMAGE|shape=)")

_LONGEST = 65_000  # bytes: a JPEG's segment has 65,533, some of them taken
_MOST_DPI = 65_535
_CM_PER_INCH = 2.54


def shot_exif(exif: Image.Exif) -> bytes:
    """The EXIF of the same shot in another file; empty when there is none.

    Raises:
        Exception: of any kind, when it is damaged.
    """
    kept = Image.Exif()
    for tag in _OF_SHOT:
        value = exif.get(tag)
        if value is not None and not (tag == _DESCRIPTION and _MACHINE_WRITTEN.match(str(value))):
            kept[tag] = value
    for place, dropped in ((_EXIF_IFD, _OF_FILE_IN_EXIF), (_GPS_IFD, {})):
        values = {tag: v for tag, v in exif.get_ifd(place).items() if tag not in dropped}
        if values:
            kept.get_ifd(place).update(values)
            kept[place] = values
    packed = kept.tobytes() if len(kept) else b""
    if len(packed) > _LONGEST:
        raise ValueError(f"{len(packed)} bytes are too long for a JPEG")
    return packed


def density_of(info: dict[Any, Any], exif: Image.Exif) -> tuple[float, float] | None:
    """Pixels per inch, across and down as stored, which the file or else its EXIF states."""
    found = info.get("dpi")
    if found is None and exif.get(_RESOLUTION_UNIT) in (2, 3):
        to_inch = _CM_PER_INCH if exif[_RESOLUTION_UNIT] == 3 else 1.0
        found = [to_inch * _number(exif.get(_X_RESOLUTION + place)) for place in (0, 1)]
    if not isinstance(found, tuple | list) or len(found) != 2:
        return None
    x, y = (_number(value) for value in found)
    return (x, y) if 1 <= x <= _MOST_DPI and 1 <= y <= _MOST_DPI else None


def _number(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) else 0.0
