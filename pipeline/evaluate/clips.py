"""Metrics of clips: flicker against the input's own, and lag."""

from collections.abc import Sequence

from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.evaluate.media import MediaClip
from vcam_relight.pipeline.evaluate.method import EngineMethod
from vcam_relight.pipeline.evaluate.stills import Metrics
from vcam_relight.pipeline.evaluate.temporal import (
    ClipFlow,
    estimate_flow,
    lag,
    luminance_jitter,
    steady_warping_error,
    warping_error,
)
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.lighting import Lighting

SWITCH = 6
"""Index of the frame at which the light changes when lag is measured."""
LAG_FRAMES = 22
"""Frames relit for it; a longer lag is reported as `LAG_FRAMES - SWITCH`."""


class ClipMeter:
    """Measures methods on one clip, whose optical flow is computed once."""

    def __init__(self, clip: MediaClip, lights: tuple[Lighting, Lighting]) -> None:
        """Follows the clip's face and optical flow.

        Args:
            clip: what is measured on.
            lights: the light of the whole clip, and the one it is changed to for lag.
        """
        self._clip, self._lights = clip, lights
        tracker = FaceTracker(StageTimer())
        states = [
            tracker.update(image, time) for image, time in zip(clip.images, clip.times, strict=True)
        ]
        self._flow: ClipFlow = estimate_flow(clip.images, states)
        self._error = warping_error(clip.images, self._flow)
        self._jitter = luminance_jitter(clip.images, self._flow)

    def measure(self, method: EngineMethod, *, with_lag: bool) -> Metrics:
        """Relights the clip and measures it.

        Args:
            method: what relights.
            with_lag: whether the clip is relit twice more, to measure lag.

        Returns:
            `warping_ratio` and `jitter_ratio`, out over in: 1 is the input's own flicker;
            `flicker_ratio`, out over the warping error of a light change that only moves along;
            `lag_frames`, 0 when the first frame shows the new light; None where it was not
            measured.
        """
        first, second = self._lights
        length = len(self._clip.images)
        steady = method.stream(self._clip, [first] * length)
        error = warping_error(steady, self._flow)
        metrics: Metrics = {
            "warping_ratio": _ratio(error, self._error),
            "flicker_ratio": _ratio(error, steady_warping_error(steady, self._flow)),
            "jitter_ratio": _ratio(luminance_jitter(steady, self._flow), self._jitter),
            "lag_frames": None,
        }
        if with_lag and length > SWITCH:
            some = min(length, LAG_FRAMES)
            after = method.stream(self._clip, [second] * some)
            changed: Sequence[Lighting] = [first] * SWITCH + [second] * (some - SWITCH)
            switched = method.stream(self._clip, changed)
            found = lag(steady[:some], after, switched, SWITCH, self._flow)
            metrics["lag_frames"] = None if found is None else float(found)
        return metrics


def _ratio(out: float, given: float) -> float | None:
    return out / given if given > 0 else None
