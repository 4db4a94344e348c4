"""A camera that PipeWire offers to browsers and other programs: no kernel module, no root.

`libpipewire-0.3.so.0`, which every PipeWire desktop has, is called through ctypes.
"""

import ctypes
import os
import time
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.devices.pixel_formats import Pixels
from vcam_relight.vcam.devices.setup_hints import LABEL
from vcam_relight.vcam.devices.spa import (
    META_HEADER,
    PARAM_CHANGED,
    PARAM_FORMAT,
    PROCESS,
    STATE_CHANGED,
    MetaHeader,
    StreamBuffer,
    StreamEvents,
    header_meta,
    i420_buffers,
    i420_format,
)
from vcam_relight.vcam.media.letterbox import even

_LIBRARY = "libpipewire-0.3.so.0"
# pipewire/stream.h
_UNCONNECTED, _STREAMING = 0, 3
_OUTPUT, _ANY, _MAP_BUFFERS, _DRIVER = 1, 0xFFFFFFFF, 1 << 2, 1 << 3
_START = "systemctl --user start pipewire wireplumber, or use --sink device"
_POINTER, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "pw_init": (None, (_POINTER, _POINTER)),
    "pw_thread_loop_new": (_POINTER, (_TEXT, _POINTER)),
    "pw_thread_loop_get_loop": (_POINTER, (_POINTER,)),
    "pw_thread_loop_start": (_INT, (_POINTER,)),
    "pw_thread_loop_stop": (None, (_POINTER,)),
    "pw_thread_loop_lock": (None, (_POINTER,)),
    "pw_thread_loop_unlock": (None, (_POINTER,)),
    "pw_thread_loop_destroy": (None, (_POINTER,)),
    "pw_context_new": (_POINTER, (_POINTER, _POINTER, ctypes.c_size_t)),
    "pw_context_destroy": (None, (_POINTER,)),
    "pw_context_connect": (_POINTER, (_POINTER, _POINTER, ctypes.c_size_t)),
    "pw_core_disconnect": (_INT, (_POINTER,)),
    "pw_properties_new_string": (_POINTER, (_TEXT,)),
    "pw_stream_new": (_POINTER, (_POINTER, _TEXT, _POINTER)),
    "pw_stream_destroy": (None, (_POINTER,)),
    "pw_stream_add_listener": (
        None,
        (_POINTER, _POINTER, ctypes.POINTER(StreamEvents), _POINTER),
    ),
    "pw_stream_connect": (
        _INT,
        (_POINTER, _INT, ctypes.c_uint32, _INT, ctypes.POINTER(_POINTER), ctypes.c_uint32),
    ),
    "pw_stream_update_params": (_INT, (_POINTER, ctypes.POINTER(_POINTER), ctypes.c_uint32)),
    "pw_stream_dequeue_buffer": (ctypes.POINTER(StreamBuffer), (_POINTER,)),
    "pw_stream_queue_buffer": (_INT, (_POINTER, ctypes.POINTER(StreamBuffer))),
    "pw_stream_is_driving": (ctypes.c_bool, (_POINTER,)),
    "pw_stream_trigger_process": (_INT, (_POINTER,)),
}


@cache
def _library() -> Any:
    """Its functions, typed; raises OSError where it is missing."""
    library = ctypes.CDLL(_LIBRARY)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.pw_init(None, None)
    return library


