"""Finds faces in a whole image (BlazeFace short range; Bazarevsky et al. 2019)."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.face.models import load_model
from vcam_relight.pipeline.face.region import Region

_MIN_SCORE = 0.5
_SAME_FACE_IOU = 0.3


@dataclass(frozen=True, slots=True)
class Detection:
    """One face found."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the image."""
    region: Region
    """Where to look for its landmarks."""


class FaceDetector:
    """Wraps the model: letterboxed input, anchors, non-maximum suppression."""

    def __init__(self) -> None:
        self._model = load_model("face_detection_short_range.tflite")
        self._anchors = _anchors(self._model.width)

    def detect(self, image: BgrImage) -> list[Detection]:
        """Faces in a `(H, W, 3)` BGR image, best first."""
        size = self._model.width
        height, width = image.shape[:2]
        scale = size / max(height, width)
        w, h = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (size - w) // 2, (size - h) // 2
        canvas = np.zeros((size, size, 3), np.uint8)
        canvas[top : top + h, left : left + w] = resize(image, (w, h))
        pixels = cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB).astype(np.float32) / 127.5 - 1.0
        boxes, logits = (output[0] for output in self._model(pixels))
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))
        found = np.flatnonzero(scores > _MIN_SCORE)
        # (n, 8, 2): centre, size, then key points, of which 0 and 1 are the eyes
        points = boxes[found].reshape(-1, 8, 2) / size
        points[:, 0] += self._anchors[found]
        points[:, 2:] += self._anchors[found][:, None]
        to_image = np.array([1 / (w / size), 1 / (h / size)]) * (width, height)
        offset = np.array([left, top]) / size
        points[:, [0, 2, 3, 4, 5, 6, 7]] = (points[:, [0, 2, 3, 4, 5, 6, 7]] - offset) * to_image
        points[:, 1] *= to_image
        return _suppress(points, scores[found])


def _suppress(points: FloatArray, scores: FloatArray) -> list[Detection]:
    """Averages the boxes of each face by score, as BlazeFace does to steady them."""
    low, high = points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2
    boxes = np.concatenate([low, high], axis=1)
    left = np.argsort(-scores, kind="stable")
    detections = []
    while len(left):
        same = np.array([iou(boxes[left[0]], boxes[i]) > _SAME_FACE_IOU for i in left])
        same[0] = True
        group = left[same]
        weights = scores[group] / scores[group].sum()
        box = weights @ boxes[group]
        keys = np.einsum("n,nkc->kc", weights, points[group, 2:])
        corners = box.reshape(2, 2).astype(np.float32)
        region = _region(corners, keys[0], keys[1])
        edges = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
        detections.append(Detection(edges, region))
        left = left[~same]
    return detections


def _region(corners: FloatArray, eye: FloatArray, other_eye: FloatArray) -> Region:
    """The detector's box is tighter than the mesh's and not turned: centre and longer side."""
    x, y = (float(v) for v in corners.mean(axis=0))
    side = float((corners[1] - corners[0]).max()) * 1.5
    dx, dy = (float(v) for v in other_eye - eye)
    return Region(x, y, max(side, 1.0), math.atan2(dy, dx))


def iou(a: FloatArray, b: FloatArray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(w * h / (both - w * h))


def _anchors(size: int) -> FloatArray:
    """Centres in 0..1: two per cell of an 8-pixel grid, then six per cell of a 16-pixel grid."""
    centres = []
    for stride, count in ((8, 2), (16, 6)):
        n = size // stride
        grid = (np.arange(n, dtype=np.float32) + 0.5) / n
        xs, ys = np.meshgrid(grid, grid)
        centres.append(np.repeat(np.stack([xs, ys], axis=-1).reshape(-1, 2), count, axis=0))
    return np.concatenate(centres)
