"""A video's step on an NVIDIA card as a CUDA graph: some thousand launches asked for at once."""

import logging
from collections.abc import Callable
from dataclasses import astuple, dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from vcam_relight.pipeline.engines.paper.outputs import Outputs
from vcam_relight.pipeline.engines.paper.temporal import PlaneHistory, Turn

log = logging.getLogger(__name__)

Inputs = tuple[Tensor, Tensor, Tensor]
"""Image, light and camera of one frame."""
Step = Callable[[Tensor, Tensor, Tensor], Outputs]


@dataclass(frozen=True, slots=True)
class _Graph:
    graph: "torch.cuda.CUDAGraph"
    outputs: Outputs
    """Where they are after each replay, until another graph is replayed."""


class RecordedSteps:
    """Records what a step asks of the card, once for each `Turn` of a stream; for one at a time.

    Streams and their turns share memory: what a replay leaves is copied before the next one.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._inputs: Inputs | None = None
        self._graphs: WeakKeyDictionary[PlaneHistory, dict[Turn, _Graph]] = WeakKeyDictionary()

    def run(self, history: PlaneHistory, turn: Turn, step: Step, inputs: Inputs) -> Outputs:
        """Does a step; the outputs are the caller's.

        Args:
            history: of the stream; read and written to by the step.
            turn: of it.
            step: asks for the same work whenever history and turn are the same; it waits for
                nothing.
            inputs: of the step, on any device.
        """
        with torch.cuda.stream(self._stream):
            if self._inputs is None:
                image, sh, camera = (torch.empty_like(one, device=self._device) for one in inputs)
                self._inputs = image, sh, camera
            for static, given in zip(self._inputs, inputs, strict=True):
                static.copy_(given)
            graphs = self._graphs.setdefault(history, {})
            if turn not in graphs:
                graphs[turn] = self._recorded(step, self._inputs)
            graphs[turn].graph.replay()
            outputs = Outputs(*(value.clone() for value in astuple(graphs[turn].outputs)))
        self._stream.synchronize()
        return outputs

    def _recorded(self, step: Step, inputs: Inputs) -> _Graph:
        # Libraries choose algorithms and take workspace in the first run, which is not recorded.
        step(*inputs)
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
            outputs = step(*inputs)
        return _Graph(graph, outputs)
