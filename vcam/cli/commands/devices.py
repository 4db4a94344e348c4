"""`vcam devices`: the cameras to take from and the virtual cameras to write to."""

import argparse
import json
from dataclasses import asdict

from vcam_relight.vcam.cli.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints them and returns 0, also when there are none."""
    from vcam_relight.vcam.devices.listing import cameras_to_show, list_virtual_cameras
    from vcam_relight.vcam.devices.setup_hints import how_to_get_one

    cameras, virtual = cameras_to_show(), list_virtual_cameras()
    if args.json:
        found = {
            "cameras": [asdict(camera) for camera in cameras],
            "virtual_cameras": [asdict(camera) for camera in virtual],
        }
        print(json.dumps(found, indent=2))
        return 0
    print("Cameras (--source):")
    for camera in cameras:
        print(printable(f"  camera:{camera.index}  {camera.name}  {camera.path}".rstrip()))
    if not cameras:
        print("  none")
    print("Virtual cameras (--sink):")
    for device in virtual:
        state = "" if device.writable else "  (takes no pictures now)"
        print(printable(f"  device:{device.path}  {device.name}{state}"))
    if not virtual:
        print(f"  none; {how_to_get_one()}")
    return 0
