"""Whether a face is still the same person's: the cosine of face embeddings.

The network is dlib's face recognition ResNet (29 layers, 128 numbers, 99.38% on LFW). dlib is under
the Boost licence; the weights were put in the public domain by their author, Davis King, and come
as CC0 1.0 in PyPI's `face_recognition_models`. They were trained on faces from FaceScrub, VGG Face
and the web. The 68-point predictor in the same package is not free for every use and is not read:
faces are aligned by our own landmarks.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray

NAME = "dlib face recognition ResNet v1"
INSTALL = "pip install 'vcam-relight[eval]'"

_WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
_SIDE = 150
_PADDING = 0.25
_POINTS = [263, 362, 33, 133, 2]
"""Of the face mesh: outer and inner corner of the eye on the right of the image, of the one on the
left, and the base of the nose.
"""
_MEAN_SHAPE: FloatArray = np.array(
    # where dlib's alignment (chip_details, 5 points) puts them in a unit square
    [[0.8596, 0.2135], [0.6461, 0.2290], [0.1206, 0.2137], [0.3341, 0.2291], [0.4901, 0.6278]],
    np.float32,
)


class FaceEmbedder:
    """dlib's face recognition network."""

    def __init__(self) -> None:
        """Loads the network.

        Raises:
            ImportError: dlib or the package with the weights is not installed.
        """
        import dlib

        # Found, not imported: the package itself asks for pkg_resources, which is gone.
        package = find_spec("face_recognition_models")
        if package is None or not package.submodule_search_locations:
            raise ImportError("the package face_recognition_models is not installed")
        weights = Path(package.submodule_search_locations[0]) / "models" / _WEIGHTS
        if not weights.is_file():
            raise ImportError(f"{weights} is missing")
        self._network: Any = dlib.face_recognition_model_v1(str(weights))

    def embed(self, image: BgrImage, landmarks: FloatArray) -> FloatArray:
        """`(128,)` float32 embedding of the face with `(468, 3)` landmarks in a BGR image."""
        chip = cv2.cvtColor(aligned(image, landmarks), cv2.COLOR_BGR2RGB)
        return np.array(self._network.compute_face_descriptor(chip), np.float32)


def aligned(image: BgrImage, landmarks: FloatArray) -> BgrImage:
    """`(150, 150, 3)` BGR: the face aligned as dlib's network was trained."""
    mean_shape = (_MEAN_SHAPE + _PADDING) / (1 + 2 * _PADDING) * _SIDE
    matrix = _similarity(landmarks[_POINTS, :2], mean_shape)
    shrink = float(np.hypot(matrix[0, 0], matrix[0, 1]))
    if shrink < 0.5:  # bilinear sampling sees 2 pixels: larger steps would alias
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 / shrink), np.uint8)
    chip = cv2.warpAffine(image, matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR)
    return np.asarray(chip, np.uint8)


def cosine(a: FloatArray, b: FloatArray) -> float:
    """Cosine similarity of two embeddings, -1..1."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _similarity(source: FloatArray, target: FloatArray) -> FloatArray:
    """`(2, 3)` least-squares similarity that maps points `(n, 2)` onto others, without mirroring.

    Umeyama (1991), in complex numbers.
    """
    a = source[:, 0] + 1j * source[:, 1]
    b = target[:, 0] + 1j * target[:, 1]
    centred = a - a.mean()
    turn = np.vdot(centred, b - b.mean()) / np.vdot(centred, centred)
    shift = b.mean() - turn * a.mean()
    return np.array(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], np.float32
    )
