"""`vcam run`: live, from a source to the panel, the virtual camera and a recording."""

import argparse
import asyncio
import logging
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcam_relight.vcam.cli.backdrop_arguments import add_backdrop_arguments, backdrop_changes
from vcam_relight.vcam.cli.commands import frame_rate, port, seconds, size
from vcam_relight.vcam.cli.lighting_arguments import (
    DEFAULT_PRESET,
    add_control_arguments,
    add_engine_arguments,
    controls_of_args,
)
from vcam_relight.vcam.core.errors import InputError, UsageError, VcamError
from vcam_relight.vcam.core.frame import VideoMode
from vcam_relight.vcam.sinks.registry import AUTO, open_sink, sink_forms
from vcam_relight.vcam.sources.registry import open_source, source_forms

if TYPE_CHECKING:
    from vcam_relight.pipeline.relighter import Relighter
    from vcam_relight.vcam.cli.app import Live
    from vcam_relight.vcam.settings.store import SettingsStore
    from vcam_relight.vcam.stream.loop import FrameLoop

log = logging.getLogger(__name__)

IDLE_TIMEOUT_S = 2.5
"""A webcam that nobody watches is released, so that its LED turns off. Not at once: programs that
try out their cameras come back soon, and opening one takes up to three seconds."""

MOST_PEERS = 64
"""No machine relights more streams; a larger number is a slip."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the live program."""
    parser.add_argument(
        "--source",
        metavar="|".join(source_forms()),
        help="where the picture comes from (default: the first camera that works, else demo)",
    )
    parser.add_argument(
        "--sink",
        default=AUTO,
        metavar="|".join(sink_forms()),
        help="the virtual camera to write to (default: auto, if one can be opened)",
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="also write a video file")
    parser.add_argument(
        "--size",
        type=size,
        default=(1280, 720),
        metavar="WxH",
        help="of the camera and the virtual camera, in pixels (1280x720)",
    )
    parser.add_argument(
        "--fps", type=frame_rate, default=30.0, metavar="N", help="frames per second (30)"
    )
    parser.add_argument(
        "--always-on", action="store_true", help="keep the camera on also while nobody looks"
    )
    parser.add_argument(
        "--quality",
        choices=("auto", "full"),
        default="auto",
        help="auto: a coarser light while the machine is busy, hot or on battery (the panel says "
        "when); full: never",
    )
    parser.add_argument("--preset", metavar="NAME", help="the light; `vcam presets` lists them")
    add_control_arguments(parser)
    add_backdrop_arguments(parser)
    add_engine_arguments(parser, saved=True)
    parser.add_argument(
        "--mirror", action=argparse.BooleanOptionalAction, help="mirror the picture"
    )
    parser.add_argument("--seconds", type=seconds, metavar="N", help="stop after so many seconds")
    web = parser.add_argument_group("panel")
    web.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    web.add_argument("--port", type=port, default=8088, help="port to listen on (8088)")
    web.add_argument("--no-browser", action="store_true", help="do not open the panel")
    web.add_argument(
        "--osc", type=port, metavar="PORT", help="hear OSC from this machine's programs (UDP)"
    )
    web.add_argument("--tls-cert", type=Path, metavar="FILE", help="PEM certificate, for HTTPS")
    web.add_argument("--tls-key", type=Path, metavar="FILE", help="PEM private key")
    web.add_argument(
        "--max-peers",
        type=_count,
        default=2,
        metavar="N",
        help="how many browsers may send their cameras at once, each a stream of its own (2)",
    )
    web.add_argument(
        "--ice-server",
        action="append",
        type=_ice_server,
        default=[],
        metavar="URL",
        help="STUN server for browsers elsewhere; none by default; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    """Runs until the source ends, the time is over or somebody stops it; returns 0.

    Raises:
        VcamError: it could not start, or something was still wrong at the end.
    """
    from vcam_relight.vcam.cli.app import serve
    from vcam_relight.vcam.device import check_device
    from vcam_relight.vcam.settings.persistence import save_changes

    store, saved = _settings(args)
    before = store.current.settings
    check_device(args.device, before.engine)
    with ExitStack() as stack:
        live = _build(args, store, stack)
        elapsed = asyncio.run(serve(live))
        save_changes(saved, before, store.current.settings)
    if args.seconds is not None:
        print(_summary(live.main.loop, elapsed), flush=True)
    if live.main.loop.problem:
        raise VcamError(live.main.loop.problem)
    return 0


def _build(args: argparse.Namespace, store: "SettingsStore", stack: ExitStack) -> "Live":
    """Opens what was asked for; `stack` closes it again, also when something later fails."""
    from vcam_relight.pipeline.engines.pool import EnginePool
    from vcam_relight.vcam.cli.app import Live
    from vcam_relight.vcam.core.control_path import control_path
    from vcam_relight.vcam.settings.persistence import presets_folder
    from vcam_relight.vcam.sinks import Sink
    from vcam_relight.vcam.sinks.recorder import RecorderSink
    from vcam_relight.vcam.sources.peer import PeerSource
    from vcam_relight.vcam.stream.session import SessionManager
    from vcam_relight.web.ice import IceServers
    from vcam_relight.web.panel.preview import PreviewSink
    from vcam_relight.web.panel.thumbnails import ThumbnailSink
    from vcam_relight.web.server import WebConfig, WebServer
    from vcam_relight.web.webrtc.peer import PeerPort

    pool = stack.enter_context(EnginePool())

    def make_relighter(engine: str) -> "Relighter":
        from vcam_relight.pipeline.relighter import Relighter
        from vcam_relight.vcam.device import engine_on

        return Relighter(engine_on(engine, args.device, pool.get), failed=pool.discard)

    mode = VideoMode(args.size, args.fps)
    source = open_source(args.source, mode)
    stack.callback(source.close)
    preview, thumbnails = PreviewSink(), ThumbnailSink(store)
    sinks: list[Sink] = [preview, thumbnails]
    port = PeerPort(source) if isinstance(source, PeerSource) else None
    if port:
        sinks.append(port.sink)
    if args.record is not None:
        recorder = RecorderSink(args.record, args.fps)
        stack.callback(recorder.close)
        recorder.open()  # tried out, so that what cannot be written fails before anything runs
        sinks.append(recorder)
    chosen = open_sink(args.sink, mode, args.always_on)
    if chosen is not None:
        stack.callback(chosen.close)
        sinks.append(chosen)
    sessions = SessionManager(
        make_relighter, max_sessions=1 + args.max_peers, governed=args.quality == "auto"
    )
    main = sessions.create(source, store, sinks, None if args.always_on else IDLE_TIMEOUT_S)
    ice_servers = IceServers(tuple(args.ice_server))
    config = WebConfig(
        args.host,
        args.port,
        args.tls_cert,
        args.tls_key,
        ice_servers,
        control_path(),
        presets_folder(),
        osc=args.osc,
    )
    return Live(
        sessions,
        main,
        lambda: WebServer(config, sessions, main, preview, thumbnails, port, mode),
        args.seconds,
        browser=not args.no_browser,
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MOST_PEERS):
        raise argparse.ArgumentTypeError(f"{text!r} is no number between 0 and {MOST_PEERS}")
    return int(text)


def _ice_server(text: str) -> str:
    if not re.fullmatch(r"stun:[^\s/]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no URL like stun:stun.example.org:3478")
    return text


def _summary(loop: "FrameLoop", elapsed: float) -> str:
    stats = loop.status().stats
    relit = stats["frames_out"]
    drops = sum(stats["drops"].values())
    latency = stats["latency_ms"]
    line = f"{elapsed:.1f} s: {stats['frames_in']} frames in"
    if stats["frames_in"] and not relit and not loop.problem:
        return line + ", idle: nobody watched"
    line += f", {relit} out"
    line += f" ({relit / max(elapsed, 1e-6):.1f} fps), {drops} dropped"
    return line + (f", latency {latency['p50']:.0f} ms (median)" if latency else "")


def _settings(args: argparse.Namespace) -> "tuple[SettingsStore, dict[str, Any]]":
    """What was saved, then what the command line says; and what was saved alone."""
    from vcam_relight.pipeline.lighting.presets import load_presets
    from vcam_relight.vcam.settings.persistence import presets_folder, restore
    from vcam_relight.vcam.settings.store import Settings, SettingsStore
    from vcam_relight.vcam.stream.backdrop_picture import keep_picture, kept_picture

    presets, problems = load_presets(presets_folder())
    for problem in problems:
        log.warning("left out: %s", problem)
    store = SettingsStore(
        presets, Settings(DEFAULT_PRESET, relight=presets[DEFAULT_PRESET].controls)
    )
    saved = restore(store)
    wishes = {"preset": args.preset, "engine": args.engine, "mirror": args.mirror}
    given = {name: wish for name, wish in wishes.items() if wish is not None}
    try:
        backdrop, picture = backdrop_changes(args)
        store.show_picture(keep_picture(picture) if picture else kept_picture())
        store.change(given | backdrop | controls_of_args(args))
    except InputError as error:
        raise UsageError(error.what, error.hint) from None
    return store, saved
