"""A card, its memory, and streams of work on it; the same for the emulation."""

import contextlib
import ctypes
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vcam_relight.pipeline.cuda.driver import CAPABILITY, OUT_OF_MEMORY, CudaError, Driver
from vcam_relight.pipeline.cuda.sources import KernelSource, Parameter, kernel_sources

_THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile is their own affair."""
_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: does not wait for the default stream, which nobody here uses."""

AnyArray = NDArray[Any]
_RECORDING = threading.Lock()


class Compiler(Protocol):
    """Gives the machine code of a source for a card."""

    def __call__(self, source: KernelSource, capability: tuple[int, int]) -> bytes:
        """Raises CudaError where it cannot."""


class Card:
    """One card of a driver: its memory and kernels; safe from any thread."""

    def __init__(self, driver: Driver, compiler: Compiler) -> None:
        """Takes the first card.

        Raises:
            CudaError: it cannot be used.
        """
        self._driver, self._compiler = driver, compiler
        self.problem = ""
        """What failed first: nothing is to be asked of the card any more."""
        device, self._context = ctypes.c_int(), ctypes.c_void_p()
        driver.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self._thread = threading.local()
        name, numbers = ctypes.create_string_buffer(100), (ctypes.c_int(), ctypes.c_int())
        driver.call("cuDeviceGetName", name, ctypes.c_int(len(name)), device)
        self.name = name.value.decode("utf-8", "replace")
        for number, attribute in zip(numbers, CAPABILITY, strict=True):
            driver.call(
                "cuDeviceGetAttribute", ctypes.byref(number), ctypes.c_int(attribute), device
            )
        self.capability = (numbers[0].value, numbers[1].value)
        """Compute capability, major and minor."""
        self._lock = threading.Lock()
        self._modules: dict[str, ctypes.c_void_p] = {}
        """By the file name of their sources."""
        self._functions: dict[str, ctypes.c_void_p] = {}
        self.graphs: weakref.WeakValueDictionary[str, Graph] = weakref.WeakValueDictionary()
        """The newest of each name, to be measured."""

    def call(self, name: str, *arguments: object) -> None:
        """Calls a function of the driver on this card, from any thread.

        Raises:
            CudaError: it fails; that is then the card's `problem`, but for a card that is full.
        """
        try:
            self._ask(name, *arguments)
        except CudaError as error:
            if error.result != OUT_OF_MEMORY:
                self.problem = self.problem or str(error)
            raise

    def give_back(self, name: str, handle: "ctypes.c_uint64 | ctypes.c_void_p") -> None:
        """Calls what frees something; a card that is lost has nothing to give back."""
        with contextlib.suppress(CudaError):
            self._ask(name, handle)

    def _ask(self, name: str, *arguments: object) -> None:
        if not getattr(self._thread, "entered", False):
            self._driver.call("cuCtxSetCurrent", self._context)
            self._thread.entered = True
        self._driver.call(name, *arguments)

    def function(self, name: str) -> ctypes.c_void_p:
        """A kernel, compiled and loaded on its first use.

        Raises:
            CudaError: the compiler or the driver refuses it.
        """
        with self._lock:
            if name not in self._functions:
                source = kernel_sources()[name]
                module = self._modules.get(source.path.name)
                if module is None:
                    code, module = self._compiler(source, self.capability), ctypes.c_void_p()
                    self.call("cuModuleLoadData", ctypes.byref(module), code)
                    self._modules[source.path.name] = module
                function = ctypes.c_void_p()
                self.call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
                self._functions[name] = function
            return self._functions[name]

    def empty(self, shape: tuple[int, ...], dtype: type[np.generic]) -> "Buffer":
        """An array in the card's memory, of anything.

        Raises:
            CudaError: there is no room.
        """
        return Buffer(self, shape, np.dtype(dtype))

    def free_memory(self) -> int:
        """Bytes that nobody has taken."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def pinned(self, shape: tuple[int, ...], dtype: type[np.generic]) -> AnyArray:
        """An array in memory of the machine that copies to and from the card go to straight away.

        Raises:
            CudaError: there is no room.
        """
        kind = np.dtype(dtype)
        count = int(np.prod(shape))
        address = ctypes.c_void_p()
        size = max(count * kind.itemsize, 1)
        self.call("cuMemHostAlloc", ctypes.byref(address), ctypes.c_size_t(size), _flags())
        memory = (ctypes.c_char * size).from_address(address.value or 0)
        _freed_with(memory, self, "cuMemFreeHost", address)
        array: AnyArray = np.frombuffer(memoryview(memory), kind, count).reshape(shape)
        return array


class Buffer:
    """An array in a card's memory, C-contiguous; freed with this object."""

    def __init__(self, card: Card, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self.nbytes = int(np.prod(shape)) * dtype.itemsize
        self.address = ctypes.c_uint64()
        size = ctypes.c_size_t(max(self.nbytes, 1))
        card.call("cuMemAlloc_v2", ctypes.byref(self.address), size)
        _freed_with(self, card, "cuMemFree_v2", self.address)

    def part(self, index: int) -> "BufferPart":
        """One of the arrays along the first axis, in place."""
        return BufferPart(self, index)


class BufferPart:
    """A part of a buffer's memory."""

    def __init__(self, whole: Buffer, index: int) -> None:
        self.whole, self.dtype, self.shape = whole, whole.dtype, whole.shape[1:]
        self.nbytes = whole.nbytes // whole.shape[0]
        self.address = ctypes.c_uint64(whole.address.value + index * self.nbytes)


Argument = Buffer | BufferPart | float
"""What kernels take; whole numbers where their sources say int."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel that was begun."""

    kernel: str
    arguments: tuple[Argument, ...]
    milliseconds: float
    """That it took alone, by the card's clock."""


class Graph:
    """Work that was recorded and is done again at each launch, with the same memory."""

    def __init__(
        self,
        stream: "Stream",
        work: Callable[[], object],
        ready: ctypes.c_void_p,
        kept: list[object],
    ) -> None:
        self.stream, self.work = stream, work
        self._ready, self._kept = ready, kept
        _freed_with(self, stream.card, "cuGraphExecDestroy", ready)

    def launch(self) -> None:
        """Begins it on the stream that it was recorded on."""
        self.stream.card.call("cuGraphLaunch", self._ready, self.stream.handle)

    def timed(self) -> list[Launch]:
        """Does its work kernel by kernel, and says what each took."""
        return self.stream.timed(self.work)


class Stream:
    """Work on a card, one piece after the other; for one thread at a time.

    Nothing is done before `synchronize` returns: arrays of the machine's memory must stay as they
    are until then.
    """

    def __init__(self, card: Card) -> None:
        self.card = card
        self.handle = ctypes.c_void_p()
        self._timed: list[Launch] | None = None
        self._kept: list[object] = []
        flags = ctypes.c_uint(_NON_BLOCKING)
        card.call("cuStreamCreate", ctypes.byref(self.handle), flags)
        _freed_with(self, card, "cuStreamDestroy_v2", self.handle)

    def launch(
        self, kernel: str, blocks: tuple[int, int, int], threads: int, *arguments: "Argument"
    ) -> None:
        """Begins a kernel.

        Args:
            kernel: one of `kernel_sources`.
            blocks: how many along x, y and z.
            threads: of each block, a multiple of 32.
            arguments: as the kernel's source lists them.

        Raises:
            TypeError: the kernel takes others.
            CudaError: the driver refuses.
        """
        parameters = kernel_sources()[kernel].parameters
        if len(arguments) != len(parameters):
            raise TypeError(f"{kernel} takes {len(parameters)} arguments, not {len(arguments)}")
        values = [_passed(kernel, *pair) for pair in zip(parameters, arguments, strict=True)]
        pointers = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        function = self.card.function(kernel)

        def begin() -> None:
            self.card.call(
                "cuLaunchKernel", function, *map(ctypes.c_uint, blocks), ctypes.c_uint(threads),
                ctypes.c_uint(1), ctypes.c_uint(1), _flags(), self.handle, pointers, None,
            )  # fmt: skip

        if self._timed is None:
            begin()
        else:
            self._timed.append(Launch(kernel, arguments, Stopwatch(self).time(begin)))
        self._kept.extend(one for one in arguments if isinstance(one, Buffer | BufferPart))

    def timed(self, work: Callable[[], object]) -> list[Launch]:
        """Does what `work` begins kernel by kernel, and says what each took."""
        self._timed = []
        try:
            work()
            self.synchronize()
            return self._timed
        finally:
            self._timed = None

    def upload(self, to: Buffer, source: AnyArray) -> None:
        """Copies to the card; pinned memory goes without a stop."""
        _check_copy(to, source)
        self._copy("cuMemcpyHtoDAsync_v2", to.address, ctypes.c_void_p(source.ctypes.data), to)
        self._kept += [to, source]

    def download(self, to: AnyArray, source: Buffer) -> None:
        """Copies from the card; see `upload`."""
        _check_copy(source, to)
        self._copy("cuMemcpyDtoHAsync_v2", ctypes.c_void_p(to.ctypes.data), source.address, source)
        self._kept += [to, source]

    def copy(self, to: Buffer, source: Buffer) -> None:
        """Copies on the card."""
        if (to.shape, to.dtype) != (source.shape, source.dtype):
            raise ValueError(f"{source.shape} does not go into {to.shape}")
        self._copy("cuMemcpyDtoDAsync_v2", to.address, source.address, to)
        self._kept += [to, source]

    def clear(self, buffer: Buffer) -> None:
        """Fills it with zeros."""
        size = ctypes.c_size_t(buffer.nbytes)
        self.card.call("cuMemsetD8Async", buffer.address, ctypes.c_ubyte(0), size, self.handle)
        self._kept.append(buffer)

    def synchronize(self) -> None:
        """Waits until all is done.

        Raises:
            CudaError: some of it failed.
        """
        self.card.call("cuStreamSynchronize", self.handle)
        self._kept.clear()

    def record(self, name: str, work: Callable[[], object]) -> Graph:
        """Records what `work` begins on this stream, without doing it.

        Args:
            name: under which `Card.graphs` has it, as long as there is somebody who does.
            work: may copy and launch; its kernels have run before.

        Raises:
            CudaError: the driver refuses.
        """
        self.synchronize()
        card, graph, ready = self.card, ctypes.c_void_p(), ctypes.c_void_p()
        mode = ctypes.c_int(_THREAD_LOCAL)
        with _nothing_is_freed():
            card.call("cuStreamBeginCapture_v2", self.handle, mode)
            try:
                work()
            finally:
                card.call("cuStreamEndCapture", self.handle, ctypes.byref(graph))
        try:
            card.call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_uint64(0))
        finally:
            card.call("cuGraphDestroy", graph)
        kept, self._kept = self._kept, []
        recorded = Graph(self, work, ready, kept)
        self.card.graphs[name] = recorded
        return recorded

    def _copy(
        self,
        function: str,
        to: ctypes.c_uint64 | ctypes.c_void_p,
        source: ctypes.c_uint64 | ctypes.c_void_p,
        like: Buffer,
    ) -> None:
        self.card.call(function, to, source, ctypes.c_size_t(like.nbytes), self.handle)


