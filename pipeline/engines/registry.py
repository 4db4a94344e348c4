"""Every engine by name: what is known of it without loading it, and how it is made."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from vcam_relight.pipeline.controls import OPTIONAL_CONTROLS
from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.engines.passthrough import PassthroughEngine


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An engine's abilities, known without loading it."""

    make: Callable[[str], Engine]
    """Given a device: `cpu` or `cuda`. Imports lazily, so that an engine whose parts are missing
    fails alone."""
    cuda: Literal["", "kernels", "torch"] = ""
    """What runs it on a card: kernels of our own, torch, or nothing: then the device is `cpu`."""
    supports: frozenset[str] = frozenset()
    """Which of `OPTIONAL_CONTROLS` it supports; every engine supports the others."""

    @property
    def unsupported_controls(self) -> frozenset[str]:
        """Controls that change nothing."""
        return OPTIONAL_CONTROLS - self.supports


def _geometry(device: str) -> Engine:
    from vcam_relight.pipeline.engines.geometry.engine import GeometryEngine

    return GeometryEngine()


def _paper(device: str) -> Engine:
    from vcam_relight.pipeline.engines.paper.engine import PaperEngine

    return PaperEngine.load(device)


def _triplane(device: str) -> Engine:
    from vcam_relight.pipeline.cuda.choose import card_of
    from vcam_relight.pipeline.engines.triplane.engine import TriplaneEngine
    from vcam_relight.pipeline.engines.triplane.network.checkpoint import (
        checkpoint_path,
        load_network,
    )
    from vcam_relight.pipeline.engines.triplane.network.refiner import shipped_refiner

    network, refiner = load_network(checkpoint_path()), shipped_refiner()
    return TriplaneEngine(network, refiner, card_of(device))


_KNOWN: dict[str, EngineInfo] = {
    "triplane": EngineInfo(_triplane, cuda="kernels", supports=OPTIONAL_CONTROLS),
    "geometry": EngineInfo(_geometry),
    "paper": EngineInfo(_paper, cuda="torch", supports=frozenset({"yaw", "pitch"})),
    "passthrough": EngineInfo(lambda device: PassthroughEngine()),
}

ENGINES: dict[str, EngineInfo] = {
    name: info for name, info in _KNOWN.items() if find_spec(f"{__package__}.{name}")
}
"""Every engine by name; command line, panel and bench find them here. The folder of one may be
deleted: it is then left out, and the others run."""

DEFAULT_ENGINE = next(iter(ENGINES))
"""The first one that is there."""


def load_engine(name: str, device: str = "cpu") -> Engine:
    """Makes the engine called `name`.

    Raises:
        KeyError: there is no such engine.
        OSError, RuntimeError: its files are missing or do not load.
    """
    return ENGINES[name].make(device)
