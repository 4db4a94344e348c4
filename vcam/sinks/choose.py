"""From `--sink` to the sink that it means."""

import logging
import sys

from vcam.devices import list_virtual_cameras
from vcam.errors import SinkError, UsageError
from vcam.sinks.virtual_camera import VirtualCameraSink

log = logging.getLogger(__name__)


def choose_virtual_camera(wish: str, size: tuple[int, int], fps: float) -> VirtualCameraSink | None:
    """The virtual camera, opened, or None where only the preview is to show.

    It is handed over open: with exclusive_caps=1 some v4l2loopback releases take one writer per
    module load, so a trial that closed it again would be the last.

    Args:
        wish: `auto` (a virtual camera if one opens), `none`, `device`, or `device:NAME`, on Linux
            with a path or the name that other programs list.
        size: width and height in pixels.
        fps: frames per second that readers are told to expect.

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
    if name and sys.platform == "linux":  # where pyvirtualcam knows paths only
        name = next((camera.path for camera in list_virtual_cameras() if camera.name == name), name)
    sink = VirtualCameraSink(size, fps, name or None)
    try:
        sink.open()
    except SinkError as error:
        if kind == "device":
            raise
        log.warning("only the preview shows the picture: %s", error)
        return None
    log.info("other programs can pick the camera %s", sink.device)
    return sink
