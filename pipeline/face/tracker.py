"""Follows the faces of one stream: detect, then landmarks from the place they were last."""

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.face.detector import Detection, FaceDetector, iou
from vcam_relight.pipeline.face.landmarks import FaceLandmarker
from vcam_relight.pipeline.face.one_euro import OneEuroFilter
from vcam_relight.pipeline.face.region import Region
from vcam_relight.pipeline.face.segmenter import PersonSegmenter
from vcam_relight.pipeline.face.types import Face, FaceState

MAX_FACES = 4
_TRACKING_SIDE = 640
"""The tracker looks at pictures of at most this many pixels on the longer side."""
_LOOK_EVERY = 0.25
"""Seconds between looks for further faces while one is followed; each frame while none is."""
_SAME_IOU = 0.6
"""Two tracks that share more than this have met on one face."""
_NEAR_IOU = 0.15
"""A detection and a track that share more than this are the same face."""
_MIN_PRESENCE = 0.5
_FADE_IN = 0.25
_FADE_OUT = 0.4
_GAP = 1.0
"""A pause in media time of more seconds than this starts the stream anew."""
_SAME_SHOT_CORRELATION = 0.5
_CONTRAST = 30.0
"""Length of a thumbnail below which a picture is too flat to compare."""
_THUMB = (32, 18)


@dataclass
class _Track:
    track_id: int
    region: Region
    landmarks: FloatArray
    weight: float = 0.0
    visible: bool = True
    filter: OneEuroFilter = field(
        # Cutoffs by eye on webcam clips: below 1.5 Hz shading lags a turning head, beta 60 lets a
        # head that crosses its own width in a second through unfiltered.
        default_factory=lambda: OneEuroFilter(min_cutoff=1.5, beta=60.0, rest=2e-4)
    )

    def box(self) -> FloatArray:
        low, high = self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)
        return np.concatenate([low, high])


