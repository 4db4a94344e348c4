"""Pauses between tries."""

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 8.0


class Backoff:
    """Doubling pauses between tries, from half a second to eight."""

    def __init__(self) -> None:
        self._pause = FIRST_RETRY_S

    def next(self) -> float:
        """The pause before the next try, in seconds."""
        pause, self._pause = self._pause, min(self._pause * 2, LAST_RETRY_S)
        return pause

    def reset(self) -> None:
        """It worked."""
        self._pause = FIRST_RETRY_S
