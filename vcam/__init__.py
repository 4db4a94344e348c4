"""Frames in, frames out: sources, the frame loop, sinks, settings and the command line."""

__version__ = "0.1.0"
