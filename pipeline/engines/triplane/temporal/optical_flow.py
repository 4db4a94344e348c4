"""Moves the network's maps along with the face: they are two or three frames old."""

from dataclasses import dataclass

import cv2
import numpy as np

from vcam_relight.pipeline.core.image import FloatArray, GrayImage, Map


@dataclass(frozen=True, slots=True)
class FlowParams:
    """Which motion is taken for a face's; in cells of the crop."""

    most: float = 6.0
    """That a surface moves at most between two inferences, or an inference and the frame that uses
    it: the crop goes with the head, so that more is an error, or something in front of it."""
    noise: float = 0.12
    """By which the camera's noise moves a face that is still; less than this counts less."""


_PARAMS = FlowParams()


@dataclass(frozen=True, slots=True)
class FlowField:
    """Where the surfaces of a crop were before, in its cells; `(n, n)`."""

    x: Map
    y: Map

    def warp(self, values: FloatArray) -> FloatArray:
        """`(n, n, C)` of the crop before, C up to 4, to where its surfaces are now."""
        moved = cv2.remap(values, self.x, self.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.float32)


class FlowEstimator:
    """Dense optical flow (Kroeger et al. 2016); 0.2 ms for 128 x 128. For one thread at a time."""

    def __init__(self, params: FlowParams = _PARAMS) -> None:
        """Takes which motion counts."""
        self._params = params
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def estimate_flow(self, before: GrayImage, now: GrayImage) -> FlowField:
        """The motion of a crop's surfaces, from its `(n, n)` luma at two moments."""
        line = np.arange(len(now), dtype=np.float32)
        flow = self._flow.calc(now, before, np.zeros((*now.shape, 2), np.float32))
        length = cv2.magnitude(flow[..., 0], flow[..., 1])[..., None]
        flow = flow * np.clip(length / np.float32(self._params.noise), 0, 1)
        flow = np.clip(flow, -self._params.most, self._params.most)
        return FlowField(flow[..., 0] + line, flow[..., 1] + line[:, None])
