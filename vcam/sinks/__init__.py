"""Where frames go: virtual camera, browser preview, recording."""

from vcam_relight.vcam.sinks.sink import Delivery, FilledSink, Sink

__all__ = ["Delivery", "FilledSink", "Sink"]
