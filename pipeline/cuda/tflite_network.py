"""A TensorFlow Lite graph of an image on the kernels of `tflite.cu`, as one CUDA graph.

What can be done in one launch is: a depthwise convolution, the 1 x 1 convolution after it, what is
added to that, and the activation.
"""

from typing import NamedTuple

import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.cuda.device import AnyArray, Argument, Buffer, Stream
from vcam_relight.pipeline.cuda.driver import CudaError
from vcam_relight.pipeline.cuda.tflite_graph import Operator, TfLiteGraph

_HARD_SWISH, _GATED, _ADDED, _POOLED = 1, 2, 4, 8
_THREADS, _GATE_THREADS = 128, 1024
_TAKEN = 640
"""See `tflite.cu`."""
_ACTIVATIONS = ("RELU", "PRELU", "HARD_SWISH")
_MEANS = ("MEAN", "AVERAGE_POOL_2D")


class _Activated(NamedTuple):
    """A tensor, or what an activation makes of it."""

    slope: FloatArray
    flags: int
    tensor: int


class _Step(NamedTuple):
    """A launch: kernel, blocks, threads of each, and arguments."""

    kernel: str
    blocks: tuple[int, int, int]
    threads: int
    arguments: tuple[Argument, ...]


class TfLiteNetwork:
    """Runs a graph; for one thread at a time."""

    def __init__(self, stream: Stream, graph: TfLiteGraph, name: str) -> None:
        """Copies the weights to the card, and records the work.

        Args:
            stream: that it runs on.
            graph: whose input is an image, RGB of 0..1, of even sides.
            name: of the recorded graph.

        Raises:
            CudaError: the card or the compiler refuses, or the graph has what is not known.
        """
        self._stream, card = stream, stream.card
        plan = _Plan(stream, graph)
        outputs = [plan.value(tensor) for tensor in graph.outputs]
        self._steps, self._image = plan.steps, plan.image
        self._here = card.pinned(self._image.shape, np.uint8)
        self._here[:] = 0
        self._results = [(card.pinned(one.shape, np.float32), one) for one in outputs]
        self._work()  # compiles kernels, which a recording must not
        self._graph = stream.record(name, self._work)

    def run(self, image: BgrImage) -> list[FloatArray]:
        """The outputs of `(H, W, 3)` pixels of the graph's size, in the file's order, copied.

        Raises:
            CudaError: the card fails.
        """
        self._here[:] = image
        self._graph.launch()
        self._stream.synchronize()
        return [array.copy() for array, _ in self._results]

    def _work(self) -> None:
        self._stream.upload(self._image, self._here)
        for step in self._steps:
            self._stream.launch(step.kernel, step.blocks, step.threads, *step.arguments)
        for array, buffer in self._results:
            self._stream.download(array, buffer)


