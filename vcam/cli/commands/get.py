"""`vcam get`: what the program that runs is doing, and how it is set."""

import argparse
import json

from vcam_relight.vcam.cli.remote import ask
from vcam_relight.vcam.cli.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which setting, and in which form."""
    parser.add_argument("name", nargs="?", help="one setting alone")
    parser.add_argument("--json", action="store_true", help="print all of the state as JSON")


def run(args: argparse.Namespace) -> int:
    """Prints it and returns 0.

    Raises:
        VcamError: no program runs, or it has no such setting.
    """
    from vcam_relight.vcam.core.errors import InputError

    state = ask("GET", "/state")
    if args.json:
        print(json.dumps(state))
        return 0
    settings = state["settings"]
    if args.name is not None:
        if args.name not in settings:
            raise InputError(f"there is no setting called {args.name!r}")
        print(printable(_shown(settings[args.name])))
        return 0
    fps = round(state["stats"]["fps_out"], 1)
    where = f", on: {state['runs_on']}" if state["runs_on"] else ""
    print(printable(f"{state['state']}, {fps} frames a second{where}"))
    if state["reason"]:
        print(printable(state["reason"]))
    for name, value in settings.items():
        print(printable(f"{name}={_shown(value)}"))
    return 0


def _shown(value: object) -> str:
    """As `vcam set` takes it."""
    if isinstance(value, list):
        return ",".join(f"{part:g}" for part in value)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
