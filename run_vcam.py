#!/usr/bin/env python3
"""Run the camera filter from a checkout: the same program as the console script `vcam`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from vcam_relight.vcam.cli.main import program

if __name__ == "__main__":
    program()