class FaceTracker:
    """Follows the people of one stream. Use it from one thread, and close it."""

    def __init__(self, timer: StageTimer) -> None:
        """Loads the models, where no other tracker has; `timer` times the stages.

        Raises:
            OSError, RuntimeError: a model file is missing or damaged.
        """
        self._timer = timer
        self._detector = FaceDetector()
        self._landmarker = FaceLandmarker()
        self._segmenter = PersonSegmenter()
        self._pool = ThreadPoolExecutor(1, "mask")
        """Holds one picture at most: each frame waits for its own mask."""
        self._tracks: list[_Track] = []
        self._next_id = 1
        self._time: float | None = None
        self._looked = 0.0
        self._thumb: FloatArray | None = None
        self._size = (0, 0)

    def close(self) -> None:
        """Ends its thread; may be called twice."""
        self._pool.shutdown()

    def reset(self) -> None:
        """Forgets the frames before."""
        self._tracks = []
        self._time = None
        self._thumb = None
        self._segmenter.reset()

    def update(self, image: BgrImage, time: float) -> FaceState:
        """Finds the people in the next frame.

        Args:
            image: `(H, W, 3)`.
            time: media time in seconds; a step back or a long gap starts anew.
        """
        height, width = image.shape[:2]
        scale = min(1.0, _TRACKING_SIDE / max(height, width))
        with self._timer.stage("scale"):
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = resize(image, size)
            thumb = _thumbnail(small)
            shot_change = size != self._size or self._is_shot_change(thumb, time)
            if shot_change:
                self.reset()
            self._size = size
            # A fade through black is a shot change too: what was before it is kept to compare with.
            if self._thumb is None or float(np.linalg.norm(thumb)) > _CONTRAST:
                self._thumb = thumb
        # The two networks know nothing of each other: they share two cores.
        quarter_turns = self._quarter_turns()
        segmentation = self._pool.submit(self._segmenter.segment, small, quarter_turns)
        try:
            with self._timer.stage("face"):
                dt = 0.0 if self._time is None else time - self._time
                self._time = time
                self._follow(small, dt)
                self._look(small, time)
                self._fade(dt, at_once=shot_change)
        finally:
            with self._timer.stage("mask (wait)"):
                wait([segmentation])  # or it would write into the state after a reset
        mask = segmentation.result()
        if self._quarter_turns() != quarter_turns:  # somebody came, or turned over
            mask = self._segmenter.segment(small, self._quarter_turns())
        grow = np.array([width / size[0], height / size[1], width / size[0]], np.float32)
        faces = tuple(
            Face(t.track_id, t.landmarks * grow, t.weight, t.visible) for t in self._tracks
        )
        return FaceState((width, height), time, faces, mask, shot_change)

    def still(self, image: BgrImage) -> FaceState:
        """The people in a picture that is not part of a stream."""
        self.reset()
        state = self.update(image, 0.0)
        self.reset()
        return state

    def _is_shot_change(self, thumb: FloatArray, time: float) -> bool:
        last = self._thumb
        if self._time is None or last is None:
            return True
        if not 0 <= time - self._time <= _GAP:
            return True
        lengths = float(np.linalg.norm(thumb)), float(np.linalg.norm(last))
        if min(lengths) <= _CONTRAST:
            return False
        # Correlation rather than difference: a lamp switched on is the same shot.
        return float((thumb * last).sum()) / (lengths[0] * lengths[1]) < _SAME_SHOT_CORRELATION

    def _follow(self, small: BgrImage, dt: float) -> None:
        for track in self._tracks:
            landmarks, presence = self._landmarker.find(small, track.region)
            track.visible = presence > _MIN_PRESENCE
            if track.visible:
                self._move(track, landmarks, dt)
        older: list[_Track] = []
        for track in self._tracks:
            if not any(iou(track.box(), other.box()) > _SAME_IOU for other in older):
                older.append(track)
        self._tracks = older

    @staticmethod
    def _move(track: _Track, landmarks: FloatArray, dt: float) -> None:
        wanted = Region.of_landmarks(landmarks)
        track.landmarks = track.filter.update(landmarks, dt, unit=wanted.side)
        track.region = track.region.settle(wanted)

    def _look(self, small: BgrImage, time: float) -> None:
        following = any(track.visible for track in self._tracks)
        if following and 0 <= time - self._looked < _LOOK_EVERY:
            return
        self._looked = time
        for found in self._detector.detect(small)[:MAX_FACES]:
            self._meet(small, found)

    def _meet(self, small: BgrImage, found: Detection) -> None:
        """Takes up a detected face.

        It is a new one, one that was lost, or one whose landmarks have slipped (a hand in front of
        a mouth makes a fine face to the landmark model).
        """
        box = np.array(found.box, np.float32)
        near = [track for track in self._tracks if iou(track.box(), box) > _NEAR_IOU]
        if any(track.visible and not track.region.slipped(found.region) for track in near):
            return
        if not near and len(self._tracks) >= MAX_FACES:
            return
        (landmarks, presence), looked_at = self._find_either_way(small, found.region)
        region = Region.of_landmarks(landmarks)
        if presence <= _MIN_PRESENCE or region.slipped(looked_at):
            return
        # Looked at again from where the landmarks are, as in each frame from now on.
        landmarks, _ = self._landmarker.find(small, region)
        if near:
            track = near[0]
            track.region, track.visible = region, True
        else:
            track = _Track(self._next_id, region, landmarks)
            self._next_id += 1
            self._tracks.append(track)
        track.filter.reset()
        self._move(track, landmarks, 0.0)

    def _find_either_way(
        self, small: BgrImage, region: Region
    ) -> tuple[tuple[FloatArray, float], Region]:
        """Landmarks and presence, upright or upside down, and the region that they are from.

        The detector takes a face that stands on its head for an upright one, and the landmarks fit
        it somehow; but they are surer of a face the way that it is.
        """
        regions = (region, region.upside_down())
        found = [(self._landmarker.find(small, each), each) for each in regions]
        return max(found, key=lambda each: each[0][1])

    def _quarter_turns(self) -> int:
        """By how many the image has to be turned for the largest face to be upright."""
        if not self._tracks:
            return 0
        largest = max(self._tracks, key=lambda track: track.region.side)
        return round(largest.region.angle / (np.pi / 2)) % 4

    def _fade(self, dt: float, at_once: bool) -> None:
        """Fades faces in and out.

        Those that come into a running shot fade in; those of a new shot are just there, and so is
        the light when somebody switches it on.
        """
        for track in self._tracks:
            step = dt / _FADE_IN if track.visible else -dt / _FADE_OUT
            track.weight = 1.0 if at_once else float(np.clip(track.weight + step, 0.0, 1.0))
        self._tracks = [track for track in self._tracks if track.visible or track.weight > 0]


def _thumbnail(image: BgrImage) -> FloatArray:
    """A few gray pixels around their mean."""
    small = resize(image, _THUMB)
    gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    result: FloatArray = gray - gray.mean()
    return result
