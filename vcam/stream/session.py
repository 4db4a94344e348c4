"""Streams beside each other, each with its own source, engine stream, settings and sinks."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from vcam_relight.pipeline.relighter import Relight
from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.vcam.core.log_context import in_session
from vcam_relight.vcam.settings.store import SettingsStore
from vcam_relight.vcam.sinks import Sink
from vcam_relight.vcam.sources import Source
from vcam_relight.vcam.stream.governor import Governor
from vcam_relight.vcam.stream.loading import LOAD_GRACE_PERIOD_S
from vcam_relight.vcam.stream.loop import FrameLoop
from vcam_relight.vcam.stream.strain import MachineStrain


class SessionLimitError(VcamError):
    """There are as many sessions as there may be."""


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One stream for its whole life."""

    id: str
    """Unique in its manager, never used again."""
    loop: FrameLoop
    """Not started by the manager: whoever asked for the session does, once all is ready."""
    begun: float = field(default_factory=time.monotonic)
    """When it took its place, seconds of the monotonic clock."""


class SessionManager:
    """Makes sessions, up to a number, knows them by id, and stops them. Any thread may call it."""

    def __init__(
        self,
        make_relighter: Callable[[str], Relight],
        max_sessions: int,
        load_grace_period: float = LOAD_GRACE_PERIOD_S,
        governed: bool = True,
    ) -> None:
        """Makes no session yet.

        Args:
            make_relighter: engine name -> a relighter for one stream; runs on a thread of the
                session, may raise, in which case frames pass through.
            max_sessions: how many there may be at once.
            load_grace_period: as of `FrameLoop`.
            governed: whether frames are worth less work while the machine is busy.
        """
        self.max_sessions = max_sessions
        self._make_relighter = make_relighter
        self._load_grace_period = load_grace_period
        self._strain = MachineStrain() if governed else None
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._ids = map(str, itertools.count(1))

    def create(
        self,
        source: Source,
        settings: SettingsStore,
        sinks: Sequence[Sink],
        idle_timeout: float | None = None,
    ) -> Session:
        """A new session, not started; it takes its place at once.

        Args:
            source: gives the frames.
            settings: the session's own.
            sinks: each gets every frame that it is quick enough for.
            idle_timeout: as of `FrameLoop`.

        Raises:
            SessionLimitError: there are `max_sessions` already.
        """
        with self._lock:
            if len(self._sessions) >= self.max_sessions:
                raise SessionLimitError(
                    f"there are {self.max_sessions} streams already, and no more are accepted",
                    "end one of them",
                )
            session_id = next(self._ids)
            with in_session(session_id):
                loop = FrameLoop(
                    source,
                    self._make_relighter,
                    settings,
                    sinks,
                    idle_timeout,
                    self._load_grace_period,
                    None if self._strain is None else Governor(self._strain),
                )
            session = Session(session_id, loop)
            self._sessions[session.id] = session
            return session

    def stop(self, session: Session) -> None:
        """Ends the stream, completes its sinks, and gives its place free.

        Blocks for as long as its threads take. A second call does nothing.
        """
        session.loop.stop()
        with self._lock:
            self._sessions.pop(session.id, None)

    def __getitem__(self, session_id: str) -> Session:
        return self._sessions[session_id]

    def __iter__(self) -> Iterator[Session]:
        with self._lock:
            return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)
