"""Who waits for a place: first come, first served, as long as they ask again."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

ASK_AGAIN_S = 3
"""How soon who waits should ask again."""
_PATIENCE_S = 12.0
"""Who has not asked for so long has gone."""
MOST_WAITING = 200


@dataclass(frozen=True, slots=True)
class Turn:
    """What somebody who wants a place is told."""

    ticket: str
    """To ask again with."""
    place: int
    """In line, from 1; 0: it is their turn."""


class WaitingRoom:
    """The line; for one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}
        """Ticket -> when its holder last asked, in order of arrival."""

    def __len__(self) -> int:
        self._forget()
        return len(self._seen)

    def ask(self, ticket: str | None, free: int) -> Turn | None:
        """Whether it is somebody's turn; who has it leaves the line.

        Args:
            ticket: as of the last `Turn`, if any.
            free: places that are.

        Returns:
            None where the line is too long for somebody new.
        """
        self._forget()
        if ticket is None or ticket not in self._seen:
            if len(self._seen) < free:  # nobody is before them
                return Turn("", 0)
            if len(self._seen) >= MOST_WAITING:
                return None
            ticket = secrets.token_urlsafe(12)
        self._seen[ticket] = self._clock()
        before = list(self._seen).index(ticket)
        if before < free:
            del self._seen[ticket]
            return Turn(ticket, 0)
        return Turn(ticket, before - free + 1)

    def _forget(self) -> None:
        gone = self._clock() - _PATIENCE_S
        for ticket in [ticket for ticket, seen in self._seen.items() if seen < gone]:
            del self._seen[ticket]
