"""Which device an engine runs on."""

from pipeline.engine import ENGINES, Engine, load_engine
from vcam.errors import VcamError


def torch_device(wish: str, engine: str) -> str:
    """The torch device for `engine`.

    Args:
        wish: `auto` (CUDA if there is any), `cpu` or `cuda`.
        engine: a name of `pipeline.engine.ENGINES`.

    Raises:
        VcamError: `cuda` is asked for and torch finds none.
    """
    if wish == "cpu" or (wish == "auto" and not ENGINES[engine].uses_torch):
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


def engine_on(name: str, wish: str) -> Engine:
    """Loads the engine called `name` for the device wish `auto`, `cpu` or `cuda`.

    Raises:
        VcamError: it does not load, or there is no such device.
    """
    try:
        return load_engine(name, torch_device(wish, name))
    except (OSError, RuntimeError, ImportError) as error:
        raise VcamError(
            f"the engine {name!r} does not load ({error})", "run `vcam doctor`"
        ) from error
