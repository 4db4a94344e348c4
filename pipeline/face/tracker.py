"""Placeholder replaced by the tracker."""
from pipeline.timing import StageTimer
from pipeline.types import FaceState, Picture
import numpy as np
class FaceTracker:
    def __init__(self, timer: StageTimer) -> None: self.timer=timer
    def update(self, picture: Picture, time: float) -> FaceState:
        return FaceState((picture.shape[1],picture.shape[0]),time,(),np.zeros((1,1),np.float32),False)
    def reset(self) -> None: pass
