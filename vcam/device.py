"""Which device an engine runs on."""

import logging
from collections.abc import Callable

from vcam_relight.pipeline.cuda.choose import card_of
from vcam_relight.pipeline.cuda.driver import CudaError, FailedCardError, NoCardError
from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.engines.registry import ENGINES, load_engine
from vcam_relight.vcam.core.errors import VcamError

log = logging.getLogger(__name__)

_CPU = "CPU"


def check_device(wish: str, engine: str) -> None:
    """For the start of a command: tells of a device wish that `engine` has no use for.

    Raises:
        VcamError: `cuda` is asked for, and it cannot be used.
    """
    if wish != "cuda":
        return  # nothing to tell, and torch takes seconds
    if not ENGINES[engine].cuda:
        log.info("the engine %s runs on the CPU: --device cuda changes nothing", engine)
        return
    try:
        _check_cuda(engine, "cuda")
    except CudaError as error:
        raise VcamError(_sentence(error), "use --device cpu, and see `vcam doctor`") from error


def engine_on(name: str, wish: str, load: Callable[[str, str], Engine] = load_engine) -> Engine:
    """Loads the engine called `name` on the device that is wished for.

    A card that nobody asked for and that cannot be used is left alone, and so is one that has
    failed since: the CPU goes on.

    Args:
        name: of `pipeline.engines.registry.ENGINES`.
        wish: `auto` (CUDA if there is any), `cpu`, `cuda`, or `emulated` for a card that the CPU
            emulates.
        load: gives an engine of a name and a device; `EnginePool.get` shares it.

    Raises:
        VcamError: it does not load, or there is no such device.
    """
    try:
        if wish == "cpu" or not ENGINES[name].cuda:
            return load(name, "cpu")
        device = "emulated" if wish == "emulated" else "cuda"
        try:
            _check_cuda(name, device)
            return load(name, device)
        except RuntimeError as error:
            if wish != "auto" and not isinstance(error, FailedCardError):
                raise
            engine = load(name, "cpu")
            if not isinstance(error, NoCardError):
                log.debug("loading on CUDA", exc_info=error)
                engine.runs_on = f"{_CPU}, as CUDA fails ({_line(error)})"
                log.warning("the engine %s runs on the %s", name, engine.runs_on)
            return engine
    except (OSError, RuntimeError, ImportError) as error:
        another = "--device cpu or " if wish == "cuda" else ""
        raise VcamError(
            f"the engine {name!r} does not load ({_line(error)})",
            f"run `vcam doctor`, or use {another}another --engine",
        ) from error


def _check_cuda(engine: str, device: str) -> None:
    """Raises CudaError where there is no CUDA of the kind that an engine needs."""
    if ENGINES[engine].cuda == "kernels":
        card_of(device)
        return
    import torch  # takes seconds, so only where an engine needs it

    if not torch.cuda.is_available():
        raise NoCardError("torch finds no CUDA device")


def _sentence(error: Exception) -> str:
    return f"there is no CUDA to use ({_line(error)})"


def _line(error: Exception) -> str:
    """The first one of what an error says: CUDA's go on with advice for programmers."""
    return str(error).partition("\n")[0]
