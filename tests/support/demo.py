"""Frames of the demo clip: the face that the pipeline's tests look at, in good light.

The clip itself shows a dim room, which the program lifts.
"""

from functools import cache

import av
import cv2
import numpy as np

from vcam_relight.pipeline.core.color import DECODE_8BIT, encode_srgb
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.vcam.sources.demo import demo_clip

_GAIN = 2.2
"""Of linear light, from the clip's room to a good exposure."""
_IN_GOOD_LIGHT = np.round(encode_srgb(DECODE_8BIT * np.float32(_GAIN)) * 255).astype(np.uint8)


@cache
def demo_frames(count: int, step: int = 1) -> tuple[BgrImage, ...]:
    """The first `count` frames of the clip, or of every `step`-th, as if in good light.

    Nobody may write to them.
    """
    frames: list[BgrImage] = []
    with av.open(str(demo_clip())) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % step == 0:
                dim = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                frames.append(np.asarray(cv2.LUT(dim, _IN_GOOD_LIGHT), np.uint8))
                frames[-1].flags.writeable = False
            if len(frames) == count:
                break
    return tuple(frames)
