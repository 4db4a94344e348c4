"""`vcam set preset=key-left intensity=1.2`: changes the program that runs."""

import argparse
import json
from typing import Any

from vcam_relight.vcam.cli.remote import ask
from vcam_relight.vcam.cli.terminal import printable

_WORDS: dict[str, Any] = {"true": True, "on": True, "false": False, "off": False, "null": None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is changed, and to what."""
    parser.add_argument(
        "changes",
        nargs="+",
        type=_change,
        metavar="NAME=VALUE",
        help="preset=rim, intensity=1.2, mirror=on, engine=geometry, aim=-40,20, aim=null",
    )
    parser.add_argument("--json", action="store_true", help="print what the program answers")


def run(args: argparse.Namespace) -> int:
    """Prints what is so now, and returns 0.

    Raises:
        VcamError: no program runs, or it refuses.
    """
    return print_ack(ask("POST", "/settings", dict(args.changes)), as_json=args.json)


def print_ack(ack: dict[str, Any], *, as_json: bool) -> int:
    """Says what the settings are after a change; returns 0."""
    if as_json:
        print(json.dumps(ack))
    else:
        settings = ack["settings"]
        print(printable(f"settings {ack['settings_id']}: preset {settings['preset']}"))
    return 0


def _change(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is no change like intensity=1.2")
    return name, _value(name, value)


def _value(name: str, text: str) -> Any:
    """A number, a word, or a pair of numbers for a direction; a text where none is meant."""
    if name in ("preset", "engine"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return text
    return numbers if name == "aim" else numbers[0] if len(numbers) == 1 else text
