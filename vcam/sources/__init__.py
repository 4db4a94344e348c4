"""Where frames come from: webcam, file, demo clip, a browser's WebRTC track."""

from vcam_relight.vcam.sources.source import Source

__all__ = ["Source"]
