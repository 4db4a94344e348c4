"""Loads MediaPipe's TensorFlow Lite models."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.core.resources import MEDIAPIPE

FOLDER = MEDIAPIPE
"""Beside this package, in a checkout and where it is installed."""


class TfLiteModel:
    """One model with one float32 image input; not safe for two threads at once."""

    def __init__(self, name: str) -> None:
        """Args:
            name: file name in `third_party/mediapipe`.

        Raises:
            OSError: the file is missing.
            RuntimeError: it is not a model.
        """
        # Read here rather than by the interpreter: a missing file then says which.
        content = (FOLDER / name).read_bytes()
        try:
            # One thread: these nets are too small for a second to help.
            self._interpreter = Interpreter(model_content=content, num_threads=1)
        except ValueError as error:
            raise RuntimeError(f"third_party/mediapipe/{name} is damaged: {error}") from error
        self._interpreter.allocate_tensors()
        details = self._interpreter.get_input_details()[0]
        self._input = details["index"]
        _, self.height, self.width, _ = (int(n) for n in details["shape"])
        self._outputs = [d["index"] for d in self._interpreter.get_output_details()]

    def __call__(self, image: FloatArray) -> list[FloatArray]:
        """Runs the model.

        Args:
            image: `(height, width, 3)` float32 RGB in the range that the model wants.

        Returns:
            Its outputs in file order, copied.
        """
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def load_triangles() -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """The face mesh's triangles, `(852, 3)` landmark indices."""
    return np.loadtxt(FOLDER / "face_mesh_triangles.txt", dtype=np.int32)


def load_pose_basis() -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """The landmarks that tell how a head is turned: `(33,)` indices, `(33,)` weights, and `(33, 3)`
    positions on the canonical face, in centimetres and camera space.
    """
    rows = np.loadtxt(FOLDER / "face_pose_basis.txt", dtype=np.float32)
    return rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2:]
