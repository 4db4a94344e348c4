"""From `--sink` to the sink that it means."""

import logging

from vcam_relight.vcam.core.errors import SinkError, UsageError
from vcam_relight.vcam.sinks.virtual_camera import VirtualCameraSink

log = logging.getLogger(__name__)


def choose_virtual_camera(
    wish: str, size: tuple[int, int], fps: float, always_on: bool = False
) -> VirtualCameraSink | None:
    """The virtual camera, opened, or None where only the preview is to show.

    It is handed over open, so that nobody else takes it meanwhile.

    Args:
        wish: `auto` (a virtual camera if one opens), `none`, `device`, or `device:NAME`, on Linux
            with a path or the name that other programs list.
        size: width and height in pixels.
        fps: frames per second that readers are told to expect.
        always_on: whether it wants frames also while nobody reads them.

    Raises:
        UsageError: `wish` is none of these.
        SinkError: a device was asked for and does not open.
    """
    kind, colon, name = wish.partition(":")
    if kind not in ("auto", "none", "device") or (colon and (kind != "device" or not name)):
        raise UsageError(
            f"there is no sink called {wish!r}", "choose of auto, none, device, device:NAME"
        )
    if kind == "none":
        return None
    sink = VirtualCameraSink(size, fps, name or None, always_on=always_on)
    try:
        sink.open()
    except SinkError as error:
        if kind == "device":
            raise
        log.warning("only the preview shows the picture: %s", error)
        return None
    log.info("other programs can pick the camera %s", sink.device)
    return sink
