"""The options that say which light, how much of it, and which engine makes it."""

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from vcam_relight.pipeline.controls import CONTROLS, Control, RelightSettings
from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.engines.registry import DEFAULT_ENGINE, ENGINES
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.lighting.sh import load_sh
from vcam_relight.vcam.core.errors import InputError, UsageError
from vcam_relight.vcam.device import check_device, engine_on
from vcam_relight.vcam.settings.persistence import presets_folder
from vcam_relight.vcam.settings.store import check_supported

DEFAULT_PRESET = "soft-front"


def add_lighting_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them to the parser of a command that works on files."""
    light = parser.add_mutually_exclusive_group()
    light.add_argument(
        "--preset", metavar="NAME", help=f"a named light (default: {DEFAULT_PRESET}); off: none"
    )
    light.add_argument(
        "--sh", type=Path, metavar="FILE", help=".npy or .txt of 9 or 9 x 3 SH coefficients"
    )
    light.add_argument(
        "--hdri", type=Path, metavar="FILE", help="an equirectangular environment map"
    )
    light.add_argument(
        "--like", type=Path, metavar="PHOTO", help="the light on the face in this photo"
    )
    parser.add_argument(
        "--rotate",
        type=_degrees,
        metavar="DEG",
        help="turn the --hdri so that its light moves to the right of the picture",
    )
    add_control_arguments(parser)
    add_engine_arguments(parser)


def add_control_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds one option for each of `CONTROLS`; None means: not given."""
    for title, controls in groupby(CONTROLS.items(), lambda item: item[1].group):
        group = parser.add_argument_group(f"{title.lower()} controls")
        for name, control in controls:
            group.add_argument(
                f"--{name}",
                type=_in_range(control),
                metavar=f"{control.low:g}..{control.high:g}",
                help=control.help.replace("%", "%%"),
            )


DEVICES = ("auto", "cpu", "cuda")
"""What `--device` may be."""


def add_engine_arguments(
    parser: argparse.ArgumentParser, *, saved: bool = False, devices: tuple[str, ...] = DEVICES
) -> None:
    """Adds `--engine` and `--device`; where the engine is `saved`, None means: none was given."""
    parser.add_argument(
        "--engine",
        choices=list(ENGINES),
        default=None if saved else DEFAULT_ENGINE,
        help=f"what makes the light (default: {'as saved, else ' * saved}{DEFAULT_ENGINE})",
    )
    parser.add_argument(
        "--device",
        choices=devices,
        default="auto",
        help="where neural engines run (default: an NVIDIA GPU if there is one)",
    )


def controls_of_args(args: argparse.Namespace) -> dict[str, float]:
    """The controls that were given, by name."""
    return {name: value for name in CONTROLS if (value := getattr(args, name)) is not None}


def lighting_of_args(args: argparse.Namespace) -> tuple[Lighting, RelightSettings]:
    """The light and the controls asked for; a preset's own controls give way to options.

    Raises:
        InputError: a file is unusable, or a control was given that the engine does not support.
        UsageError: an unknown preset, or options that do not go together.
    """
    if args.rotate is not None and args.hdri is None:
        raise UsageError("--rotate goes with --hdri only")
    lighting, settings = _lighting(args)
    given = controls_of_args(args)
    check_supported(args.engine, given, settings)
    return lighting, replace(settings, **given)


def light_files(args: argparse.Namespace) -> list[Path]:
    """The files that the light is read from."""
    return [path for path in (args.sh, args.hdri, args.like) if path is not None]


def engine_of_args(args: argparse.Namespace) -> Engine:
    """Loads the engine.

    Raises:
        VcamError: it does not load.
    """
    check_device(args.device, args.engine)
    return engine_on(args.engine, args.device)


def expects_change(engine: Engine, lighting: Lighting, settings: RelightSettings) -> bool:
    """Whether an image that comes back as it was means that the engine found no face in it."""
    return engine.needs_faces and lighting.mode != "off" and settings.strength > 0


def _lighting(args: argparse.Namespace) -> tuple[Lighting, RelightSettings]:
    if args.sh is not None:
        return _of_file(args.sh, lambda path: Lighting.from_sh(load_sh(path))), RelightSettings()
    if args.hdri is not None:
        return _of_file(args.hdri, _hdri(args.rotate or 0.0)), RelightSettings()
    if args.like is not None:
        return _like(args.like), RelightSettings()
    presets, problems = load_presets(presets_folder())
    name = args.preset or DEFAULT_PRESET
    if name not in presets:
        wrong = "".join(f" ({problem})" for problem in problems)
        raise UsageError(
            f"there is no preset called {name!r}{wrong}", f"choose one of {', '.join(presets)}"
        )
    return presets[name].lighting(), presets[name].controls


def _of_file(path: Path, read: Callable[[Path], Lighting]) -> Lighting:
    if not path.is_file():
        raise InputError(f"{path} is not a file", "check the path")
    try:
        return read(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} gives no light ({error})", "use another file") from error


def _hdri(rotate: float) -> Callable[[Path], Lighting]:
    def read(path: Path) -> Lighting:
        from vcam_relight.pipeline.lighting.hdri import load_hdri
        from vcam_relight.pipeline.lighting.light_map import small_map

        return Lighting.of_map(small_map(load_hdri(path), rotate))

    return read


def _like(path: Path) -> Lighting:
    from vcam_relight.pipeline.lighting.reference import lighting_of
    from vcam_relight.vcam.media.image import read_image

    try:
        return lighting_of(read_image(path).image)
    except ValueError as error:
        raise InputError(
            f"{path} gives no light ({error})", "use a photo that shows a face"
        ) from error


def _degrees(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


_degrees.__name__ = "number of degrees"  # argparse names the type in its message


def _in_range(control: Control) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not control.low <= value <= control.high:
            raise argparse.ArgumentTypeError(
                f"must be between {control.low:g} and {control.high:g}, not {text}"
            )
        return value

    return parse
