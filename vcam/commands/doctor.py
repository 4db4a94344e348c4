"""`vcam doctor`: checks this machine and says how to mend what is wrong."""

import argparse
import json
from collections import Counter
from dataclasses import asdict

from vcam.commands import port


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json` and the port to look at."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--port", type=port, default=8088, help="port of the panel (8088)")


def run(args: argparse.Namespace) -> int:
    """Prints a line a check; returns 1 when one fails, which warnings do not."""
    from vcam.checks import all_checks

    checks = []
    for check in all_checks(args.port):
        checks.append(check)
        if not args.json:
            print(check, flush=True)
    counts = Counter(check.level for check in checks)
    if args.json:
        print(json.dumps({"checks": [asdict(check) for check in checks]}, indent=2))
    else:
        print(f"{counts['ok']} ok, {counts['warn']} to know, {counts['fail']} wrong")
    return 1 if counts["fail"] else 0
