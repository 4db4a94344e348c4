"""Frames in, frames out: sources, the frame loop, sinks, settings and the command line."""