class Stopwatch:
    """Tells how long work on a stream takes, by the card's own clock."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._events = stream, (ctypes.c_void_p(), ctypes.c_void_p())
        for event in self._events:
            stream.card.call("cuEventCreate", ctypes.byref(event), _flags())
            _freed_with(self, stream.card, "cuEventDestroy_v2", event)

    def time(self, work: Callable[[], None]) -> float:
        """Milliseconds between the begin and the end of what `work` begins."""
        card, elapsed = self._stream.card, ctypes.c_float()
        first, last = self._events
        card.call("cuEventRecord", first, self._stream.handle)
        work()
        card.call("cuEventRecord", last, self._stream.handle)
        card.call("cuEventSynchronize", last)
        card.call("cuEventElapsedTime", ctypes.byref(elapsed), first, last)
        return elapsed.value


def _passed(kernel: str, parameter: Parameter, argument: "Argument") -> "ctypes._SimpleCData[Any]":
    if isinstance(argument, Buffer | BufferPart):
        if argument.dtype == parameter.array:
            return argument.address
    elif parameter.array is None:
        if not parameter.whole:
            return ctypes.c_float(argument)
        if isinstance(argument, int):
            return ctypes.c_int(argument)
    raise TypeError(f"{kernel} does not take {argument!r} for {parameter.name}")


def _check_copy(buffer: Buffer, array: AnyArray) -> None:
    if buffer.shape != array.shape or buffer.dtype != array.dtype:
        raise ValueError(f"{array.shape} {array.dtype} is not {buffer.shape} {buffer.dtype}")
    if not array.flags.c_contiguous:
        raise ValueError("copies are of contiguous arrays")


def _flags() -> ctypes.c_uint:
    return ctypes.c_uint(0)


@contextlib.contextmanager
def _nothing_is_freed() -> Iterator[None]:
    """Keeps the garbage collector from freeing a card's memory, which spoils a recording.

    It is the process's, so that one thread at a time may record.
    """
    with _RECORDING:
        collects = gc.isenabled()
        gc.collect()
        gc.disable()
        try:
            yield
        finally:
            if collects:
                gc.enable()


def _freed_with(
    owner: object, card: Card, function: str, handle: ctypes.c_uint64 | ctypes.c_void_p
) -> None:
    """Gives something of a card back when its owner goes; with the process the driver does."""
    weakref.finalize(owner, card.give_back, function, handle).atexit = False
