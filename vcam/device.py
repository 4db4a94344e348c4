"""Which device an engine runs on."""

import logging
from collections.abc import Callable

from vcam_relight.pipeline.engines.base import Engine
from vcam_relight.pipeline.engines.registry import ENGINES, load_engine
from vcam_relight.vcam.core.errors import VcamError

log = logging.getLogger(__name__)


def torch_device(wish: str, engine: str) -> str:
    """The torch device for `engine`.

    Args:
        wish: `auto` (CUDA if there is any), `cpu` or `cuda`.
        engine: a name of `pipeline.engines.registry.ENGINES`; one without torch runs on the CPU.

    Raises:
        VcamError: `cuda` is asked for and torch finds none.
    """
    if wish == "cpu" or not ENGINES[engine].uses_torch:
        return "cpu"
    import torch  # takes seconds, so only where an engine needs it

    if torch.cuda.is_available():
        return "cuda"
    if wish == "auto":
        return "cpu"
    built = "its CUDA build" if torch.version.cuda is None else "the NVIDIA driver"
    raise VcamError(
        "torch finds no CUDA device",
        f"use --device cpu, or install {built} (see pytorch.org/get-started)",
    )


def check_device(wish: str, engine: str) -> None:
    """For the start of a command: tells of a device wish that `engine` has no use for.

    Raises:
        VcamError: as of `torch_device`.
    """
    if wish != "cuda":
        return  # nothing to tell, and torch takes seconds
    if not ENGINES[engine].uses_torch:
        log.info("the engine %s runs on the CPU: --device cuda changes nothing", engine)
    torch_device(wish, engine)


def engine_on(name: str, wish: str, load: Callable[[str, str], Engine] = load_engine) -> Engine:
    """Loads the engine called `name` on the device that is wished for.

    A GPU that nobody asked for and that fails is left alone.

    Args:
        name: of `pipeline.engines.registry.ENGINES`.
        wish: as of `torch_device`.
        load: gives an engine of a name and a torch device; `EnginePool.get` shares it.

    Raises:
        VcamError: it does not load, or there is no such device.
    """
    try:
        device = torch_device(wish, name)
        try:
            return load(name, device)
        except RuntimeError as error:
            if device == "cpu" or wish != "auto":
                raise
            engine = load(name, "cpu")
            log.debug("loading on %s", device, exc_info=error)
            log.warning("the engine %s runs on the CPU: CUDA fails (%s)", name, _line(error))
            return engine
    except (OSError, RuntimeError, ImportError) as error:
        another = "--device cpu or " if wish == "cuda" else ""
        raise VcamError(
            f"the engine {name!r} does not load ({_line(error)})",
            f"run `vcam doctor`, or use {another}another --engine",
        ) from error


def _line(error: Exception) -> str:
    """The first one of what an error says: CUDA's go on with advice for programmers."""
    return str(error).partition("\n")[0]
