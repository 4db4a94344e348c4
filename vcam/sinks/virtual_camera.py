"""The virtual camera that Zoom, Meet and others pick."""

import sys
import time

from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.devices.output import VirtualCameraOutput
from vcam_relight.vcam.devices.pixel_formats import CONVERTERS, PixelConverter, Pixels
from vcam_relight.vcam.devices.setup_hints import how_to_get_one
from vcam_relight.vcam.media.letterbox import Letterbox
from vcam_relight.vcam.media.placeholder import placeholder
from vcam_relight.vcam.sinks.sink import ProcessedFrame, Sink

WAITING = "The camera will be back in a moment"
REPEAT_S = 5.0
"""How long a reader sees the last image when the next one does not come; then the placeholder."""


class VirtualCameraSink(Sink):
    """Writes each frame in the device's native format, from one reused buffer.

    The size is even; frames of another size are letterboxed, never stretched. While no frames come
    a placeholder keeps the device listed: browsers do not show a camera that nobody writes to.
    """

    kind = "virtual-camera"
    needs_filler = True

    def __init__(
        self,
        size: tuple[int, int],
        fps: float,
        device: str | None = None,
        backend: str | None = None,
        always_on: bool = False,
    ) -> None:
        """Opens nothing yet.

        Args:
            size: width and height in pixels; rounded down to even.
            fps: what readers are told to expect.
            device: `/dev/videoN` or the camera's name; None: the first that opens.
            backend: pyvirtualcam's name of one; None: v4l2loopback on Linux, elsewhere the first
                that opens.
            always_on: whether it takes frames also while nobody reads them.
        """
        self.label = f"virtual camera {device}" if device else "virtual camera"
        self._size = size
        self._fps = fps
        self._device = device
        self._backend = backend
        self._always_on = always_on
        self._output: VirtualCameraOutput | None = None
        self._pixels: Pixels | None = None
        self._taken: float | None = None
        """When the last frame was written; None when the placeholder came after it."""

    @property
    def has_consumers(self) -> bool:
        """Whether it is open and somebody reads it, as far as the device tells."""
        output = self._output
        return output is not None and (self._always_on or output.has_consumers)

    @property
    def device(self) -> str:
        """The device in use, as other programs name it; empty while closed."""
        return self._output.name if self._output is not None else ""

    def open(self) -> None:
        """Opens the device; does nothing when it is open.

        Raises:
            SinkError: it is missing or refuses.
        """
        if self._output is not None:
            return
        output = self._open()
        self._letterbox = Letterbox(output.size)
        self._convert: PixelConverter = CONVERTERS[output.format](output.size)
        self._pixels = None
        self._output = output
        try:
            self.fill()  # from now on it is listed; one that another program writes to says so here
        except SinkError:
            self.close()
            raise

    def _open(self) -> VirtualCameraOutput:
        if sys.platform != "linux" or self._backend is not None:
            from vcam_relight.vcam.devices.obs import ObsOutput

            return ObsOutput(self._size, self._fps, self._device, self._backend)

        from vcam_relight.vcam.devices.loopback import LoopbackOutput, find_loopbacks

        problem: SinkError | None = None
        for path, name in find_loopbacks(self._device):
            try:
                return LoopbackOutput(path, name, self._size, self._fps)
            except SinkError as error:
                problem = problem or error
        if problem is not None:
            raise problem
        if self._device is not None:
            raise SinkError(
                f"there is no virtual camera {self._device!r}",
                f"see `vcam devices`, or {how_to_get_one()}",
            )
        raise SinkError("there is no virtual camera", how_to_get_one())

    def write(self, frame: ProcessedFrame) -> None:
        """Sends one frame.

        Raises:
            SinkError: the device failed.
        """
        if self._output is None:
            raise SinkError("the virtual camera is closed")
        self._pixels = self._convert(self._letterbox.fit(frame.output.image))
        self._taken = time.monotonic()
        self._output.send(self._pixels)

    def fill(self) -> None:
        """Sends the last image once more while somebody waits for the next, else a placeholder.

        Raises:
            SinkError: the device failed.
        """
        if self._output is None:
            raise SinkError("the virtual camera is closed")
        again = self._taken is None or (
            self.has_consumers and time.monotonic() - self._taken < REPEAT_S
        )
        if self._pixels is None or not again:
            # Whoever reads next shall not see what the camera saw last.
            self._pixels = self._convert(placeholder(self._output.size, [(WAITING, 1.0, 0.5)]))
            self._taken = None
        self._output.send(self._pixels)

    def close(self) -> None:
        """Releases the device; a second call does nothing."""
        output, self._output = self._output, None
        if output is not None:
            output.close()
