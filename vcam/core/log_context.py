"""Which session a line of the log is about, in whatever thread or task it is written."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context

_session: ContextVar[str] = ContextVar("session", default="")


def current_session() -> str:
    """The id of the session that this thread or task works for; empty where it is none's."""
    return _session.get()


@contextmanager
def in_session(session_id: str) -> Iterator[None]:
    """What is logged meanwhile is this session's, also by tasks and threads that begin here."""
    token = _session.set(session_id)
    try:
        yield
    finally:
        _session.reset(token)


def session_thread(target: Callable[..., object], name: str, *args: object) -> threading.Thread:
    """A daemon thread, not started, of the session that the caller works for.

    Threads, unlike asyncio's tasks, do not inherit a context by themselves.
    """
    run = copy_context().run
    return threading.Thread(target=run, args=(target, *args), name=name, daemon=True)
