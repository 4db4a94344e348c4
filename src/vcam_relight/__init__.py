"""Relights faces in pictures and video streams in real time."""

from pathlib import Path

__version__ = "0.1.0"

# A checkout keeps its packages beside `src/`, and its links to them are not followed on systems
# without symbolic links.
_checkout = Path(__file__).resolve().parents[2]
if (_checkout / "run_vcam.py").is_file():
    __path__.insert(0, str(_checkout))