class PipeWireOutput:
    """An open camera; see `VirtualCameraOutput`.

    Programs see it as long as it is open, also while nothing is sent. PipeWire's own thread copies
    a frame into a reader's buffer when it is asked to; of frames that come while no buffer is free
    the newest is kept.
    """

    format = "I420"

    def __init__(self, size: tuple[int, int], fps: float, name: str = LABEL) -> None:
        """Offers the camera.

        Args:
            size: width and height in pixels, rounded down to even.
            fps: what readers are told.
            name: what they list. Whoever chose it once finds it by this name again.

        Raises:
            SinkError: PipeWire is missing, does not run, or refuses.
        """
        self.name, self.size = name, even(size)
        self.starved = 0
        """Frames for which no buffer was free."""
        self._state, self._why, self._sent = _UNCONNECTED, "", 0
        self._opened: list[tuple[str, Any]] = []
        """What is to be given back, in this order from the last."""
        self._frame = np.empty((self.size[1] * 3 // 2, self.size[0]), np.uint8)
        self._waiting = False
        """Whether a frame is to be copied."""
        try:
            self._pipewire = _library()
        except (OSError, AttributeError) as error:
            raise SinkError(f"there is no PipeWire here ({error})", _START) from None
        try:
            self._open(Fraction(fps).limit_denominator(1001))
        except SinkError:
            self.close()
            raise

    @property
    def has_consumers(self) -> bool:
        """Whether a program reads it."""
        return self._state == _STREAMING

    def send(self, pixels: Pixels) -> None:
        """Shows one image to whoever reads.

        Raises:
            SinkError: PipeWire has ended.
        """
        if self._state < 0 or (self._state == _UNCONNECTED and self._sent):
            raise SinkError(f"PipeWire dropped the camera ({self._why or 'it ended'})", _START)
        if not self.has_consumers:
            return
        self._pipewire.pw_thread_loop_lock(self._loop)
        try:
            np.copyto(self._frame, pixels.reshape(self._frame.shape))
            self._waiting = True
            if self._pipewire.pw_stream_is_driving(self._stream):
                self._pipewire.pw_stream_trigger_process(self._stream)
            else:  # a reader sets the pace: it takes what is queued
                self._on_process(None)
        finally:
            self._pipewire.pw_thread_loop_unlock(self._loop)

    def close(self) -> None:
        """Takes the camera away; a second call does nothing."""
        opened, self._opened = self._opened, []
        self._state = _UNCONNECTED
        for function, handle in reversed(opened):
            getattr(self._pipewire, function)(handle)

    def _open(self, fps: Fraction) -> None:
        pipewire = self._pipewire
        self._loop = pipewire.pw_thread_loop_new(b"vcam", None)
        self._opened.append(("pw_thread_loop_destroy", self._loop))
        context = pipewire.pw_context_new(pipewire.pw_thread_loop_get_loop(self._loop), None, 0)
        self._opened.append(("pw_context_destroy", context))
        core = pipewire.pw_context_connect(context, None, 0)
        if not core:
            raise SinkError("PipeWire does not run", _START)
        self._opened.append(("pw_core_disconnect", core))
        name = self.name.replace("\\", " ").replace('"', "'")
        properties = pipewire.pw_properties_new_string(
            f'{{ media.class = "Video/Source" media.role = "Camera" node.name = "{name}" '
            f'node.description = "{name}" node.nick = "{name}" }}'.encode()
        )
        self._stream = pipewire.pw_stream_new(core, name.encode(), properties)
        self._opened.append(("pw_stream_destroy", self._stream))
        self._events = StreamEvents(
            version=0,
            state_changed=STATE_CHANGED(self._on_state),
            param_changed=PARAM_CHANGED(self._on_param),
            process=PROCESS(self._on_process),
        )
        self._hook = ctypes.create_string_buffer(64)  # struct spa_hook is 48 bytes
        pipewire.pw_stream_add_listener(self._stream, self._hook, ctypes.byref(self._events), None)
        array, self._kept = _params([i420_format(self.size, fps)])
        done = pipewire.pw_stream_connect(
            self._stream, _OUTPUT, _ANY, _MAP_BUFFERS | _DRIVER, array, len(array)
        )
        if done < 0:
            raise SinkError(f"PipeWire refuses the camera ({os.strerror(-done)})", _START)
        pipewire.pw_thread_loop_start(self._loop)
        self._opened.append(("pw_thread_loop_stop", self._loop))

    # On PipeWire's thread, which holds the loop's lock.

    def _on_state(self, data: object, old: int, state: int, error: bytes | None) -> None:
        self._state, self._why = state, (error or b"").decode("utf-8", "replace")
        if state != _UNCONNECTED:
            self._sent = max(self._sent, 1)  # it was connected: from now on an end is a loss

    def _on_param(self, data: object, param: int, value: int | None) -> None:
        if param == PARAM_FORMAT and value:
            array, kept = _params([i420_buffers(self.size), header_meta()])
            self._pipewire.pw_stream_update_params(self._stream, array, len(array))
            del kept

    def _on_process(self, data: object) -> None:
        if not self._waiting:
            return
        taken = self._pipewire.pw_stream_dequeue_buffer(self._stream)
        if not taken:
            self.starved += 1
            return
        buffer = taken.contents.buffer.contents
        memory = buffer.datas[0]
        if memory.data and memory.maxsize >= self._frame.nbytes:
            ctypes.memmove(memory.data, self._frame.ctypes.data, self._frame.nbytes)
            chunk = memory.chunk.contents
            chunk.offset, chunk.size, chunk.flags = 0, self._frame.nbytes, 0
            chunk.stride = self.size[0]
            self._sent += 1
            for meta in buffer.metas[: buffer.n_metas]:
                if meta.type == META_HEADER and meta.size >= ctypes.sizeof(MetaHeader):
                    header = ctypes.cast(meta.data, ctypes.POINTER(MetaHeader)).contents
                    header.flags = header.offset = header.dts_offset = 0
                    header.pts, header.seq = time.monotonic_ns(), self._sent
            self._waiting = False
        self._pipewire.pw_stream_queue_buffer(self._stream, taken)


def _params(pods: Sequence[bytes]) -> tuple[Any, list[Any]]:
    """An array of pointers to pods, and what must live as long as it."""
    kept = [ctypes.create_string_buffer(pod, len(pod)) for pod in pods]
    return (_POINTER * len(kept))(*map(ctypes.addressof, kept)), kept
