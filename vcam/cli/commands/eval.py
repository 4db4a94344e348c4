"""`vcam eval`: how well engines relight, against rendered ground truth, baselines and DPR."""

import argparse
import json
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vcam_relight.pipeline.engines.registry import ENGINES
from vcam_relight.vcam.cli.lighting_arguments import DEVICES
from vcam_relight.vcam.core.errors import InputError, VcamError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vcam_relight.pipeline.evaluate.cases import Subject
    from vcam_relight.pipeline.evaluate.evaluation import Evaluation, Progress, Report
    from vcam_relight.pipeline.evaluate.identity import FaceEmbedder
    from vcam_relight.pipeline.evaluate.method import EngineMethod

log = logging.getLogger(__name__)

_SUBSETS = ("quick", "standard", "full")
_COPY_INPUT = "passthrough"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Engines, material and outputs."""
    measured = [name for name in ENGINES if name != _COPY_INPUT]
    parser.add_argument(
        "--engine",
        nargs="+",
        choices=measured,
        metavar="NAME",
        help=f"engines to measure: {', '.join(measured)} (default: all that load)",
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where they run")
    parser.add_argument(
        "--subset", choices=_SUBSETS, default="standard", help="how much is measured (standard)"
    )
    parser.add_argument(
        "--truth", type=Path, metavar="DIR", help="rendered ground truth (default: the project's)"
    )
    parser.add_argument(
        "--dpr",
        type=Path,
        metavar="DIR",
        default=_folder_of("VCAM_DPR"),
        help="folder of DPR's trained_model_03.t7, to compare with (default: $VCAM_DPR)",
    )
    parser.add_argument(
        "--media",
        type=Path,
        metavar="DIR",
        default=_folder_of("VCAM_MEDIA"),
        help="folder with webcam/, seed/video/, portraits/ (default: $VCAM_MEDIA)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="for report.json, report.md, contact sheets",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="for the tables")
    parser.add_argument("--json", action="store_true", help="print one JSON object, no tables")


def run(args: argparse.Namespace) -> int:
    """Measures, prints the tables and returns 0.

    Raises:
        VcamError: a given folder is missing or damaged, or an engine does not load.
    """
    from tqdm import tqdm

    from vcam_relight.pipeline.evaluate.evaluation import Evaluation
    from vcam_relight.pipeline.evaluate.report import markdown
    from vcam_relight.vcam.core.atomic_file import replacing
    from vcam_relight.vcam.sources.demo import demo_clip

    _check_folders(args)
    subjects = _subjects(args.truth)
    methods, notes = _methods(args)
    embedder, identity = _embedder()
    evaluation = Evaluation(methods, args.subset, embedder, identity)
    terminal = sys.stderr.isatty()
    with tqdm(
        desc="measuring",
        unit=" steps",
        file=sys.stderr,
        ascii=not terminal,
        mininterval=0.2 if terminal else 10.0,
        dynamic_ncols=terminal,
    ) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = _measured(evaluation, subjects, args.media, demo_clip(), progress)
    report.notes[:0] = notes
    text = markdown(report, _command_line(args))
    found = json.dumps(report.to_json(), ensure_ascii=False) + "\n"
    if args.out:
        for name, content in (("report.json", found), ("report.md", text)):
            with replacing(args.out / name) as part:
                part.write_text(content, encoding="utf-8")
        for name, contact_sheet in evaluation.contact_sheets.items():
            with replacing(args.out / f"{name}.jpg") as part:
                contact_sheet.write(part)
    if args.markdown:
        with replacing(args.markdown) as part:
            part.write_text(text, encoding="utf-8")
    sys.stdout.write(found if args.json else text)
    return 0


def _folder_of(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _check_folders(args: argparse.Namespace) -> None:
    """Checks what is given before minutes are spent, and makes the output folder."""
    for option in ("truth", "dpr", "media"):
        given = getattr(args, option)
        if given is not None and not given.is_dir():
            raise InputError(f"--{option}: {given} is not a folder", "check the path")
    if args.markdown and not args.markdown.parent.is_dir():
        raise InputError(f"the folder {args.markdown.parent} does not exist", "create it first")
    if args.out:
        try:
            args.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{args.out} cannot be made a folder ({error.strerror})", "choose another place"
            ) from error


def _subjects(folder: Path | None) -> "Sequence[Subject]":
    from vcam_relight.pipeline.evaluate.ground_truth import DATA, load_subjects

    folder = folder or DATA
    try:
        subjects = load_subjects(folder)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} gives no rendered ground truth ({error})",
            "see --truth in `vcam eval --help`",
        ) from error
    if not subjects:
        raise InputError(
            f"{folder} holds no rendered ground truth", "see --truth in `vcam eval --help`"
        )
    return subjects


def _methods(args: argparse.Namespace) -> "tuple[list[EngineMethod], list[str]]":
    from vcam_relight.pipeline.evaluate.method import EngineMethod, copy_input_baseline
    from vcam_relight.vcam.device import check_device, engine_on

    methods = [copy_input_baseline()]
    notes = []
    if args.dpr:
        try:
            from vcam_relight.pipeline.evaluate.dpr import DprEngine

            methods.append(EngineMethod(DprEngine(args.dpr)))
        except ImportError as error:
            raise InputError(
                "--dpr: DPR's network is a part of the engine paper, which is not there"
            ) from error
        except (OSError, ValueError) as error:
            raise InputError(f"--dpr: {error}", "give the folder of its weights") from error
    else:
        notes.append("DPR was not measured: no folder of its weights was given (--dpr).")
    for name in dict.fromkeys(args.engine or [name for name in ENGINES if name != _COPY_INPUT]):
        check_device(args.device, name)
        try:
            methods.append(EngineMethod(engine_on(name, args.device)))
        except VcamError as error:
            if args.engine:
                raise
            log.warning("%s", error)
            notes.append(f"The engine {name} was not measured: it did not load.")
    return methods, notes


def _embedder() -> "tuple[FaceEmbedder | None, str]":
    from vcam_relight.pipeline.evaluate.identity import INSTALL, NAME, FaceEmbedder

    try:
        return FaceEmbedder(), NAME
    except ImportError:
        return None, f"not measured ({INSTALL})"


def _measured(
    evaluation: "Evaluation",
    subjects: "Sequence[Subject]",
    media: Path | None,
    demo: Path,
    progress: "Progress",
) -> "Report":
    try:
        return evaluation.run(subjects, media, demo, progress)
    except OSError as error:
        raise InputError(f"{error}", "check the media folder") from error


def _command_line(args: argparse.Namespace) -> str:
    """The command line that makes the same tables again.

    Folders go by the names of their options, so that the text is the same wherever they lie.
    """
    words = ["vcam", "eval", "--subset", args.subset]
    if args.engine:
        words += ["--engine", *args.engine]
    for option in ("truth", "dpr", "media"):
        if getattr(args, option):
            words += [f"--{option}", option.upper()]
    if args.markdown:
        words += ["--markdown", args.markdown.name]
    return shlex.join(words)
