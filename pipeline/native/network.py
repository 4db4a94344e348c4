"""The kernels of neural networks on torch's tensors: the tri-plane network's, and Winograd's."""

import ctypes
from functools import cache

from torch import Tensor, float32

from vcam_relight.pipeline.native.library import kernel_library


class _Image(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("count", ctypes.c_int64), ("height", ctypes.c_int64),
        ("width", ctypes.c_int64), ("channels", ctypes.c_int64),
    ]  # fmt: skip


class NetworkKernels:
    """`network.cpp` and `winograd.cpp`; on the CPU, float32, contiguous.

    Images of the first four have the layout of `network.cpp`: `(N, H + 2, W + 2, C)` with a border
    of zeros. All write to `output`, and raise ValueError for what they cannot take.
    """

    def __init__(self, functions: ctypes.CDLL) -> None:
        self._functions = functions
        number, real, pointer = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
        image = ctypes.POINTER(_Image)
        for name, arguments in {
            "threads": [number],
            "convolve": [image, pointer, number, pointer, number, pointer, number, image],
            "doubled": [image, pointer, image],
            "gather": [image, pointer, number, image],
            "render": [
                image, image, pointer, pointer, number, pointer, number, real, number, real, image,
            ],
            "winograd_inputs": [
                pointer, number, number, number, pointer, number, number, pointer, number, number,
            ],
            "winograd_outputs": [
                pointer, number, number, pointer, number, number, pointer, number, number,
            ],
        }.items():  # fmt: skip
            function = getattr(functions, name)
            function.argtypes, function.restype = arguments, None

    def threads(self, count: int) -> None:
        """How many threads the others may use, the caller's included; it only grows."""
        self._functions.threads(count)

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
        width, channels = output.shape[2] - 2, output.shape[3]
        _check(
            width % 2 == 0 and width >= 4 and weight.shape[3] == input.shape[3],
            weight.shape[0] * 16 == channels == bias.numel(),
            add is None or add.shape == output.shape,
        )
        self._functions.convolve(
            _image(input), _data(weight), weight.shape[1], _data(bias), stride, _optional(add),
            positive, _image(output),
        )  # fmt: skip

    def doubled(self, input: Tensor, add: Tensor | None, output: Tensor) -> None:
        """Bilinear, to twice the side, plus `add`."""
        _check(output.shape[3] == input.shape[3], add is None or add.shape == output.shape)
        self._functions.doubled(_image(input), _optional(add), _image(output))

    def gather(self, input: Tensor, places: Tensor, first: int, output: Tensor) -> None:
        """Bilinear samples at `(M, 2)` places in -1..1.

        They go into the output's pixels in order, from channel `first`.
        """
        pixels = output.shape[0] * (output.shape[1] - 2) * (output.shape[2] - 2)
        _check(places.numel() == 2 * pixels, first + input.shape[3] <= output.shape[3])
        self._functions.gather(_image(input), _data(places), first, _image(output))

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
        _check(
            offsets.numel() <= 8 and albedo.shape == shading.shape and albedo.shape[3] == 16,
            camera.numel() == 12 and output.shape[3] == 48,
        )
        self._functions.render(
            _image(albedo), _image(shading), _data(camera), _data(depths), depths.numel(),
            _data(offsets), offsets.numel(), half, density, bias, _image(output),
        )  # fmt: skip

    def winograd_inputs(
        self, image: Tensor, scale: Tensor | None, top: int, d: int, output: Tensor
    ) -> None:
        """A band of tiles of an image `(H, W, C)` to `(36, tiles, C)`, channels times `scale`.

        It begins at row `top`; `d` is the dilation. The output's planes may lie further apart.
        """
        _check(image.shape[2] % 16 == 0, output.shape[2] == image.shape[2])
        self._functions.winograd_inputs(
            _data(image), *image.shape, _optional(scale), top, d, output.data_ptr(),
            output.stride(0), output.shape[1],
        )  # fmt: skip

    def winograd_outputs(
        self, products: Tensor, bias: Tensor | None, top: int, d: int, output: Tensor
    ) -> None:
        """`(36, tiles, C)` to the rows of an image `(H, W, C)` from `top` on, plus `bias`."""
        _check(products.shape[2] % 16 == 0, output.shape[2] == products.shape[2])
        self._functions.winograd_outputs(
            _data(products), products.stride(0), products.shape[1], _optional(bias), top, d,
            _data(output), output.shape[1], output.shape[2],
        )  # fmt: skip


@cache
def network_kernels() -> NetworkKernels | None:
    """The kernels, or None where there are none; see `kernel_library`."""
    library = kernel_library()
    return None if library is None else NetworkKernels(library.functions)


def _check(*conditions: bool) -> None:
    if not all(conditions):
        raise ValueError("the kernel does not take tensors of these shapes")


def _data(tensor: Tensor) -> int:
    if tensor.dtype is not float32 or not tensor.is_contiguous() or tensor.device.type != "cpu":
        raise ValueError("kernels take contiguous float32 tensors on the CPU")
    return tensor.data_ptr()


def _optional(tensor: Tensor | None) -> int | None:
    return None if tensor is None else _data(tensor)


def _image(tensor: Tensor) -> _Image:
    count, height, width, channels = tensor.shape
    return _Image(_data(tensor), count, height - 2, width - 2, channels)
