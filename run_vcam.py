#!/usr/bin/env python3
"""Run the camera filter from a checkout: the same program as the console script `vcam`."""

import sys

from vcam.cli import main

if __name__ == "__main__":
    sys.exit(main())
