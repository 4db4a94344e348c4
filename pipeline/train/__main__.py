"""Trains the tri-plane network: python -m vcam_relight.pipeline.train COMMAND --help."""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NoReturn

import torch
from tqdm import tqdm

from vcam_relight.pipeline.engines.triplane.network.checkpoint import SHIPPED
from vcam_relight.pipeline.lightstage.assets.asset_pack import default_pack_path
from vcam_relight.pipeline.train import light_level, smoke_test
from vcam_relight.pipeline.train.captures import CaptureFolder
from vcam_relight.pipeline.train.export import export
from vcam_relight.pipeline.train.fit import Trainer, TrainingPlan
from vcam_relight.pipeline.train.refine import RefinePlan, RefinerTrainer
from vcam_relight.pipeline.train.unlabelled import prepare_unlabelled_set

_ONE_THREAD = {
    name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
} | {"LP_NUM_THREADS": "0"}
"""For a worker process, which is one thread's worth of work: numpy's, and Mesa's rasteriser's."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line; `--help` has the rest."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.smoke_test is None and options.command is None:
        parser.error("say what to do: captures, unlabelled, fit, export, level, or --smoke-test")
    run: Callable[[argparse.Namespace], None] = (
        _smoke_test if options.command is None else options.run
    )
    try:
        run(options)
    except (OSError, ValueError, BrokenProcessPool) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m vcam_relight.pipeline.train", description=__doc__)
    parser.add_argument(
        "--smoke-test", nargs="?", type=Path, const=default_pack_path(), metavar="PACK",
        help="a round trip through everything in a minute, to see that it works",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    command = commands.add_parser("captures", help="render people of the light stage to train on")
    command.set_defaults(run=_captures)
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--pack", type=Path, default=default_pack_path(), metavar="FILE",
        help="the light stage's assets (default: %(default)s)",
    )  # fmt: skip
    command.add_argument("--count", type=_natural, required=True, help="captures in the folder")
    command.add_argument("--seed", type=_whole, default=0, help="who, and how (default: 0)")
    command.add_argument(
        "--split", choices=("train", "test"), default="train",
        help="people and environments of the two are disjoint (default: train)",
    )  # fmt: skip
    command.add_argument(
        "--workers", type=_natural, default=os.cpu_count() or 1,
        help="processes (default: one for each core, %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--backdrops", type=Path, metavar="DIR", help="images that serve as backdrops, too"
    )

    command = commands.add_parser("unlabelled", help="crop unlabelled images of faces")
    command.set_defaults(run=_unlabelled)
    command.add_argument("--images", type=Path, required=True, metavar="DIR")
    command.add_argument("--out", type=Path, required=True, metavar="FILE")

    command = commands.add_parser("fit", help="train, or go on training")
    command.set_defaults(run=_fit)
    command.add_argument("--captures", type=Path, required=True, metavar="DIR")
    command.add_argument("--test", type=Path, required=True, metavar="DIR",
                         help="captures of the split `test`")  # fmt: skip
    command.add_argument("--unlabelled", type=Path, metavar="FILE", help="what `unlabelled` wrote")
    command.add_argument("--out", type=Path, required=True, metavar="DIR",
                         help="the run's folder: what is there is gone on with")  # fmt: skip
    command.add_argument("--steps", type=_natural, required=True,
                         help="over which the learning rate falls to nothing")  # fmt: skip
    command.add_argument("--weights", type=Path, metavar="FILE",
                         help="the network to begin with (default: a new one)")  # fmt: skip
    command.add_argument("--rate", type=float, default=1e-3, help="default: %(default)s")
    command.add_argument("--batch", type=_batch, default=96,
                         help="single frames of a step (default: %(default)s)")  # fmt: skip
    command.add_argument("--seed", type=_whole, default=0, help="default: 0")
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    command.add_argument("--minutes", type=float, default=float("inf"),
                         help="stop after that; the next call goes on")  # fmt: skip

    command = commands.add_parser("level", help="fit what tells how much light there is")
    command.set_defaults(run=_level)
    command.add_argument("--images", type=Path, required=True, metavar="DIR",
                         help="well exposed images of one face each")  # fmt: skip
    command.add_argument("--captures", type=Path, metavar="DIR", help="rendered people, too")
    command.add_argument("--rooms", type=_natural, default=24,
                         help="for each image; for captures a third (%(default)s)")  # fmt: skip
    command.add_argument("--seed", type=_whole, default=0, help="default: 0")
    command.add_argument("--out", type=Path, default=Path("checkpoints/light_level.safetensors"),
                         metavar="FILE", help="default: %(default)s")  # fmt: skip

    command = commands.add_parser("refine", help="train the refiner on what the network says")
    command.set_defaults(run=_refine)
    command.add_argument("--captures", type=Path, required=True, metavar="DIR")
    command.add_argument("--test", type=Path, required=True, metavar="DIR",
                         help="captures of the split `test`")  # fmt: skip
    command.add_argument("--unlabelled", type=Path, metavar="FILE", help="what `unlabelled` wrote")
    command.add_argument("--out", type=Path, required=True, metavar="DIR",
                         help="the run's folder: what is there is gone on with")  # fmt: skip
    command.add_argument("--weights", type=Path, default=SHIPPED, metavar="FILE",
                         help="the network that is refined (default: %(default)s)")  # fmt: skip
    command.add_argument("--images", type=_natural, default=3840,
                         help="that are drawn, 1 MB each (default: %(default)s)")  # fmt: skip
    command.add_argument("--steps", type=_natural, default=3000,
                         help="over which the learning rate falls to nothing")  # fmt: skip
    command.add_argument("--seed", type=_whole, default=0, help="default: 0")
    command.add_argument("--minutes", type=float, default=float("inf"),
                         help="stop after that; the next call goes on")  # fmt: skip

    command = commands.add_parser("export", help="write the file that the program ships")
    command.set_defaults(run=_export)
    command.add_argument("--run", dest="folder", type=Path, required=True, metavar="DIR")
    command.add_argument("--out", type=Path, default=Path("checkpoints/triplane.safetensors"),
                         metavar="FILE", help="default: %(default)s")  # fmt: skip
    return parser


def _captures(options: argparse.Namespace) -> None:
    os.environ.update(_ONE_THREAD)  # the workers inherit it
    folder = CaptureFolder(
        options.out, options.pack, options.seed, options.split, options.backdrops
    )
    for _ in tqdm(folder.fill(range(options.count), options.workers), total=options.count):
        pass


def _unlabelled(options: argparse.Namespace) -> None:
    print(f"{prepare_unlabelled_set(options.images, options.out)} faces in {options.out}")


def _fit(options: argparse.Namespace) -> None:
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("PyTorch finds no CUDA device here; `--device cpu` trains without one")
    cuda = options.device != "cpu" and torch.cuda.is_available()
    plan = TrainingPlan(
        options.captures,
        options.test,
        options.unlabelled,
        options.out,
        options.steps,
        options.weights,
        options.rate,
        options.batch,
        options.seed,
        device=torch.device("cuda" if cuda else "cpu"),
    )
    end = time.monotonic() + 60 * options.minutes
    try:
        trainer = Trainer(plan)
    except RuntimeError as error:  # other weights, or more frames than the device has memory for
        raise ValueError(str(error)) from error
    trainer.run(stop=lambda: time.monotonic() > end)


def _level(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)  # so that sums are taken in the same order everywhere
    samples = list(
        tqdm(light_level.make_samples(
            light_level.image_files(options.images), options.rooms, options.seed
        ))
    )  # fmt: skip
    if options.captures:
        rendered = light_level.capture_images(options.captures, options.seed)
        rooms = max(1, options.rooms // 3)
        samples += tqdm(light_level.make_samples(rendered, rooms, options.seed + 1))
    if not samples:
        raise ValueError(f"no face was found in the images of {options.images}")
    tensors = light_level.fit_light_level(samples, options.seed)
    print(f"{light_level.write_light_level(tensors, options.out)}  {options.out}")


def _refine(options: argparse.Namespace) -> None:
    plan = RefinePlan(
        options.captures,
        options.test,
        options.unlabelled,
        options.weights,
        options.out,
        options.images,
        options.steps,
        seed=options.seed,
    )
    end = time.monotonic() + 60 * options.minutes
    try:
        trainer = RefinerTrainer(plan)
    except RuntimeError as error:  # other weights
        raise ValueError(str(error)) from error
    print(f"{trainer.run(stop=lambda: time.monotonic() > end)}  {plan.refiner}")


def _export(options: argparse.Namespace) -> None:
    digest = export(options.folder, options.out)
    print(f"{digest}  {options.out}")


def _smoke_test(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        smoke_test.smoke_test(options.smoke_test, Path(folder))


def _natural(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _batch(text: str) -> int:
    number = int(text)
    if number < 4:
        raise argparse.ArgumentTypeError(f"{text} is not 4 or more")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
