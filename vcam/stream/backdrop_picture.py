"""The picture behind people, kept beside the settings for the next start."""

import logging
from pathlib import Path

import cv2

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.vcam.core.atomic_file import replacing
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.media.image import read_image
from vcam_relight.vcam.settings.persistence import config_folder

log = logging.getLogger(__name__)

LARGEST = 1920
"""Pixels on the longer side that are kept."""


def picture_file() -> Path:
    """Where it is."""
    return config_folder() / "backdrop.png"


def kept_picture() -> BgrImage | None:
    """The one of last time; None where there is none, or, with a warning, where it is damaged."""
    if not picture_file().is_file():
        return None
    try:
        return read_image(picture_file()).image
    except InputError as error:
        log.warning("the backdrop's picture is left out: %s", error)
        return None


def keep_picture(path: Path) -> BgrImage:
    """Reads a picture and keeps it; one that cannot be kept is shown all the same.

    Raises:
        InputError: the file is no picture.
    """
    image = read_image(path).image
    height, width = image.shape[:2]
    scale = min(1.0, LARGEST / max(width, height))
    image = resize(image, (max(1, round(width * scale)), max(1, round(height * scale))))
    try:
        picture_file().parent.mkdir(parents=True, exist_ok=True)
        with replacing(picture_file()) as part:
            part.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    except (OSError, InputError) as error:
        log.warning("the backdrop's picture is not kept: %s", error)
    return image
