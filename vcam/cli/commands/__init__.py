"""The subcommands, and the types of arguments that several of them share.

Each command is a module with `add_arguments(parser)` and `run(args) -> exit status`;
`vcam.cli.main` imports only the one that was asked for, so that help comes at once.
"""

import argparse
import math

LARGEST_SIDE = 8192
"""Pixels; beyond it neither codecs nor cameras follow."""


def size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` in pixels, as argparse's `type`."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isascii() and width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size like 1280x720")
    w, h = int(width), int(height)
    if not (16 <= w <= LARGEST_SIDE and 16 <= h <= LARGEST_SIDE):
        raise argparse.ArgumentTypeError(
            f"{text!r}: each side must be between 16 and {LARGEST_SIDE} pixels"
        )
    return w, h


def frame_rate(text: str) -> float:
    """Frames per second, as argparse's `type`."""
    value = _finite(text)
    if not 1 <= value <= 240:
        raise argparse.ArgumentTypeError(f"{text!r}: a frame rate is between 1 and 240")
    return value


def seconds(text: str) -> float:
    """A duration above 0, as argparse's `type`."""
    value = _finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: a duration is above 0 seconds")
    return value


def port(text: str) -> int:
    """A TCP port, 0 for any free one, as argparse's `type`."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 (any free one) to 65535")
    return int(text)


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return value
