"""Reads a TensorFlow Lite file: its operators, and the weights that they hold."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vcam_relight.pipeline.cuda.device import AnyArray

_OPERATORS = {
    number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()
}
_TYPES: dict[int, type[np.generic]] = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
}


@dataclass(frozen=True, slots=True)
class Operator:
    """One of a graph; it has one output."""

    kind: str
    """As the schema's `BuiltinOperator` calls it; of CUSTOM ones, their own name."""
    inputs: tuple[int, ...]
    output: int
    options: dict[str, Any]
    """As the schema calls them."""


@dataclass(frozen=True, slots=True)
class TfLiteGraph:
    """Operators in order; tensors go by their numbers."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    """Of all tensors; images are `(1, H, W, C)`."""
    constants: dict[int, AnyArray]
    """Tensors whose values are in the file; halves as float32."""
    makers: dict[int, Operator]
    """Of the other tensors but inputs."""
    uses: Counter[int]
    """How many operators take a tensor, or the graph gives it."""


def read_graph(content: bytes) -> TfLiteGraph:
    """Reads a file's first graph, with operators of one output each.

    Raises:
        KeyError: it has tensors of other types.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    constants = {}
    for index, tensor in enumerate(graph.tensors):
        data = model.buffers[tensor.buffer].data
        if data is not None and len(data):
            values = np.asarray(data, np.uint8).view(_TYPES[tensor.type])
            constants[index] = values.reshape(tuple(tensor.shape))
    makers: dict[int, Operator] = {}
    uses = Counter(int(one) for one in graph.outputs)
    for each in graph.operators:
        code = model.operatorCodes[each.opcodeIndex]
        kind = _OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
        inputs, (output,) = tuple(map(int, each.inputs)), map(int, each.outputs)
        if kind == "DEQUANTIZE":
            constants[output] = constants[inputs[0]].astype(np.float32)
            continue
        if kind == "CUSTOM":
            kind = code.customCode.decode("ascii")
        options = vars(each.builtinOptions) if each.builtinOptions else {}
        makers[output] = Operator(kind, inputs, output, options)
        uses.update(inputs)
    return TfLiteGraph(
        tuple(map(int, graph.inputs)),
        tuple(map(int, graph.outputs)),
        tuple(tuple(map(int, () if t.shape is None else t.shape)) for t in graph.tensors),
        constants,
        makers,
        uses,
    )
