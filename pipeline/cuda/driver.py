"""NVIDIA's driver: its API's functions, called through ctypes.

Names and meanings are those of the CUDA Driver API's manual. The same calls reach a card or the
emulation of `pipeline/cuda/emulation`.
"""

import ctypes
import sys
from collections.abc import Callable

_FUNCTIONS = (
    "cuInit", "cuDriverGetVersion", "cuDeviceGet", "cuDeviceGetName",
    "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuModuleLoadData",
    "cuModuleGetFunction", "cuMemAlloc_v2", "cuMemFree_v2", "cuMemGetInfo_v2",
    "cuMemHostAlloc", "cuMemFreeHost", "cuStreamCreate", "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuMemcpyDtoDAsync_v2", "cuMemsetD8Async",
    "cuLaunchKernel", "cuStreamBeginCapture_v2", "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags", "cuGraphDestroy", "cuGraphExecDestroy", "cuGraphLaunch",
    "cuEventCreate", "cuEventDestroy_v2", "cuEventRecord", "cuEventSynchronize",
    "cuEventElapsedTime",
)  # fmt: skip

CAPABILITY = (75, 76)
"""Attributes of a device: major and minor number of its compute capability."""


OUT_OF_MEMORY = 2
"""What a card answers that is well, but full."""


class CudaError(RuntimeError):
    """The driver, the card or the compiler of kernels failed."""

    def __init__(self, words: str, result: int = 0) -> None:
        super().__init__(words)
        self.result = result
        """The driver's number for it, where it is the driver that says so."""


class FailedCardError(CudaError):
    """A card that was in use has failed."""


class NoCardError(CudaError):
    """There is no card to use, or no driver for it: nothing is wrong with the program."""


class Driver:
    """The functions of one library; each raises CudaError for a result other than success."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Raises CudaError for a library that lacks some: an old driver."""
        self.library = library
        self._texts = getattr(library, "cuGetErrorString", None)
        self._functions: dict[str, Callable[..., int]] = {}
        for name in _FUNCTIONS:
            function = getattr(library, name, None)
            if function is None:
                raise CudaError(f"NVIDIA's driver is too old: it has no {name}")
            self._functions[name] = function

    def call(self, name: str, *arguments: object) -> None:
        """Calls a function.

        Args:
            name: as the library exports it.
            arguments: of ctypes, so that their sizes are known.

        Raises:
            CudaError: it fails.
        """
        result = self._functions[name](*arguments)
        if result:
            raise CudaError(f"{name}: {self._text(result)} ({result})", result)

    @property
    def version(self) -> tuple[int, int]:
        """Of CUDA that it is for, major and minor."""
        number = ctypes.c_int()
        self.call("cuDriverGetVersion", ctypes.byref(number))
        return number.value // 1000, number.value % 1000 // 10

    def _text(self, result: int) -> str:
        text = ctypes.c_char_p()
        if self._texts is None or self._texts(result, ctypes.byref(text)) or text.value is None:
            return "unknown error"
        return text.value.decode("utf-8", "replace")


def installed_driver() -> Driver:
    """The driver of this machine, ready to be used.

    Raises:
        CudaError: there is none, it is too old, or it finds no card.
    """
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = Driver(ctypes.CDLL(name))
    except OSError as error:
        raise NoCardError("NVIDIA's driver is not installed") from error
    try:
        driver.call("cuInit", ctypes.c_uint(0))
    except CudaError as error:  # the driver of a card that is not there, or not allowed
        raise NoCardError(f"NVIDIA's driver finds no card ({error})") from error
    return driver
