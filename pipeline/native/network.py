"""torch's operators in C++: the tri-plane network's hot parts, and Winograd's transforms."""

import logging
import os
import sys
from functools import cache
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor

from vcam_relight.pipeline.native.build import (
    BUILD_ERRORS,
    cpu_flags,
    find_compiler,
    load_library,
    sources,
    warn_of,
)

_LOG = logging.getLogger(__name__)


class NetworkKernels(Protocol):
    """What `network.cpp` and `winograd.cpp` register for the CPU; float32, contiguous.

    Images of the first four have the layout of `network.cpp`: `(N, H + 2, W + 2, C)` with a border
    of zeros. All write to `output`.
    """

    def threads(self, count: int) -> None:
        """How many threads the others may use, the caller's included; it only grows."""

    def convolve(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor,
        stride: int,
        add: Tensor | None,
        positive: bool,
        output: Tensor,
    ) -> None:
        """1x1 or 3x3 with weights `(outputs / 16, k, k, inputs, 16)`.

        `add` is added before the ReLU, which `positive` asks for.
        """

    def doubled(self, input: Tensor, add: Tensor | None, output: Tensor) -> None:
        """Bilinear, to twice the side, plus `add`."""

    def gather(self, input: Tensor, places: Tensor, first: int, output: Tensor) -> None:
        """Bilinear samples at `(M, 2)` places in -1..1.

        They go into the output's pixels in order, from channel `first`.
        """

    def render(
        self,
        albedo: Tensor,
        shading: Tensor,
        camera: Tensor,
        depths: Tensor,
        offsets: Tensor,
        half: float,
        density: int,
        bias: float,
        output: Tensor,
    ) -> None:
        """Rays through the planes; see `network.cpp`."""

    def winograd_inputs(
        self, image: Tensor, scale: Tensor | None, top: int, d: int, output: Tensor
    ) -> None:
        """A band of tiles of an image `(H, W, C)` to `(36, tiles, C)`, channels times `scale`.

        It begins at row `top`; `d` is the dilation.
        """

    def winograd_outputs(
        self, products: Tensor, bias: Tensor | None, top: int, d: int, output: Tensor
    ) -> None:
        """`(36, tiles, C)` to the rows of an image `(H, W, C)` from `top` on, plus `bias`."""


@cache
def network_kernels() -> NetworkKernels | None:
    """The operators, or None, with a warning, where they cannot be built.

    The first call builds them, which takes some 20 s.
    """
    files, flags = sources("network.cpp", "winograd.cpp"), [*cpu_flags(), "-pthread"]

    def build(library: Path) -> None:
        _build(library, files, flags)

    try:
        load_library(
            "vcam_network",
            [*files, *sources("vec.h", "workers.h")],
            [*flags, torch.__version__],  # what is built with another torch cannot be loaded
            build,
            torch.ops.load_library,
        )
    except BUILD_ERRORS as error:
        warn_of(error)
        return None
    return cast(NetworkKernels, torch.ops.vcam)


def _build(library: Path, files: list[Path], flags: list[str]) -> None:
    # Imported here as they are slow.
    import ninja
    from torch.utils import cpp_extension

    if sys.platform != "win32":  # where torch looks for Microsoft's
        find_compiler()
    _LOG.info("building the kernels, once: this takes some 20 s")
    # torch looks for it on the PATH, where it is in an activated environment only.
    os.environ["PATH"] = os.pathsep.join([ninja.BIN_DIR, os.environ.get("PATH", os.defpath)])
    # torch's own lock outlives a build that was killed, and would be waited for without end.
    (library.parent / "lock").unlink(missing_ok=True)
    cpp_extension.load(
        library.stem,
        [str(path) for path in files],
        extra_cflags=flags,
        build_directory=str(library.parent),
        is_python_module=False,
    )
