"""The light stage's commands: `python -m pipeline.lightstage COMMAND --help`."""

import argparse
import importlib
import sys

_COMMANDS = {
    "pack": ("pipeline.lightstage.pack", "build the asset pack from its sources"),
    "landmarks": ("pipeline.lightstage.landmarks", "find MediaPipe's landmarks on the mesh again"),
    "sheet": ("pipeline.lightstage.sheet", "draw contact sheets of heads under lights"),
    "bench": ("pipeline.lightstage.bench", "measure the training stream"),
    "mitsuba": ("pipeline.lightstage.mitsuba_truth", "render one-light-at-a-time truth"),
    "cycles": ("pipeline.lightstage.cycles_truth", "render truth with skin scattering"),
}
"""Name -> module with `add_arguments(parser)` and `run(arguments)`, and what it does."""


def main() -> int:
    """Runs one command; returns the exit status: 0 done, 1 failed with one line, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.lightstage", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, summary) in _COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    chosen = parser.parse_args(sys.argv[1:2]).command
    try:
        module = importlib.import_module(_COMMANDS[chosen][0])
        own = argparse.ArgumentParser(prog=f"{parser.prog} {chosen}", description=module.__doc__)
        module.add_arguments(own)
        module.run(own.parse_args(sys.argv[2:]))
    except ImportError as error:
        print(f"{error}; install the extra 'truth': pip install -e '.[truth]'", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
