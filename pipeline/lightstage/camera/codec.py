"""What a webcam's or a call's encoder leaves of an image: real JPEG, real H.264."""

from collections.abc import Sequence
from fractions import Fraction

import av
import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.lightstage.camera.parameters import CameraParameters

_JPEG_SAMPLING = {
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}


def compress(camera: CameraParameters, images: Sequence[BgrImage]) -> list[BgrImage]:
    """Encodes and decodes the frames of one clip, `(H, W, 3)` BGR, in order.

    JPEG frames stand alone, as a camera's MJPG does; H.264 is x264 with one keyframe at the start.
    """
    if camera.codec == "jpeg":
        return [_jpeg(image, camera) for image in images]
    if camera.codec == "h264":
        return _h264(images, camera.crf)
    return list(images)


def _jpeg(image: BgrImage, camera: CameraParameters) -> BgrImage:
    settings = [
        cv2.IMWRITE_JPEG_QUALITY,
        camera.quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        _JPEG_SAMPLING[camera.subsampling],
    ]
    _, encoded = cv2.imencode(".jpg", image, settings)
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def _h264(images: Sequence[BgrImage], crf: int) -> list[BgrImage]:
    height, width = images[0].shape[:2]
    even = height + height % 2, width + width % 2
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = even[1], even[0], "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.thread_count = 1  # the same bytes on every machine
    # what calls use: no look-ahead, no frames from the future
    encoder.options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency", "g": "250"}
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    decoded: list[av.VideoFrame] = []
    for place, image in enumerate(images):
        padded = cv2.copyMakeBorder(
            image, 0, even[0] - height, 0, even[1] - width, cv2.BORDER_REPLICATE
        )
        frame = av.VideoFrame.from_ndarray(np.asarray(padded, np.uint8), format="bgr24")
        frame.pts = place
        for packet in encoder.encode(frame):
            decoded += decoder.decode(packet)
    for packet in encoder.encode(None):
        decoded += decoder.decode(packet)
    decoded += decoder.decode(None)
    return [
        np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)[:height, :width] for frame in decoded
    ]
