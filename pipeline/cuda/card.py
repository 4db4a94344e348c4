"""The card of this machine, with kernels that NVRTC compiles once a machine."""

from functools import cache
from pathlib import Path

from vcam_relight.pipeline.cuda.device import Card
from vcam_relight.pipeline.cuda.driver import CudaError, installed_driver
from vcam_relight.pipeline.cuda.nvrtc import LEAST_CAPABILITY, Nvrtc, installed_nvrtc
from vcam_relight.pipeline.cuda.sources import KernelSource, fingerprint, headers
from vcam_relight.pipeline.native.build import BUILD_ERRORS, load_library


@cache
def installed_card() -> Card:
    """The first card of this machine.

    Raises:
        NoCardError: there is none.
        CudaError: it is older than the kernels can be, or there is no NVRTC.
    """
    driver = installed_driver()
    nvrtc = installed_nvrtc(driver.version[0])

    def compiler(source: KernelSource, capability: tuple[int, int]) -> bytes:
        return _compiled(nvrtc, source, capability)

    card = Card(driver, compiler)
    if card.capability < LEAST_CAPABILITY:
        have, need = (".".join(map(str, one)) for one in (card.capability, LEAST_CAPABILITY))
        raise CudaError(f"{card.name} has compute capability {have}; kernels need {need}")
    return card


def _compiled(nvrtc: Nvrtc, source: KernelSource, capability: tuple[int, int]) -> bytes:
    """Machine code, from the user's cache where it is there."""
    text, number = source.path.read_text("utf-8"), 10 * capability[0] + capability[1]

    def build(path: Path) -> None:
        path.write_bytes(nvrtc.compile(source.path.name, text, headers(), number).code)

    made_of = fingerprint(text, headers(), nvrtc.version, number)
    name = f"cuda_{source.path.stem}_sm{number}_{made_of}.cubin"
    try:
        return load_library(name, build, Path.read_bytes)
    except CudaError:
        raise
    except BUILD_ERRORS:  # a folder that cannot be written: compiled again by the next process
        return nvrtc.compile(source.path.name, text, headers(), number).code
