"""Offers and control messages that nobody would send: an answer or one line, never a hang."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.web_parts import Peer, Served, running

FEW = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,  # a failure is everybody's
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
LIMIT_S = 10.0

Run = Callable[[Awaitable[Any]], Any]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs one piece of work on the module's event loop, within seconds."""
    with asyncio.Runner() as runner:

        async def limited(work: Awaitable[Any]) -> Any:
            return await asyncio.wait_for(work, LIMIT_S)

        yield lambda work: runner.run(limited(work))


@pytest.fixture(scope="module")
def served(run: Run) -> Iterator[Served]:
    """A running server."""
    context = running(max_peers=100)
    yield run(context.__aenter__())
    run(context.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def honest(run: Run, served: Served) -> list[str]:
    """The lines of an offer as they should be."""

    async def made() -> list[str]:
        peer = Peer(served)
        await peer.connection.setLocalDescription(await peer.connection.createOffer())
        lines = peer.connection.localDescription.sdp.splitlines()
        await peer.close()
        return lines

    lines: list[str] = run(made())
    return lines


WORDS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["", " ", "0", "-1", "1e9", "nan", "\x00", "ä", "a" * 3000, "m=video"]),
    st.text(max_size=20),
)  # fmt: skip


@st.composite
def damage(draw: st.DrawFn) -> list[tuple[str, float, float, str]]:
    """Edits of an offer: what, at which line and word (0..1), and the text that goes there."""
    kinds = st.sampled_from(["drop", "double", "swap", "word", "insert"])
    place = st.floats(0, 1, exclude_max=True)
    return draw(st.lists(st.tuples(kinds, place, place, WORDS), min_size=1, max_size=8))


def damaged(lines: list[str], edits: list[tuple[str, float, float, str]]) -> str:
    """The offer after the edits."""
    lines = list(lines)
    for kind, line, word, text in edits:
        at = int(line * len(lines))
        if kind == "drop" and len(lines) > 1:
            del lines[at]
        elif kind == "double":
            lines[at:at] = [lines[at]] * (1 + int(200 * word))
        elif kind == "swap":
            other = int(word * len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == "word":
            words = lines[at].split(" ")
            words[int(word * len(words))] = text
            lines[at] = " ".join(words)
        else:
            lines.insert(at, text)
    return "\r\n".join(lines) + "\r\n"


@given(edits=damage())
@FEW
def test_any_offer_is_answered_or_refused_with_one_line(
    run: Run, served: Served, honest: list[str], edits: list[tuple[str, float, float, str]]
) -> None:
    status, answer = run(served.post("/api/offer", {"sdp": damaged(honest, edits)}))
    assert status in (200, 400, 413), answer
    assert ("sdp" in answer) if status == 200 else len(answer["error"].splitlines()) == 1
    if status == 200:  # it will never come: its place is given up
        run(served.post("/api/offer", {"sdp": "v=0\r\n", "replaces": answer["connection"]}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
CHANGES = st.dictionaries(
    st.sampled_from(["preset", "engine", "aim", "mirror", "intensity", "yaw", "?"]), JSON
)  # fmt: skip
MESSAGES = st.one_of(
    st.text(max_size=200),
    JSON.map(json.dumps),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["set", "view", "shown", "hello", 7, None]), "id": JSON},
        optional={"changes": CHANGES | JSON, "frame": JSON, "visible": JSON, "original": JSON},
    ).map(json.dumps),
    st.just("[" * 4000),
)


@given(texts=st.lists(MESSAGES, min_size=1, max_size=6))
@FEW
def test_any_control_message_is_answered_and_the_panel_stays(
    run: Run, served: Served, texts: list[str]
) -> None:
    async def talk() -> None:
        async with served.panel() as panel:
            for text in texts:
                await panel.send_str(text)
            await panel.send_json({"type": "set", "id": -77, "changes": {"preset": "key-left"}})
            while True:
                message = await panel.receive(timeout=LIMIT_S)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    assert message.type is aiohttp.WSMsgType.BINARY, message
                    continue
                answer = json.loads(message.data)
                if answer["type"] == "error":
                    assert len(answer["error"].splitlines()) == 1
                if answer.get("id") == -77:
                    assert answer["type"] == "ack"
                    return

    run(talk())
