"""Tries out devices, where the system gives no list of them (Windows and macOS)."""

from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.devices.capture import OPEN_TIMEOUT_S, CaptureAttempt, open_configured

_SIZE, _FPS = (1280, 720), 30.0


def camera_opens(index: int) -> bool:
    """Whether the camera gives a frame. It is opened for that: its LED lights up."""
    attempt = CaptureAttempt(lambda given_up: open_configured(index, _SIZE, _FPS, given_up), index)
    attempt.start()
    capture = attempt.wait(OPEN_TIMEOUT_S)
    if capture is None:
        return False
    capture.release()
    return True


def virtual_camera_that_opens() -> str | None:
    """The name of the virtual camera that pyvirtualcam can open now; None: there is none."""
    from vcam_relight.vcam.devices.obs import ObsOutput

    try:
        output = ObsOutput(_SIZE, _FPS, device=None, backend=None)
    except SinkError:
        return None
    output.close()
    return output.name
