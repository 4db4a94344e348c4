"""Frames of the demo clip: the face that the pipeline's tests look at."""

from functools import cache

import av
import numpy as np

from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.sources.demo import demo_clip


@cache
def demo_frames(count: int, step: int = 1) -> tuple[BgrImage, ...]:
    """The first `count` frames of the clip, or of every `step`-th; nobody may write to them."""
    frames: list[BgrImage] = []
    with av.open(str(demo_clip())) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % step == 0:
                frames.append(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
                frames[-1].flags.writeable = False
            if len(frames) == count:
                break
    return tuple(frames)
