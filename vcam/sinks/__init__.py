"""Where frames go: virtual camera, browser preview, recording."""

from vcam.sinks.sink import Delivery, Sink

__all__ = ["Delivery", "Sink"]
