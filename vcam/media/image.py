"""Image files: read with everything that must survive, written at once or not at all.

Pixels are worked on as sRGB. A colour profile is kept with the file and not converted, so that
unchanged pixels stay exactly the same; Display P3 shares sRGB's transfer curve and others are
close. CMYK images become sRGB. 16-bit images are read, but written with 8 bits.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.core.atomic_file import replacing
from vcam_relight.vcam.core.errors import InputError

_READ = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_WRITE: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 4}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {"compression": "tiff_lzw"}),
    ".tiff": ("TIFF", {"compression": "tiff_lzw"}),
}
IMAGE_SUFFIXES = frozenset(_WRITE)
"""File name endings, in lower case, that can be read and written."""

_NO_ALPHA = {"JPEG", "BMP"}
_ORIENTATION = 0x0112  # the EXIF tag


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An upright image and what was stored with it."""

    image: BgrImage
    alpha: BgrImage | None
    """`(H, W)` uint8, straight (not premultiplied)."""
    grey: bool
    """The file held one channel, and so will the written one."""
    exif: bytes
    """Without the orientation, which has been applied."""
    icc: bytes | None
    notes: tuple[str, ...] = ()
    """What could not be kept, in words."""


def read_image(path: Path) -> ImageFile:
    """Reads a PNG, JPEG, WebP, BMP or TIFF file; of several frames the first one.

    Raises:
        InputError: it is missing, damaged, cut short, of another kind, or larger than Pillow's
            guard against decompression bombs allows (about 179 million pixels).
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder", "give the path of a picture file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged EXIF; large but allowed images
            with Image.open(path, formats=_READ) as pil:
                return _from_pillow(pil)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "check the path") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{path} is not a picture that can be read", "use PNG, JPEG, WebP, BMP or TIFF"
        ) from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels",
            "make it smaller first",
        ) from None
    except PermissionError:
        raise InputError(f"{path} may not be read", "check its permissions") from None
    # Pillow's decoders report damage in all of these ways.
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise InputError(
            f"{path} is damaged or cut short ({error})", "use an intact copy"
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
    keep = {"exif": file.exif} if file.exif and kind != "BMP" else {}
    if file.icc is not None:
        if kind == "BMP":
            notes.append("BMP keeps no colour profile")
        else:
            keep["icc_profile"] = file.icc
    try:
        with replacing(path) as temporary:
            pil.save(temporary, kind, **options, **keep)
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


def _from_pillow(pil: Image.Image) -> ImageFile:
    notes = []
    if getattr(pil, "n_frames", 1) > 1 and pil.format != "MPO":
        notes.append("it has several frames: only the first was used")
    icc = pil.info.get("icc_profile")
    pil.load()
    exif = pil.getexif()
    upright = ImageOps.exif_transpose(pil)
    exif.pop(_ORIENTATION, None)
    grey = False
    if upright.mode.startswith("I;16") or upright.mode in ("I", "F"):
        notes.append("it has more than 8 bits: the output has 8")
        upright = _to_8_bit(upright)
    if upright.mode == "CMYK":
        upright, icc = _from_cmyk(upright, icc), None
    if upright.mode in ("1", "L", "LA", "La"):
        grey = True
    has_alpha = upright.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in upright.info
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
        exif=exif.tobytes() if len(exif) else b"",
        icc=icc if isinstance(icc, bytes) and icc else None,
        notes=tuple(notes),
    )


def _to_8_bit(pil: Image.Image) -> Image.Image:
    values = np.asarray(pil).astype(np.float32)
    if pil.mode == "F":
        values = values * 255.0 if np.nanmax(values, initial=0.0) <= 1.0 else values
    else:
        values /= 257.0  # 65535 to 255
    values = np.nan_to_num(values, nan=0.0, posinf=255.0, neginf=0.0)
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _from_cmyk(pil: Image.Image, icc: bytes | None) -> Image.Image:
    if icc:
        try:
            converted = ImageCms.profileToProfile(
                pil,
                ImageCms.ImageCmsProfile(io.BytesIO(icc)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except ImageCms.PyCMSError:  # a broken profile: the plain conversion is still a picture
            return pil.convert("RGB")
        if converted is not None:
            return converted
    return pil.convert("RGB")
