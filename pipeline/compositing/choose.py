"""Which compositor a stream gets."""

from vcam_relight.pipeline.compositing.base import Compositor
from vcam_relight.pipeline.compositing.native import NativeCompositor
from vcam_relight.pipeline.compositing.opencv import OpenCvCompositor
from vcam_relight.pipeline.native.composition import compose_kernel


def fastest_compositor() -> Compositor:
    """For one stream, the fastest that works here; the first call may build its kernel."""
    kernel = compose_kernel()
    return OpenCvCompositor() if kernel is None else NativeCompositor(kernel)
