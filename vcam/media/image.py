"""Image files: read with everything that must survive, written at once or not at all.

Pixels are worked on as sRGB. A colour profile is kept with the file and not converted, so that
unchanged pixels stay exactly the same; Display P3 shares sRGB's transfer curve and others are
close. CMYK and Lab images become sRGB. 16-bit images are read, but written with 8 bits.
"""

import io
import logging
import stat
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.user_files import brief
from vcam_relight.vcam.core.atomic_file import replacing
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.media import tiff
from vcam_relight.vcam.media.cut_short import open_picture
from vcam_relight.vcam.media.exif import ORIENTATION, density_of, shot_exif
from vcam_relight.vcam.media.tiff_packing import Unsupported

log = logging.getLogger(__name__)

_READ = ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "AVIF"]
_WRITE: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 4}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
}
IMAGE_SUFFIXES = frozenset(_WRITE) | {".avif", ".heic", ".heif"}
"""File name endings, in lower case, of the images that can be read."""

_KINDS = "PNG, JPEG, WebP, AVIF, HEIC, BMP or TIFF"
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_DEEP = "it has more than 8 bits: the output has 8"
_MOST_BYTES = 2 << 30  # as many pixels as are allowed, of four samples of 16 bits, are less
_NO_ALPHA = {"JPEG", "BMP"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation -> what makes the image upright."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An upright image and what was stored with it."""

    image: BgrImage
    alpha: BgrImage | None
    """`(H, W)` uint8, straight (not premultiplied)."""
    grey: bool
    """The file held one channel, and so will the written one."""
    exif: bytes
    """What describes the shot; nothing of the file, whose orientation has been applied."""
    icc: bytes | None
    density: tuple[float, float] | None = None
    """Pixels per inch, across and down."""
    notes: tuple[str, ...] = ()
    """What was wrong with it or could not be kept, in words."""


def read_image(path: Path) -> ImageFile:
    """Reads a PNG, JPEG, WebP, AVIF, HEIC, BMP or TIFF file; of several frames the first one.

    A file that lacks its last bytes is read when that costs no more than its last rows. HEIC needs
    `pillow-heif`.

    Raises:
        InputError: it is missing, damaged, cut short, of another kind, or larger than Pillow's
            guard against decompression bombs allows (about 179 million pixels).
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder", "give the path of a picture file")
    try:
        size = _size_of_file(path)
        if size > _MOST_BYTES:
            raise InputError(
                f"{path} is larger than {_MOST_BYTES >> 30} GiB", "make it smaller first"
            )
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # damaged EXIF; large but allowed images
            return _read(file)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "check the path") from None
    except UnidentifiedImageError:
        raise _unidentified(path) from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels",
            "make it smaller first",
        ) from None
    except PermissionError:
        raise InputError(f"{path} may not be read", "check its permissions") from None
    except MemoryError:
        raise InputError(
            f"{path} needs more memory than there is", "make it smaller first"
        ) from None
    except Unsupported as error:
        raise InputError(
            f"{path} is of a rare kind ({error})", "save it as PNG, or as a plain TIFF of 8 bits"
        ) from None
    except Exception as error:  # Pillow's decoders report damage in every way that there is
        log.debug("%s", path, exc_info=True)
        raise InputError(
            f"{path} is damaged or cut short ({brief(error)})", "use an intact copy"
        ) from None


def write_image(path: Path, file: ImageFile) -> list[str]:
    """Writes `file` in the format that the name's ending says.

    Returns:
        What could not be kept, in words.

    Raises:
        InputError: unknown ending, or the file cannot be written.
    """
    kind, options = writer_of(path)
    notes = list(file.notes)
    rgb = np.ascontiguousarray(file.image[..., ::-1])
    pil = Image.fromarray(rgb)
    if file.grey:
        pil = pil.convert("L")
    if file.alpha is not None:
        alpha = Image.fromarray(file.alpha)
        if kind in _NO_ALPHA:
            white = Image.new(pil.mode, pil.size, "white")
            pil = Image.composite(pil, white, alpha)
            notes.append(f"{kind} has no transparency: the picture was laid on white")
        else:
            pil.putalpha(alpha)
    icc = file.icc
    if kind == "BMP" and icc is not None:
        icc = None
        notes.append("BMP keeps no colour profile")
    try:
        with replacing(path) as temporary, temporary.open("wb") as stream:
            if kind == "TIFF":
                tiff.write_tiff(stream, pil, file.exif, icc, file.density)
            else:
                keep: dict[str, Any] = {"exif": file.exif, "icc_profile": icc, "dpi": file.density}
                keep = {name: value for name, value in keep.items() if value}
                pil.save(stream, kind, **options, **keep)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be written ({error})", "choose another output") from None
    return notes


def writer_of(path: Path) -> tuple[str, dict[str, Any]]:
    """Pillow's name of the format for `path` and its options.

    Raises:
        InputError: no known ending.
    """
    try:
        return _WRITE[path.suffix.lower()]
    except KeyError:
        raise InputError(
            f"{path} has no known picture ending", f"use one of {', '.join(_WRITE)}"
        ) from None


def _read(file: BinaryIO) -> ImageFile:
    tags = tiff.tags_of(file)
    found = _read_as(file, tags)
    if tags is not None and tiff.extra_channels(tags) > (found.alpha is not None):
        return replace(found, notes=(*found.notes, "its extra channels were left out"))
    return found


def _read_as(file: BinaryIO, tags: tiff.Tags | None) -> ImageFile:
    file.seek(0)
    if tags is not None and tiff.is_misread(tags):
        return _from_tiff(file, tags)
    try:
        pil, whole = open_picture(file, _formats())
    except UnidentifiedImageError:
        if tags is None:
            raise
        return _from_tiff(file, tags)
    except Exception:  # of any kind
        if tags is not None and tiff.is_webp(tags):
            raise Unsupported("compression 50001, WebP, is not supported") from None
        raise
    with pil:
        return _from_pillow(pil, whole, file, tags)


def _size_of_file(path: Path) -> int:
    """In bytes. A pipe would wait for its writer, and a device has no end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path} is not a file", "give the path of a picture file")
    return found.st_size