class _Plan:
    """Puts a graph's operators together to launches, from its outputs back."""

    def __init__(self, stream: Stream, graph: TfLiteGraph) -> None:
        self._stream, self._graph = stream, graph
        self.steps: list[_Step] = []
        self._values: dict[int, Buffer] = {}
        _, height, width, _ = graph.shapes[graph.inputs[0]]
        self.image = stream.card.empty((height, width, 3), np.uint8)

    def value(self, tensor: int) -> Buffer:
        """Where a tensor is after the steps so far; adds those that it takes."""
        if tensor not in self._values:
            self._values[tensor] = self._planned(tensor)
        return self._values[tensor]

    def _planned(self, tensor: int) -> Buffer:
        maker = self._graph.makers[tensor]
        if maker.kind == "LOGISTIC":
            last = self._graph.makers[maker.inputs[0]]
            upsampled = last.kind == "Convolution2DTransposeBias"
            return self._finished(tensor, last) if upsampled else self._gate(tensor, last)
        activated = self._activated(tensor)
        maker = self._graph.makers[activated.tensor]
        if maker.kind == "DEPTHWISE_CONV_2D":
            return self._depthwise(tensor, activated, maker)
        if maker.kind == "CONV_2D":
            if maker.inputs[0] == self._graph.inputs[0]:
                return self._opened(tensor, activated, maker)
            return self._mixed(tensor, activated, maker, None)
        if maker.kind == "ADD":
            for one, other in (maker.inputs, maker.inputs[::-1]):
                of_one = self._own(one)
                if of_one is not None and of_one.kind == "CONV_2D":
                    return self._mixed(tensor, activated, of_one, other)
                if (of_one := self._own_depthwise(one)) and of_one.inputs[0] == other:
                    return self._depthwise(tensor, self._activated(one), of_one, _ADDED)
        raise _unknown(maker)

    def _mixed(
        self, tensor: int, activated: _Activated, conv: Operator, residual: int | None
    ) -> Buffer:
        """A convolution of single pixels, or of all of a small image at once."""
        weights = self._graph.constants[conv.inputs[1]]
        outputs, inputs = len(weights), weights[0].size
        _, height, width, _ = self._graph.shapes[conv.output]
        if weights.shape[1:3] == (1, 1):
            kernel, taken, flags = self._taken(conv.inputs[0])
        elif weights.shape[1:] == self._graph.shapes[conv.inputs[0]][1:] and height == width == 1:
            image = self.value(conv.inputs[0])
            kernel, taken, flags = "mix_plain", (image, image, image), 0
        else:
            raise _unknown(conv)
        pixels, each = height * width, min(outputs, _THREADS)
        groups = max(1, min(_THREADS // each, -(-pixels // 4), _TAKEN // inputs))
        if groups * inputs > _TAKEN or conv.options["strideW"] not in (1, weights.shape[2]):
            raise _unknown(conv)
        weight = self._uploaded(_packed(weights.reshape(outputs, inputs)))
        added, kept, more_flags = weight, 0, 0
        if residual is not None:
            added, kept, more_flags = self._residual(residual)
        output = self._new(tensor)
        blocks = (-(-pixels // (4 * groups)), -(-outputs // _THREADS), 1)
        self._add(
            kernel, blocks, _THREADS, *taken, weight, self._constant(conv.inputs[2]),
            self._uploaded(activated.slope), added, output, pixels, width, inputs, outputs, groups,
            kept, activated.flags | flags | more_flags,
        )  # fmt: skip
        return output

    def _taken(self, tensor: int) -> tuple[str, tuple[Argument, ...], int]:
        """What takes a convolution's input as it is made: a kernel, its first arguments, flags."""
        maker = self._own(tensor)
        if maker is not None and maker.kind == "RESIZE_BILINEAR":
            _, height, width, _ = self._graph.shapes[tensor]
            doubled = self._graph.shapes[maker.inputs[0]][1:3] == (height / 2, width / 2)
            if not doubled or not maker.options["halfPixelCenters"]:
                raise _unknown(maker)
            image, gate, flags = self._gated(maker.inputs[0])
            return "mix_enlarged", (image, gate), flags
        if maker is not None and maker.kind == "ADD":
            image, gate, flags = self._gated(maker.inputs[0])
            return "mix_plain", (image, gate, self.value(maker.inputs[1])), flags | _ADDED
        depthwise = self._own_depthwise(tensor)
        if depthwise is not None and self._graph.shapes[depthwise.inputs[1]][1] == 3:
            return "mix_depthwise", self._filtered(depthwise, self._activated(tensor)), 0
        image, gate, flags = self._gated(tensor)
        return "mix_plain", (image, gate, image), flags

    def _gated(self, tensor: int) -> tuple[Buffer, Buffer, int]:
        """An image, the gate of its channels, and flags."""
        maker = self._own(tensor)
        if maker is not None and maker.kind == "MUL":
            image, gate = map(self.value, maker.inputs)
            return image, gate, _GATED
        image = self.value(tensor)
        return image, image, 0

    def _residual(self, tensor: int) -> tuple[Buffer, int, int]:
        """What is added to a convolution: an image, how many channels of it, and flags."""
        maker = self._own(tensor)
        if maker is not None and maker.kind == "PAD":
            if self._graph.constants[maker.inputs[1]].flatten()[:7].any():
                raise _unknown(maker)  # more than channels after the last
            tensor = maker.inputs[0]
            maker = self._own(tensor)
        flags = 0
        if maker is not None and maker.kind == "MAX_POOL_2D":
            sizes = ("strideW", "strideH", "filterWidth", "filterHeight")
            if any(maker.options[size] != 2 for size in sizes):
                raise _unknown(maker)
            tensor, flags = maker.inputs[0], _POOLED
        return self.value(tensor), self._graph.shapes[tensor][3], flags

    def _filtered(
        self, depthwise: Operator, activated: _Activated, flags: int = 0
    ) -> tuple[Argument, ...]:
        """The arguments that say what a depthwise convolution and its activation are."""
        image, weight, bias = depthwise.inputs
        _, height, width, channels = self._graph.shapes[image]
        _, out_height, _, out_channels = self._graph.shapes[depthwise.output]
        kernel, stride = self._graph.shapes[weight][1], depthwise.options["strideH"]
        # TensorFlow's padding SAME: an odd row goes below the image.
        before = max((out_height - 1) * stride + kernel - height, 0) // 2
        same = depthwise.options.get("padding", 0) == 0 and channels == out_channels
        if not same or (out_height - 1) * stride >= height:
            raise _unknown(depthwise)
        return (
            self.value(image), self._constant(weight), self._constant(bias),
            self._uploaded(activated.slope), height, width, stride, before,
            activated.flags | flags,
        )  # fmt: skip

    def _depthwise(
        self, tensor: int, activated: _Activated, maker: Operator, flags: int = 0
    ) -> Buffer:
        kernel = self._graph.shapes[maker.inputs[1]][1]
        if kernel not in (3, 5):
            raise _unknown(maker)
        _, height, width, channels = self._graph.shapes[maker.output]
        arguments, output = self._filtered(maker, activated, flags), self._new(tensor)
        count = height * width
        blocks = _blocks_of(count * channels // 4)
        self._add(
            f"depthwise_{kernel}", blocks, _THREADS, *arguments, output, count, width, channels
        )
        return output

    def _opened(self, tensor: int, activated: _Activated, conv: Operator) -> Buffer:
        """The first convolution."""
        weights = self._graph.constants[conv.inputs[1]]
        _, height, width, outputs = self._graph.shapes[conv.output]
        sizes = (weights.shape, self.image.shape)
        if sizes != ((outputs, 3, 3, 3), (2 * height, 2 * width, 3)):
            raise _unknown(conv)
        output = self._new(tensor)
        self._add(
            "open_image", _blocks_of(height * width * outputs // 4), _THREADS, self.image,
            self._uploaded(weights.reshape(outputs, -1).T), self._constant(conv.inputs[2]),
            self._uploaded(activated.slope), output, height, width, outputs, activated.flags,
        )  # fmt: skip
        return output

    def _gate(self, tensor: int, conv: Operator) -> Buffer:
        """A mean over the image, one or two dense layers, and a sigmoid."""
        hidden: Operator | None = None
        maker = self._graph.makers[conv.inputs[0]]
        if maker.kind == "RELU":
            hidden = self._graph.makers[maker.inputs[0]]
            maker = self._graph.makers[hidden.inputs[0]]
        if maker.kind not in _MEANS or self._graph.shapes[maker.output][1:3] != (1, 1):
            raise _unknown(maker)
        added = self._own(maker.inputs[0])
        if added is not None and added.kind == "ADD":
            image, more = map(self.value, added.inputs)
            flags = _ADDED
        else:
            image = more = self.value(maker.inputs[0])
            flags = 0
        layers = [layer for layer in (hidden, conv) if layer is not None]
        weights = [self._graph.constants[layer.inputs[1]][:, 0, 0] for layer in layers]
        dense = [
            argument
            for layer, weight in zip(layers, weights, strict=True)
            for argument in (self._uploaded(_packed(weight)), self._constant(layer.inputs[2]))
        ]
        height, width, inputs = self._graph.shapes[maker.inputs[0]][1:]
        output = self._new(tensor)
        if max(inputs, *map(len, weights)) > 128:
            raise _unknown(conv)
        self._add(
            "gate", (1, 1, 1), _GATE_THREADS, image, more, *dense[:2], *dense[-2:], output,
            height * width, inputs, len(weights[0]) if hidden else 0, len(weights[-1]), flags,
        )  # fmt: skip
        return output

    def _finished(self, tensor: int, maker: Operator) -> Buffer:
        """The last layer of a mask."""
        image, weight, bias = maker.inputs
        _, height, width, inputs = self._graph.shapes[image]
        weights = self._graph.constants[weight]
        shapes = (weights.shape, self._graph.shapes[tensor])
        if shapes != ((1, 2, 2, inputs), (1, 2 * height, 2 * width, 1)):
            raise _unknown(maker)
        value, output = self.value(image), self._new(tensor)
        self._add(
            "finish_mask", _blocks_of(4 * height * width), _THREADS, value,
            self._uploaded(_packed(weights.reshape(4, inputs))), output, height, width, inputs,
            float(self._graph.constants[bias].item()),
        )  # fmt: skip
        return output

    def _activated(self, tensor: int) -> _Activated:
        """What a tensor is the activation of; of none, itself."""
        channels = self._graph.shapes[tensor][-1]
        maker = self._graph.makers[tensor]
        if maker.kind not in _ACTIVATIONS:
            return _Activated(np.ones(channels, np.float32), 0, tensor)
        if self._graph.uses[maker.inputs[0]] != 1:
            raise _unknown(maker)
        slope = np.zeros(channels, np.float32)
        if maker.kind == "PRELU":
            slope = self._graph.constants[maker.inputs[1]].reshape(channels)
        return _Activated(slope, _HARD_SWISH * (maker.kind == "HARD_SWISH"), maker.inputs[0])

    def _own(self, tensor: int) -> Operator | None:
        """What makes a tensor for one operator alone."""
        return self._graph.makers.get(tensor) if self._graph.uses[tensor] == 1 else None

    def _own_depthwise(self, tensor: int) -> Operator | None:
        """The depthwise convolution that a tensor is of, with an activation or without one."""
        maker = self._own(tensor)
        if maker is not None and maker.kind in _ACTIVATIONS:
            maker = self._own(maker.inputs[0])
        return maker if maker is not None and maker.kind == "DEPTHWISE_CONV_2D" else None

    def _add(
        self, kernel: str, blocks: tuple[int, int, int], threads: int, *arguments: Argument
    ) -> None:
        self.steps.append(_Step(kernel, blocks, threads, arguments))

    def _new(self, tensor: int) -> Buffer:
        return self._stream.card.empty(self._graph.shapes[tensor], np.float32)

    def _constant(self, tensor: int) -> Buffer:
        return self._uploaded(self._graph.constants[tensor])

    def _uploaded(self, values: AnyArray) -> Buffer:
        array = np.ascontiguousarray(values, np.float32)
        buffer = self._stream.card.empty(array.shape, np.float32)
        self._stream.upload(buffer, array)
        return buffer


def _blocks_of(count: int) -> tuple[int, int, int]:
    """How many blocks have so many threads in all."""
    return (-(-count // _THREADS), 1, 1)


def _packed(weight: FloatArray) -> FloatArray:
    """`(outputs, inputs)` -> `(inputs / 4, outputs, 4)`."""
    outputs, inputs = weight.shape
    return weight.reshape(outputs, inputs // 4, 4).transpose(1, 0, 2)


def _unknown(operator: Operator) -> CudaError:
    return CudaError(f"there is no kernel for this {operator.kind} of a TensorFlow Lite graph")
