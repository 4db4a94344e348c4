"""What holds for every test of the server."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def nothing_is_left_unanswered(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails a test after which asyncio complains, as of an exception that nobody retrieved."""
    yield
    gc.collect()  # futures tell it when they are deleted
    complaints = [r.getMessage() for r in caplog.get_records("call") if r.name == "asyncio"]
    assert not complaints
