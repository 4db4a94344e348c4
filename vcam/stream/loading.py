"""Makes something slow on a thread of its own."""

from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from typing import Generic, TypeVar

from vcam_relight.vcam.core.log_context import session_thread

T = TypeVar("T")

LOAD_GRACE_PERIOD_S = 0.25
"""What is made within that time can be waited for."""


class Loading(Generic[T]):
    """What is being made. Its thread ends with the program, also if that is earlier."""

    def __init__(self, make: Callable[[], T], name: str, grace_period: float) -> None:
        """Begins.

        Args:
            make: runs on the thread.
            name: of the thread.
            grace_period: seconds for which the first `get` waits.
        """
        self._future: Future[T] = Future()
        session_thread(self._run, name, make).start()
        self._grace_period = grace_period

    def get(self) -> T | None:
        """What was made, or None as long as it is not. Raises what the maker raised."""
        try:
            return self._future.result(timeout=self._grace_period)
        except TimeoutError:
            if self._future.done():  # the maker's own
                raise
            self._grace_period = 0.0
            return None

    def discard(self, dispose: Callable[[T], None]) -> None:
        """Has `dispose` called with what is made, on any thread, unless making it fails."""

        def made(future: Future[T]) -> None:
            if future.exception() is None:
                dispose(future.result())

        self._future.add_done_callback(made)

    def _run(self, make: Callable[[], T]) -> None:
        try:
            self._future.set_result(make())
        except BaseException as error:
            self._future.set_exception(error)
