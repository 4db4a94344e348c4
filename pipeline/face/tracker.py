"""Follows the faces of one stream: detect, then landmarks from the place they were last."""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.effort import FULL
from vcam_relight.pipeline.face.detector import Detection, FaceDetector, iou
from vcam_relight.pipeline.face.landmarks import FaceLandmarker
from vcam_relight.pipeline.face.models import ModelLoader, load_model
from vcam_relight.pipeline.face.one_euro import OneEuroFilter
from vcam_relight.pipeline.face.person_mask import PersonMask
from vcam_relight.pipeline.face.region import Region
from vcam_relight.pipeline.face.types import Face, FaceState


@dataclass(frozen=True, slots=True)
class TrackerParams:
    """How faces are found, followed and faded; times are of the media, in seconds."""

    faces: int = 4
    """At most."""
    side: int = 640
    """Pixels on the longer side of the image that is searched, at most."""
    detect_every: float = 0.25
    """Between detections of further faces while one is followed; each frame while none is."""
    same_iou: float = 0.6
    """Two tracks that overlap more than this have met on one face."""
    near_iou: float = 0.15
    """A detection and a track that overlap more than this are the same face."""
    min_presence: float = 0.5
    """Of the landmark model, below which there is no face."""
    fade_in: float = 0.25
    fade_out: float = 0.4
    gap: float = 1.0
    """A longer pause starts the stream anew."""
    thumbnail: tuple[int, int] = (32, 18)
    """Width and height of the images that are compared to tell one shot from the next."""
    same_shot_correlation: float = 0.5
    """Of two thumbnails, below which the shot has changed."""
    contrast: float = 30.0
    """Length of a thumbnail below which an image is too flat to compare."""
    min_cutoff: float = 1.5
    beta: float = 60.0
    rest: float = 2e-4
    """Of the landmarks' One-Euro filter, by eye on webcam clips: below 1.5 Hz shading lags a
    turning head, beta 60 lets a head that crosses its own width in a second through unfiltered."""


_PARAMS = TrackerParams()


@dataclass
class _FaceTrack:
    track_id: int
    region: Region
    landmarks: FloatArray
    filter: OneEuroFilter
    weight: float = 0.0
    visible: bool = True

    def box(self) -> FloatArray:
        low, high = self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)
        return np.concatenate([low, high])


