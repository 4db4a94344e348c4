"""MediaPipe's TensorFlow Lite models: each file read once, for all streams."""

from collections.abc import Callable
from functools import cache
from typing import Protocol

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.resources import MEDIAPIPE, read_checked

FOLDER = MEDIAPIPE
"""Beside this package, in a checkout and where it is installed."""


class ImageModel(Protocol):
    """A model that takes an image; safe from any thread."""

    width: int
    height: int

    def look(self, image: BgrImage) -> list[FloatArray]:
        """Runs a model that wants colors of 0..1.

        Args:
            image: `(height, width, 3)`.

        Returns:
            Its outputs in file order.
        """


ModelLoader = Callable[[str], ImageModel]
"""Gives the model of a file in `third_party/mediapipe`; raises as `load_model` does."""


class TfLiteModel:
    """A model with one float32 image input, on the CPU. Safe from any thread.

    An interpreter serves one thread at a time, and the four models' take 27 MB and 20 to 50 ms to
    make. So there are as many as have ever run at once, not one for each stream.
    """

    def __init__(self, name: str) -> None:
        """Use `load_model`, which loads each file once.

        Raises:
            OSError: the file is missing.
            RuntimeError: it is not the model that was tested.
        """
        # Read here rather than by the interpreter: a missing file then says which.
        self._content = read_checked(FOLDER / name)
        try:
            first = self._new_interpreter()
        except ValueError as error:
            raise RuntimeError(f"third_party/mediapipe/{name} is damaged: {error}") from error
        details = first.get_input_details()[0]
        self._input = details["index"]
        _, self.height, self.width, _ = (int(n) for n in details["shape"])
        self._outputs = [d["index"] for d in first.get_output_details()]
        self._idle = [first]

    def __call__(self, image: FloatArray) -> list[FloatArray]:
        """Runs the model.

        Args:
            image: `(height, width, 3)` float32 RGB in the range that the model wants.

        Returns:
            Its outputs in file order, copied.
        """
        try:
            interpreter = self._idle.pop()  # atomic, as is `append`
        except IndexError:
            interpreter = self._new_interpreter()
        interpreter.set_tensor(self._input, image[None])
        interpreter.invoke()
        outputs = [interpreter.get_tensor(index) for index in self._outputs]
        self._idle.append(interpreter)
        return outputs

    def look(self, image: BgrImage) -> list[FloatArray]:
        """See `ImageModel`."""
        return self(cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32) * (1 / 255))

    def _new_interpreter(self) -> Interpreter:
        # One thread: these networks are too small for a second to help.
        interpreter = Interpreter(model_content=self._content, num_threads=1)
        interpreter.allocate_tensors()
        return interpreter


@cache
def load_model(name: str) -> TfLiteModel:
    """The model in a file of `third_party/mediapipe`, the same one for every caller.

    Raises:
        OSError: the file is missing.
        RuntimeError: it is not the model that was tested.
    """
    return TfLiteModel(name)


def load_triangles() -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """The face mesh's triangles, `(852, 3)` landmark indices."""
    return np.loadtxt(_lines("face_mesh_triangles.txt"), dtype=np.int32)


def load_pose_basis() -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """The landmarks that tell how a head is turned.

    Returns:
        `(33,)` indices, `(33,)` weights, and `(33, 3)` positions on the canonical face, in
        centimetres and camera space.
    """
    rows = np.loadtxt(_lines("face_pose_basis.txt"), dtype=np.float32)
    return rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2:]


def _lines(name: str) -> list[str]:
    return read_checked(FOLDER / name).decode("ascii").splitlines()
