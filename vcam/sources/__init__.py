"""Where frames come from: webcam, file, demo clip, a browser's WebRTC track."""

from vcam.sources.source import Source

__all__ = ["Source"]
