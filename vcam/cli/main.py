"""The command line: finds the command, runs it, turns errors into one line and an exit status."""

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn, get_args

from vcam_relight import __version__
from vcam_relight.vcam.cli.terminal import (
    LogFormat,
    ending_signals,
    one_line,
    quiet_native_libraries,
    set_up_logging,
)
from vcam_relight.vcam.core.errors import UsageError, VcamError

log = logging.getLogger(__name__)

DONE, FAILED, WRONG_USAGE = 0, 1, 2

COMMANDS = {
    "run": "live: camera in, relit picture out (the default)",
    "set": "change the program that runs: `vcam set preset=rim intensity=1.2`",
    "get": "print how the program that runs is set",
    "next": "switch the program that runs to the next preset",
    "mcp": "let an assistant set the program that runs (Model Context Protocol)",
    "watch": "print the state of the program that runs, line by line",
    "serve": "relight the cameras of people who join by a link, as many as the machine can",
    "invite": "print a link for people who join a running `vcam serve`",
    "image": "relight picture files",
    "video": "relight a video file",
    "bench": "measure frames per second and milliseconds per stage",
    "eval": "measure how well engines relight, against rendered ground truth",
    "devices": "list cameras and virtual cameras",
    "presets": "list the lighting presets",
    "doctor": "check this machine and suggest a fix for what is wrong",
    "setup": "print how to set up the virtual camera, and the service",
}
"""Command -> help. The modules in `vcam.cli.commands` are imported only when asked for."""

_LONG_RUNNING = ("run", "serve")
"""Their log is read by programs, too."""
_GLOBAL_FLAGS = {"-v", "--verbose", "--version", "-h", "--help"}


def program() -> NoReturn:
    """Runs `main` as a program of its own, whose process ends with the command.

    A thread may still be in native code then: an engine loads, or a slow one is at its last frame.
    Python's own way out ends such threads by unwinding their stacks, which C++ answers by aborting
    the process; and none of them holds anything that is worth waiting for.
    """
    status = main()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):  # whoever read it has gone
                stream.flush()
    os._exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the arguments after the program's name; by default those of the process.

    Returns:
        0 done, 1 failed (one line on stderr says why, with a hint), 2 wrong usage.
    """
    try:
        args = _parse(list(sys.argv[1:] if argv is None else argv))
    except SystemExit as stop:  # argparse has printed help, the version or what is wrong
        return stop.code if isinstance(stop.code, int) else WRONG_USAGE
    if args.verbose and args.log_format == "text":
        return _run(args)
    with quiet_native_libraries():
        return _run(args)


def _parse(argv: list[str]) -> argparse.Namespace:
    command, argv = _with_command(argv)
    parser = argparse.ArgumentParser(
        prog="vcam",
        description="A camera filter that relights your face in real time.",
        epilog="Without a command the program runs live; `vcam run --help` shows its options.",
    )
    parser.add_argument("--version", action="version", version=f"vcam {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log details and traces")
    parser.set_defaults(log_format="text")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, help_line in COMMANDS.items():
        sub = commands.add_parser(name, help=help_line, description=help_line.capitalize() + ".")
        sub.add_argument(
            "-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="log details"
        )
        if name in _LONG_RUNNING:
            sub.add_argument(
                "--log-format",
                choices=get_args(LogFormat),
                default="text",
                help="json: one object a line, with its session's number, for what collects logs",
            )
        if name == command:
            module = importlib.import_module(f"vcam_relight.vcam.cli.commands.{name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser.parse_args(argv)


def _with_command(argv: list[str]) -> tuple[str | None, list[str]]:
    """The command that `argv` asks for, and `argv` with `run` put in where none is named."""
    place = next((i for i, word in enumerate(argv) if word not in _GLOBAL_FLAGS), len(argv))
    if place < len(argv) and not argv[place].startswith("-"):
        return (argv[place] if argv[place] in COMMANDS else None), argv
    if set(argv[:place]) & {"--version", "-h", "--help"}:
        return None, argv
    return "run", [*argv[:place], "run", *argv[place:]]


def _run(args: argparse.Namespace) -> int:
    set_up_logging(args.verbose, args.log_format)
    if threading.current_thread() is threading.main_thread():
        for number in ending_signals():
            signal.signal(number, _interrupt)
    try:
        status: int = args.run(args)
        return status
    except KeyboardInterrupt:
        if args.command in ("run", "serve", "watch"):  # have no other end
            return DONE
        return _complain(args, VcamError("stopped: nothing was written"), FAILED)
    except BrokenPipeError:  # `vcam presets | head`
        sys.stdout = None
        return DONE
    except UsageError as error:
        return _complain(args, error, WRONG_USAGE)
    except VcamError as error:
        return _complain(args, error, FAILED)
    except Exception as error:
        text = f"{type(error).__name__}: {error}".replace("\n", " ")
        hint = "please report it; -v shows the trace"
        return _complain(args, VcamError(text, hint), FAILED, error)


def _complain(
    args: argparse.Namespace, error: VcamError, status: int, cause: Exception | None = None
) -> int:
    log.debug("the command failed", exc_info=cause or error)
    if args.log_format == "json":
        log.error("%s", error)
        return status
    with contextlib.suppress(OSError):  # the terminal has closed
        print(one_line(error), file=sys.stderr)
    return status


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
