"""Whether another program reads a v4l2loopback device: if none does, the real camera can rest.

From 0.13 on the driver tells who streams. Of older ones it can only be seen who has the device
open, which programs also do for a moment to list it.
"""

import contextlib
import ctypes
import os
import select
import struct
import threading
import time
from pathlib import Path
from typing import Protocol

SETTLE_S = 0.2
"""How long a device must be open to count as read: listing cameras takes less."""

_CLIENT_USAGE = 0x08000000 + 0x08E00000 + 1  # V4L2_EVENT_PRI_CLIENT_USAGE, v4l2loopback.h
_SEND_INITIAL = 1
_IN_OPEN, _IN_CLOSE, _IN_Q_OVERFLOW = 0x20, 0x08 | 0x10, 0x4000  # sys/inotify.h
_EVENT = struct.Struct("iIII")  # struct inotify_event without the name


class _Event(ctypes.Structure):
    """`struct v4l2_event`."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("data", ctypes.c_uint64 * 8),
        ("pending", ctypes.c_uint32),
        ("sequence", ctypes.c_uint32),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
        ("id", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 8),
    )


_DQEVENT = 2 << 30 | ctypes.sizeof(_Event) << 16 | ord("V") << 8 | 89
_SUBSCRIBE = 1 << 30 | 32 << 16 | ord("V") << 8 | 90


class _ConsumerCount(Protocol):
    """Tells whether somebody reads."""

    def present(self) -> bool: ...

    def close(self) -> None: ...


class ConsumerMonitor:
    """Whether somebody reads; True where that cannot be known.

    Any thread may ask, at best not one with sockets: after a program has opened or closed the
    device the answer takes tens of ms.
    """

    def __init__(self, device: int, path: Path) -> None:
        """Watches from now on.

        Args:
            device: a descriptor of the device, open for writing; it stays the caller's.
            path: the device file.

        Raises:
            OSError: inotify's instances are used up.
        """
        self._lock = threading.Lock()
        self._watch: _ConsumerCount | None
        try:
            self._watch = _ClientUsage(device)
        except OSError:
            self._watch = _OpenFiles(path) if is_host_device(path) else _Unknown()

    @property
    def present(self) -> bool:
        """Whether another program reads the device now; False once closed."""
        with self._lock:
            return self._watch is not None and self._watch.present()

    def close(self) -> None:
        """Stops watching; call it before the device is closed."""
        with self._lock:
            watch, self._watch = self._watch, None
            if watch is not None:
                watch.close()


class _ClientUsage:
    """What v4l2loopback 0.13 and later tell."""

    def __init__(self, device: int) -> None:
        from fcntl import ioctl  # Linux only

        self._ioctl = ioctl
        self._device = device
        self._count = 0
        self._poll = select.poll()
        self._poll.register(device, select.POLLPRI)
        self._ioctl(
            device, _SUBSCRIBE, struct.pack("8I", _CLIENT_USAGE, 0, _SEND_INITIAL, *[0] * 5)
        )

    def present(self) -> bool:
        while any(happened & select.POLLPRI for _, happened in self._poll.poll(0)):
            event = _Event()
            try:
                self._ioctl(self._device, _DQEVENT, event)
            except OSError:  # the device has gone; writing will say so
                return False
            if event.type == _CLIENT_USAGE:
                self._count = event.data[0] & 0xFFFFFFFF
        return self._count > 0

    def close(self) -> None:
        pass  # the subscription ends with the descriptor


class _OpenFiles:
    """Counts how often others have the device open; inotify tells when to look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0 or (
            libc.inotify_add_watch(self._fd, os.fsencode(path), _IN_OPEN | _IN_CLOSE) < 0
        ):
            error = ctypes.get_errno()
            self.close()
            raise OSError(error, os.strerror(error))
        self._count = self._seen = _open_by_others(path)
        self._since = time.monotonic()

    def present(self) -> bool:
        events = self._events()
        if events:
            before = self._count
            for happened in events:
                if happened & _IN_OPEN:
                    self._count += 1
                elif happened & _IN_CLOSE:
                    self._count = max(self._count - 1, 0)  # it was open before, out of our sight
            # Equal events that follow one another become one: that count drifts. It is all there
            # is for processes that are not seen, in other containers and of other users.
            seen = _open_by_others(self._path)
            if seen or self._seen or any(happened & _IN_Q_OVERFLOW for happened in events):
                self._count = seen
            self._seen = seen
            if not before and self._count:
                self._since = time.monotonic()
        return self._count > 0 and time.monotonic() - self._since >= SETTLE_S

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def _events(self) -> list[int]:
        try:
            data = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return []
        events, place = [], 0
        while place < len(data):
            _, mask, _, length = _EVENT.unpack_from(data, place)
            events.append(mask)
            place += _EVENT.size + length
        return events


class _Unknown:
    """Nothing tells, so somebody may read at any time."""

    def present(self) -> bool:
        return True

    def close(self) -> None:
        pass


def is_host_device(path: Path) -> bool:
    """Whether this is the device file that everybody opens.

    A container has one of its own, whose inode does not see what happens outside.
    """
    number = path.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[2] == device and " - devtmpfs " in line for line in mounts)


def _open_by_others(path: Path) -> int:
    """How many descriptors of other processes are seen on a device; other users' are not."""
    count = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            for link in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    count += link.readlink() == path
    return count
