#!/usr/bin/env python3
"""Run the camera filter from a checkout: the same program as the console script `vcam`."""

from vcam.cli import program

if __name__ == "__main__":
    program()
