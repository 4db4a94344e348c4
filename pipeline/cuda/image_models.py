"""The models of `pipeline/face` on a card, which the CPU's stand in for where it fails."""

import logging
from functools import cache, partial

import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resources import read_checked
from vcam_relight.pipeline.cuda.device import Card, Stream
from vcam_relight.pipeline.cuda.driver import CudaError
from vcam_relight.pipeline.cuda.tflite_graph import read_graph
from vcam_relight.pipeline.cuda.tflite_network import TfLiteNetwork
from vcam_relight.pipeline.face.models import FOLDER, ModelLoader, load_model

log = logging.getLogger(__name__)

_AGREES = 1e-3
"""Of the largest value of the CPU's: sums in another order make 2e-5 of it."""


def models_on(card: Card | None) -> ModelLoader:
    """What loads models that run on a card, each once for all streams; None: on the CPU."""
    return load_model if card is None else partial(_model_on, card)


class CudaImageModel:
    """See `ImageModel`.

    There are as many networks as have ever run at once. After a failure of the card, of which the
    log tells, the CPU's model goes on.
    """

    def __init__(self, card: Card, name: str) -> None:
        """Use `models_on`, which loads each file once.

        Raises:
            OSError, RuntimeError: as of `load_model`.
        """
        self._card, self._name, self._on_cpu = card, name, load_model(name)
        self.width, self.height = self._on_cpu.width, self._on_cpu.height
        self._graph = read_graph(read_checked(FOLDER / name))
        self._idle: list[TfLiteNetwork] = []
        self._failed = False
        try:
            self._check()
        except CudaError as error:
            self._give_up(error)

    def look(self, image: BgrImage) -> list[FloatArray]:
        """See `ImageModel`."""
        if not self._failed and not self._card.problem:
            try:
                return self._look_there(image)
            except CudaError as error:
                self._give_up(error)
        return self._on_cpu.look(image)

    def _look_there(self, image: BgrImage) -> list[FloatArray]:
        try:
            network = self._idle.pop()  # atomic, as is `append`
        except IndexError:
            name = self._name.removesuffix(".tflite")
            network = TfLiteNetwork(Stream(self._card), self._graph, name)
        results = network.run(image)
        self._idle.append(network)
        return results

    def _check(self) -> None:
        """Raises CudaError where the card says what the CPU does not say."""
        image = np.random.default_rng(0).integers(0, 256, (self.height, self.width, 3), np.uint8)
        found = zip(self._look_there(image), self._on_cpu.look(image), strict=True)
        for there, here in found:
            off = float(np.abs(there - here).max() / np.abs(here).max())
            if not off < _AGREES:  # nor NaN
                raise CudaError(f"its results differ from the CPU's by {off:.3g}")

    def _give_up(self, error: CudaError) -> None:
        self._failed = True
        reason = str(error).partition("\n")[0]
        log.warning("%s runs on the CPU, as CUDA fails (%s)", self._name, reason)


_model_on = cache(CudaImageModel)
