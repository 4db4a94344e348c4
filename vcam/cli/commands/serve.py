"""`vcam serve`: people join by an invitation, and each gets their camera back relit."""

import argparse
import asyncio
import ipaddress
import logging
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from vcam_relight.vcam.cli.commands import frame_rate, port, size
from vcam_relight.vcam.cli.lighting_arguments import DEFAULT_PRESET, add_engine_arguments
from vcam_relight.vcam.core.errors import UsageError

if TYPE_CHECKING:
    from vcam_relight.pipeline.relighter import Relighter
    from vcam_relight.web.guests import GuestServer

log = logging.getLogger(__name__)

MOST_PLACES = 256
MOST_PEOPLE = 1000
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it listens, whom it invites, how many it takes."""
    parser.add_argument("--preset", default=DEFAULT_PRESET, metavar="NAME", help="the first light")
    add_engine_arguments(parser)
    people = parser.add_argument_group("people")
    people.add_argument(
        "--places",
        type=count_up_to(MOST_PLACES),
        metavar="N",
        help="streams at once (default: as many as this machine is measured to carry)",
    )
    people.add_argument(
        "--people",
        type=count_up_to(MOST_PEOPLE),
        default=20,
        metavar="N",
        help="who may be in at once by the invitation that is printed (20)",
    )
    people.add_argument(
        "--invite-for",
        type=duration,
        default=12 * 3600.0,
        metavar="TIME",
        help="how long it is good for: 30m, 12h, 7d (12h)",
    )
    add_secret_argument(people)
    people.add_argument(
        "--house-token-file",
        type=Path,
        metavar="FILE",
        help="the token of who runs this, for Prometheus; made if missing (default: one a run)",
    )
    people.add_argument(
        "--size", type=size, default=(640, 360), metavar="WxH", help="of their cameras (640x360)"
    )
    people.add_argument(
        "--fps", type=frame_rate, default=20.0, metavar="N", help="of their cameras (20)"
    )
    web = parser.add_argument_group("network")
    web.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    web.add_argument("--port", type=port, default=8088, help="port to listen on (8088)")
    web.add_argument("--tls-cert", type=Path, metavar="FILE", help="PEM certificate, for HTTPS")
    web.add_argument("--tls-key", type=Path, metavar="FILE", help="PEM private key")
    web.add_argument(
        "--origin",
        type=origin,
        metavar="URL",
        help="what a proxy before this program is known as, such as https://relight.example.org",
    )
    web.add_argument(
        "--announce",
        type=_address,
        metavar="IP",
        help="address that others reach this machine by, where a router translates it one to one",
    )
    web.add_argument(
        "--ice-server", action="append", default=[], metavar="URL", help="STUN server; repeatable"
    )
    web.add_argument(
        "--turn", action="append", default=[], metavar="URL", help="TURN server; repeatable"
    )
    web.add_argument(
        "--turn-secret-file",
        type=Path,
        metavar="FILE",
        help="coturn's static-auth-secret, for credentials that expire; made if missing",
    )


def run(args: argparse.Namespace) -> int:
    """Runs until somebody stops it; returns 0.

    Raises:
        VcamError: it could not start.
    """
    from vcam_relight.pipeline.engines.pool import EnginePool
    from vcam_relight.pipeline.lighting.presets import load_presets
    from vcam_relight.vcam.device import check_device, engine_on
    from vcam_relight.vcam.settings.store import Settings, SettingsStore
    from vcam_relight.vcam.stream.capacity import measured_places
    from vcam_relight.vcam.stream.session import SessionManager
    from vcam_relight.web.guests import GuestConfig, GuestServer
    from vcam_relight.web.ice import IceServers
    from vcam_relight.web.invitations import Invitations, read_secret
    from vcam_relight.web.messages import CameraInfo

    check_device(args.device, args.engine)
    presets, _ = load_presets()
    if args.preset not in presets:
        raise UsageError(f"there is no preset {args.preset!r}; `vcam presets` lists them")
    settings = SettingsStore(
        presets, Settings(args.preset, engine=args.engine, relight=presets[args.preset].controls)
    )
    width, height = args.size
    secret = b"" if args.turn_secret_file is None else read_secret(args.turn_secret_file)
    config = GuestConfig(
        args.host, args.port, args.tls_cert, args.tls_key, args.origin,
        IceServers(tuple(args.ice_server), tuple(args.turn), secret), args.announce,
        CameraInfo(width=width, height=height, fps=args.fps),
    )  # fmt: skip
    config.ice_servers.check()
    invitations = Invitations(secret_of_args(args))
    token = None if args.house_token_file is None else read_secret(args.house_token_file).decode()
    with ExitStack() as stack:
        pool = stack.enter_context(EnginePool())

        def make_relighter(engine: str) -> "Relighter":
            from vcam_relight.pipeline.relighter import Relighter

            return Relighter(engine_on(engine, args.device, pool.get), failed=pool.discard)

        places = args.places
        if places is None:
            places = measured_places(lambda: make_relighter(args.engine), args.size, args.fps)
        sessions = SessionManager(make_relighter, places)
        server = GuestServer(config, sessions, settings, invitations, token)
        asyncio.run(_serve(server, args.invite_for, args.people, places))
    return 0


async def _serve(server: "GuestServer", lifetime_s: float, people: int, places: int) -> None:
    from vcam_relight.vcam.cli.app import ending

    stop = asyncio.Event()
    with ending(stop):
        await server.start()
        try:
            print(f"places: {places}", flush=True)
            print(f"join: {server.invite(lifetime_s, people)}", flush=True)
            print(f"house: {server.house_url}", flush=True)
            await stop.wait()
        finally:
            await server.stop()


def add_secret_argument(parser: "argparse._ArgumentGroup | argparse.ArgumentParser") -> None:
    """`--secret-file`."""
    parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="FILE",
        help="what invitations are made with, so that they survive a restart; made if missing "
        "(default: in the configuration folder)",
    )


def secret_of_args(args: argparse.Namespace) -> bytes:
    """Of `--secret-file`; raises InputError where it cannot be used."""
    from vcam_relight.vcam.settings.persistence import config_folder
    from vcam_relight.web.invitations import read_secret

    path: Path | None = args.secret_file
    if path is None:
        path = config_folder() / "invitations.secret"
        path.parent.mkdir(parents=True, exist_ok=True)
    return read_secret(path)


def count_up_to(most: int) -> Callable[[str], int]:
    """A number from 1 on, as argparse's `type`."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no number between 1 and {most}")
        return int(text)

    return parse


def duration(text: str) -> float:
    """Seconds of `30m`, `12h` or `7d`, as argparse's `type`."""
    match = re.fullmatch(r"([0-9]{1,4})([mhd])", text)
    if match is None or match[1].strip("0") == "":
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 30m, 12h or 7d")
    return int(match[1]) * _UNITS[match[2]]


def origin(text: str) -> str:
    """`https://HOST[:PORT]`, as argparse's `type`."""
    if not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?", text, re.IGNORECASE):
        raise argparse.ArgumentTypeError(f"{text!r} is no origin like https://relight.example.org")
    return text.lower()


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address") from error