def _formats() -> list[str]:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return _READ
    register_heif_opener()
    return [*_READ, "HEIF"]


def _unidentified(path: Path) -> InputError:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp" and head[8:] in _HEIC_BRANDS:
        return InputError(
            f"{path} is HEIC, which needs a decoder of its own",
            "pip install 'vcam-relight[heic]', or save it as JPEG",
        )
    return InputError(f"{path} is not a picture that can be read", f"use {_KINDS}")


def _from_tiff(file: BinaryIO, tags: tiff.Tags) -> ImageFile:
    pil = tiff.read_samples(file, tags)
    notes = [_DEEP] if tiff.bits_of(tags) > 8 else []
    return _finished(pil, pil.info, tiff.exif_of(file, tags), notes)


def _from_pillow(
    pil: Image.Image, whole: bool, file: BinaryIO, tags: tiff.Tags | None
) -> ImageFile:
    notes = [] if whole else ["its last bytes are missing: what was there was used"]
    if getattr(pil, "n_frames", 1) > 1 and pil.format != "MPO":
        notes.append("it has several frames: only the first was used")
    info, exif = dict(pil.info), pil.getexif()
    bits = tiff.bits_of(tags) if tags is not None else _png_bits(file)
    if bits > 8:
        notes.append(_DEEP)
    alpha = _deep_transparency(pil, file) if tags is None and bits == 16 else None
    if tags is not None:
        pil = tiff.inverted(pil, tags)
    if pil.mode.startswith("I") or pil.mode == "F":
        pil = _to_8_bit(pil, bits)
    if alpha is not None:
        pil.info.pop("transparency", None)
        pil.putalpha(alpha)
    return _finished(pil, info, exif, notes)


def _finished(
    pil: Image.Image, info: dict[Any, Any], exif: Image.Exif, notes: list[str]
) -> ImageFile:
    icc = info.get("icc_profile")
    density, turn = density_of(info, exif), exif.get(ORIENTATION, 1)
    if density is not None and turn in (5, 6, 7, 8):
        density = density[::-1]
    shape = info.get("aspect") or (info.get("jfif_unit") == 0 and info.get("jfif_density"))
    if shape and shape[0] != shape[1]:
        notes.append("its pixels are not square, which could not be kept")
    try:
        kept = shot_exif(exif)
    except Exception:  # it is as damaged as the file likes
        log.debug("EXIF", exc_info=True)
        kept = b""
        notes.append("its EXIF is damaged or too long and was left out")
    method = _TURNS.get(turn)
    upright = pil.transpose(method) if method is not None else pil
    if upright.mode == "CMYK":
        upright, icc = _from_cmyk(upright, icc), None
    if upright.mode == "La":  # premultiplied, of which Pillow knows one way out
        upright = upright.convert("LA")
    if upright.mode == "LAB":
        upright, icc = upright.convert("RGB"), None
    grey = upright.mode in ("1", "L", "LA")
    has_alpha = upright.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in upright.info
    if has_alpha:
        rgba = np.asarray(upright.convert("RGBA"))
        alpha = np.ascontiguousarray(rgba[..., 3])
        image = np.ascontiguousarray(rgba[..., 2::-1])
    else:
        alpha = None
        image = np.ascontiguousarray(np.asarray(upright.convert("RGB"))[..., ::-1])
    return ImageFile(
        image=image,
        alpha=alpha,
        grey=grey,
        exif=kept,
        icc=icc if isinstance(icc, bytes) and icc else None,
        density=density,
        notes=tuple(notes),
    )


def _png_bits(file: BinaryIO) -> int:
    """Of each sample, where the header of a PNG says so; else 8."""
    file.seek(0)
    head = file.read(25)
    return head[24] if head[:4] == b"\x89PNG" and len(head) == 25 else 8


def _deep_transparency(pil: Image.Image, file: BinaryIO) -> Image.Image | None:
    """The alpha of a 16-bit PNG in which one colour is transparent.

    Pillow compares that colour with pixels of 8 bits, and forgets it with grey ones.
    """
    colour = pil.info.get("transparency")
    if colour is None or pil.mode not in ("I", "I;16", "RGB"):
        return None
    if pil.mode != "RGB":
        found = np.asarray(pil) == colour
    else:
        file.seek(0)
        samples = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
        if samples is None or samples.dtype != np.uint16:
            return None
        found = (samples[..., 2::-1] == np.array(colour, np.uint16)).all(axis=-1)
    return Image.fromarray(np.where(found, 0, 255).astype(np.uint8))


def _to_8_bit(pil: Image.Image, bits: int) -> Image.Image:
    values = np.asarray(pil).astype(np.float32)
    if pil.mode == "F":
        return Image.fromarray(tiff.float_levels(values))
    white = (1 << min(bits, 16)) - 1
    return Image.fromarray(np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8))


def _from_cmyk(pil: Image.Image, icc: bytes | None) -> Image.Image:
    if icc:
        try:
            converted = ImageCms.profileToProfile(
                pil,
                ImageCms.ImageCmsProfile(io.BytesIO(icc)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError):  # a broken profile: plain is still an image
            return pil.convert("RGB")
        if converted is not None:
            return converted
    return pil.convert("RGB")
