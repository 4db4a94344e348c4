"""Where the files lie that come with the program beside its code."""

from pathlib import Path

_HOME = Path(__file__).resolve().parents[2]

CHECKPOINTS = _HOME / "checkpoints"
"""Weights: the shipped network's, and those that users put there."""
MEDIAPIPE = _HOME / "third_party" / "mediapipe"
"""MediaPipe's models and face mesh tables."""
