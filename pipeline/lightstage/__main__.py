"""The light stage's commands: python -m vcam_relight.pipeline.lightstage COMMAND --help."""

import argparse
import importlib
import sys

# Each module has add_arguments(parser) and run(arguments).
_COMMANDS = {
    "pack": ("build.build_pack", "build the asset pack that everything else here needs"),
    "contact-sheet": ("clips.contact_sheet", "draw a contact sheet of people under lights"),
    "landmarks": ("build.landmark_search", "find MediaPipe's landmarks on the base mesh anew"),
    "bench": ("clips.benchmark", "measure how many frames an hour the training stream makes"),
    "mitsuba": ("ground_truth.mitsuba_dataset", "render one light at a time by mitsuba, for tests"),
    "cycles": ("ground_truth.cycles_dataset", "render people by Blender's Cycles, for tests"),
}


def main() -> int:
    """Runs one command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m vcam_relight.pipeline.lightstage", description=__doc__
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen_name = next((word for word in sys.argv[1:] if word in _COMMANDS), None)
    for name, (module, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == chosen_name:
            # Only the command that is asked for is imported: others may lack their extra.
            try:
                chosen = importlib.import_module(f"vcam_relight.pipeline.lightstage.{module}")
            except ModuleNotFoundError as error:
                if error.name is not None and error.name.startswith("vcam_relight."):
                    raise
                parser.error(f"{name} needs {error.name}: pip install 'vcam-relight[truth]'")
            chosen.add_arguments(command)
    arguments = parser.parse_args()
    try:
        chosen.run(arguments)
    except (OSError, ValueError) as error:
        print(f"{parser.prog} {arguments.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
