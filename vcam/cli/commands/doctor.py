"""`vcam doctor`: checks this machine and suggests a fix for what is wrong."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vcam_relight.vcam.cli.commands import port
from vcam_relight.vcam.cli.terminal import printable

if TYPE_CHECKING:
    from vcam_relight.vcam.doctor import System

WATCH_EVERY_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to report, and the panel's address to look at."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--engines",
        action="store_true",
        help="also try torch, the default engine and the graphics card (some seconds)",
    )
    parser.add_argument(
        "--watch", action="store_true", help="go on, and say what changes, until Ctrl-C"
    )
    parser.add_argument(
        "--bundle", type=Path, metavar="FILE", help="also write a report for a bug's description"
    )
    parser.add_argument("--port", type=port, default=8088, help="port of the panel (8088)")
    parser.add_argument("--host", default="127.0.0.1", help="address of the panel (127.0.0.1)")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="its PEM certificate")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its PEM private key")


def run(args: argparse.Namespace) -> int:
    """Prints a line a check; returns 1 when one fails, which warnings do not.

    Raises:
        InputError: the bundle cannot be written.
    """
    from vcam_relight.vcam.doctor import System, all_checks, write_bundle

    system = System()
    checks = []
    engines = args.engines or args.bundle is not None
    panel = (args.port, args.host, args.tls_cert, args.tls_key)
    for check in all_checks(system, *panel, engines=engines):
        checks.append(check)
        if not args.json:
            print(printable(check), flush=True)
    counts = Counter(check.level for check in checks)
    if args.json:
        print(json.dumps({"checks": [asdict(check) for check in checks]}, indent=2))
    else:
        print(f"{counts['ok']} ok, {counts['warn']} to know, {counts['fail']} wrong")
    if args.watch:
        _watch(system, panel, {check.name: str(check) for check in checks}, as_json=args.json)
    if args.bundle is not None:
        write_bundle(args.bundle, system, checks, args.host)
        if not args.json:
            print(f"the report is in {args.bundle}: read it before you send it")
    return 1 if counts["fail"] else 0


def _watch(
    system: System,
    panel: tuple[int, str, Path | None, Path | None],
    known: dict[str, str],
    *,
    as_json: bool,
) -> None:
    """Prints each check that says something else than before, until Ctrl-C."""
    from vcam_relight.vcam.doctor import all_checks

    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(WATCH_EVERY_S)
            for check in all_checks(system, *panel, engines=False):
                if known.get(check.name) != str(check):
                    known[check.name] = str(check)
                    print(json.dumps(asdict(check)) if as_json else printable(check), flush=True)
