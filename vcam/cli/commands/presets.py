"""`vcam presets`: the lights by name, and where the user's own belong."""

import argparse
import json
import sys

from vcam_relight.vcam.cli.terminal import one_line, printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints them and returns 0; the user's files that are wrong are named on stderr."""
    from vcam_relight.pipeline.lighting.presets import load_presets
    from vcam_relight.vcam.settings.persistence import presets_folder

    folder = presets_folder()
    presets, problems = load_presets(folder)
    if args.json:
        listed = [
            {"name": preset.name, "title": preset.title, "help": preset.help}
            for preset in presets.values()
        ]
        print(
            json.dumps(
                {"presets": listed, "folder": str(folder), "problems": problems},
                indent=2,
            )
        )
        return 0
    width = max(map(len, presets))
    for preset in presets.values():
        print(printable(f"{preset.name:<{width}}  {preset.title}: {preset.help}"))
    print(printable(f"\nYour own: *.toml files in {folder}"))
    for problem in problems:
        print(one_line(f"left out: {problem}"), file=sys.stderr)
    return 0
