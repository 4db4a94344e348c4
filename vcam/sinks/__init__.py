"""Where frames go: virtual camera, browser preview, recording."""

from vcam_relight.vcam.sinks.sink import ProcessedFrame, Sink

__all__ = ["ProcessedFrame", "Sink"]