class FaceTracker:
    """Follows the people of one stream. Use it from one thread, and close it."""

    def __init__(
        self,
        timer: StageTimer,
        params: TrackerParams = _PARAMS,
        load: ModelLoader = load_model,
    ) -> None:
        """Loads the models, where no other tracker has.

        Args:
            timer: of the stages.
            params: how faces are followed.
            load: gives the landmarks' and the mask's models.

        Raises:
            OSError, RuntimeError: a model file is missing or damaged.
        """
        self._timer = timer
        self._params = params
        self._detector = FaceDetector()
        self._landmarker = FaceLandmarker(load)
        self._mask = PersonMask(load=load)
        self._tracks: list[_FaceTrack] = []
        self._next_id = 1
        self._time: float | None = None
        self._detected_at = 0.0
        self._thumb: FloatArray | None = None
        self._size = (0, 0)

    def close(self) -> None:
        """Ends its thread; may be called twice."""
        self._mask.close()

    def reset(self) -> None:
        """Forgets the frames before."""
        self._tracks = []
        self._time = None
        self._thumb = None
        self._mask.reset()

    def update(self, image: BgrImage, time: float, mask_every: int = FULL.mask_every) -> FaceState:
        """Finds the people in the next frame.

        Args:
            image: `(H, W, 3)`.
            time: media time in seconds; a step back or a long gap starts anew.
            mask_every: frames of which their mask is looked for in one while little moves.
        """
        height, width = image.shape[:2]
        scale = min(1.0, self._params.side / max(height, width))
        with self._timer.stage("scale"):
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = resize(image, size)
            thumb = _thumbnail(small, self._params.thumbnail)
            shot_change = size != self._size or self._is_shot_change(thumb, time)
            if shot_change:
                self.reset()
            self._size = size
            # A fade through black is a shot change too: what was before it is kept to compare with.
            if self._thumb is None or float(np.linalg.norm(thumb)) > self._params.contrast:
                self._thumb = thumb
        dt = 0.0 if self._time is None else time - self._time
        self._time = time
        # The mask's network and the face's know nothing of each other: they share two cores.
        self._mask.begin(small, dt, self._quarter_turns(), mask_every)
        try:
            with self._timer.stage("face"):
                self._follow(small, dt)
                self._detect(small, time)
                self._fade(dt, at_once=shot_change)
        finally:
            with self._timer.stage("mask (wait)"):
                self._mask.wait()  # or it would write into the state after a reset
        with self._timer.stage("mask"):
            mask = self._mask.finish(small, self._quarter_turns())
        grow = np.array([width / size[0], height / size[1], width / size[0]], np.float32)
        faces = tuple(
            Face(t.track_id, t.landmarks * grow, t.weight, t.visible) for t in self._tracks
        )
        return FaceState((width, height), small, time, faces, mask, shot_change)

    def still(self, image: BgrImage) -> FaceState:
        """The people in an image that is not part of a stream."""
        self.reset()
        state = self.update(image, 0.0)
        self.reset()
        return state

    def _is_shot_change(self, thumb: FloatArray, time: float) -> bool:
        last = self._thumb
        if self._time is None or last is None:
            return True
        if not 0 <= time - self._time <= self._params.gap:
            return True
        lengths = float(np.linalg.norm(thumb)), float(np.linalg.norm(last))
        if min(lengths) <= self._params.contrast:
            return False
        # Correlation rather than difference: a lamp switched on is the same shot.
        correlation = float((thumb * last).sum()) / (lengths[0] * lengths[1])
        return correlation < self._params.same_shot_correlation

    def _follow(self, small: BgrImage, dt: float) -> None:
        for track in self._tracks:
            landmarks, presence = self._landmarker.find(small, track.region)
            track.visible = presence > self._params.min_presence
            if track.visible:
                self._move(track, landmarks, dt)
        older: list[_FaceTrack] = []
        for track in self._tracks:
            box = track.box()
            if not any(iou(box, other.box()) > self._params.same_iou for other in older):
                older.append(track)
        self._tracks = older

    @staticmethod
    def _move(track: _FaceTrack, landmarks: FloatArray, dt: float) -> None:
        region = Region.of_landmarks(landmarks)
        track.landmarks = track.filter.update(landmarks, dt, unit=region.side)
        track.region = track.region.settle(region)

    def _detect(self, small: BgrImage, time: float) -> None:
        following = any(track.visible for track in self._tracks)
        if following and 0 <= time - self._detected_at < self._params.detect_every:
            return
        self._detected_at = time
        for found in self._detector.detect(small)[: self._params.faces]:
            self._meet(small, found)

    def _meet(self, small: BgrImage, found: Detection) -> None:
        """Takes up a detected face.

        It is a new one, one that was lost, or one whose landmarks have slipped (a hand in front of
        a mouth makes a fine face to the landmark model).
        """
        params = self._params
        box = np.array(found.box, np.float32)
        near = [track for track in self._tracks if iou(track.box(), box) > params.near_iou]
        if any(track.visible and not track.region.slipped(found.region) for track in near):
            return
        if not near and len(self._tracks) >= params.faces:
            return
        (landmarks, presence), searched = self._find_either_way(small, found.region)
        region = Region.of_landmarks(landmarks)
        if presence <= params.min_presence or region.slipped(searched):
            return
        # Found again from where the landmarks are, as in each frame from now on.
        landmarks, _ = self._landmarker.find(small, region)
        if near:
            track = near[0]
            track.region, track.visible = region, True
        else:
            smoothing = OneEuroFilter(params.min_cutoff, params.beta, params.rest)
            track = _FaceTrack(self._next_id, region, landmarks, smoothing)
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
        up, down = dt / self._params.fade_in, -dt / self._params.fade_out
        for track in self._tracks:
            step = up if track.visible else down
            track.weight = 1.0 if at_once else float(np.clip(track.weight + step, 0.0, 1.0))
        self._tracks = [track for track in self._tracks if track.visible or track.weight > 0]


def _thumbnail(image: BgrImage, size: tuple[int, int]) -> FloatArray:
    """A few gray pixels around their mean."""
    small = resize(image, size)
    gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    result: FloatArray = gray - gray.mean()
    return result
