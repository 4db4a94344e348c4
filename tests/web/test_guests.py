"""`vcam serve`: who may join, who waits, what they see of one another, and how it ends."""

import base64
import hashlib
import hmac
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.chromium import chromium, new_frames, opened, require_chromium, see
from support.guest_parts import SECRET, House, serving
from support.tolerances import VP8_LEVEL
from support.web_parts import GAIN, SCENE_LEVEL, DimRelighter, Peer, until
from vcam_relight.vcam.core.errors import InputError, VcamError
from vcam_relight.vcam.stream.capacity import measured_places
from vcam_relight.web.guests import GOODBYE
from vcam_relight.web.ice import IceServers
from vcam_relight.web.invitations import InvitationError, Invitations, read_secret
from vcam_relight.web.waiting_room import ASK_AGAIN_S, MOST_WAITING, WaitingRoom
from vcam_relight.web.webrtc.sdp import with_announced_address

DIM = pytest.approx(SCENE_LEVEL * GAIN, abs=VP8_LEVEL)
BRIGHT = pytest.approx(SCENE_LEVEL, abs=VP8_LEVEL)


def test_an_invitation_is_good_until_it_expires_and_after_a_restart() -> None:
    token = Invitations(SECRET).issue(60, people=3, now=1000)
    invitation = Invitations(SECRET).read(token, now=1059)
    assert (invitation.people, invitation.expires) == (3, 1060)
    assert invitation.id != Invitations(SECRET).read(Invitations(SECRET).issue(60)).id
    with pytest.raises(InvitationError, match="expired"):
        Invitations(SECRET).read(token, now=1060)


def test_what_others_made_is_no_invitation() -> None:
    token = Invitations(SECRET).issue(60, people=1)
    version, payload, mac = token.split(".")
    more = base64.urlsafe_b64decode(payload + "==").replace(b'"people":1', b'"people":9')
    forged = base64.urlsafe_b64encode(more).rstrip(b"=").decode()
    for wrong in (
        f"{version}.{forged}.{mac}",
        f"{version}.{payload}.{mac[::-1]}",
        f"v2.{payload}.{mac}",
        payload, "", ".", "...", "é" * 40, "v1." + "A" * 10_000 + "." + mac,
        Invitations(b"another secret").issue(60),
    ):  # fmt: skip
        with pytest.raises(InvitationError):
            Invitations(SECRET).read(wrong)


def test_the_secret_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    made = read_secret(path)
    assert len(made) >= 32 and read_secret(path) == made and path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(InputError, match="others can read"):
        read_secret(path)
    path.write_text("short")
    path.chmod(0o600)
    with pytest.raises(InputError, match="too short"):
        read_secret(path)
    with pytest.raises(InputError, match="cannot be used"):
        read_secret(tmp_path / "no" / "folder")


def test_who_came_first_is_first() -> None:
    now = 0.0
    line = WaitingRoom(lambda: now)
    assert line.ask(None, free=1).place == 0  # type: ignore[union-attr]
    first, second = line.ask(None, 0), line.ask(None, 0)
    assert first and second and (first.place, second.place) == (1, 2)
    third = line.ask(None, free=1)  # a place came free, and others are before
    assert third and third.place == 2
    assert line.ask(second.ticket, free=1).place == 1  # type: ignore[union-attr]
    assert line.ask(first.ticket, free=1).place == 0  # type: ignore[union-attr]
    assert line.ask(second.ticket, free=0).place == 1  # type: ignore[union-attr]
    now = 60.0  # nobody has asked since
    assert len(line) == 0 and line.ask(third.ticket, free=1).place == 0  # type: ignore[union-attr]
    for _ in range(MOST_WAITING):
        assert line.ask(None, 0)
    assert line.ask(None, 0) is None


def test_turn_servers_get_credentials_that_expire() -> None:
    servers = IceServers(("stun:a.example:3478",), ("turn:b.example:3478?transport=udp",), b"key")
    servers.check()
    stun, turn = servers.for_browser(now=1_000_000)
    assert stun == {"urls": "stun:a.example:3478"}
    user = turn["username"]
    assert int(user.partition(":")[0]) == 1_000_000 + 12 * 3600
    mac = hmac.digest(b"key", user.encode(), hashlib.sha1)
    assert turn["credential"] == base64.b64encode(mac).decode()
    for wrong, words in (
        (IceServers(turn=("turn:b.example",)), "needs a secret"),
        (IceServers(turn=("stun:b.example",), secret=b"key"), "only plain TURN"),
        (IceServers(("http://a.example",)), "is no STUN server"),
    ):
        with pytest.raises(VcamError, match=words):
            wrong.check()


def test_answers_name_the_address_that_others_reach() -> None:
    host = "a=candidate:1 1 udp 2130706431 {} 40000 typ host\r\n"
    reflexive = "a=candidate:2 1 udp 1694498815 198.51.100.7 40001 typ srflx raddr 10.0.0.2\r\n"
    lines = [host.format("10.0.0.2"), host.format("fd00::2"), host.format("127.0.0.1"), reflexive]
    shown = with_announced_address("v=0\r\n" + "".join(lines), "203.0.113.9")
    assert shown == "v=0\r\n" + host.format("203.0.113.9") + lines[2] + reflexive


class Busy(DimRelighter):
    """Takes 20 ms of a core for each frame."""

    def process(self, *frame: Any) -> Any:
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return super().process(*frame)

    def __enter__(self) -> "Busy":
        return self

    def __exit__(self, *error: object) -> None:
        pass


def test_a_machine_takes_as_many_as_its_cores_carry() -> None:
    # A stream of 20 frames a second is 0.4 of a core, and 0.11 for its pictures' way.
    make: Any = Busy
    assert measured_places(make, (320, 180), 20.0, cores=4) in (5, 6)
    assert measured_places(make, (320, 180), 200.0, cores=1) == 1


async def test_only_invitations_open_the_door_and_not_the_house() -> None:
    async with serving() as house:
        somebody = house.visitor()
        status, state = await somebody.get("/api/state")
        assert status == 200 and state["guest"] and state["camera"]["width"] == 640
        for path in ("/api/house", "/metrics"):
            assert (await somebody.get(path))[0] == 401
            assert (await house.owner.get(path))[0] == 200
        late = house.visitor(house.link(lifetime_s=-1))
        status, answer = await late.get("/api/state")
        assert status == 401 and "expired" in answer["error"]
        for token in ("", "x", house.server.token[:-1], somebody.token[:-1] + "!"):
            assert (await house.visitor(f"token={token}").get("/api/state"))[0] == 401
        assert (await somebody.get("/healthz"))[1] == {"state": "running"}
        status, _ = await somebody.post("/api/offer", {}, Origin="https://elsewhere.example")
        assert status == 403


async def test_a_proxy_is_known_by_its_origin_alone() -> None:
    origin = "https://relight.example.org"
    async with serving(origin=origin) as house:
        assert house.link().startswith(f"{origin}/join#token=")
        somebody = house.visitor()
        good = {"Host": "relight.example.org", "Origin": origin}
        assert (await somebody.get("/api/state", **good))[0] == 200
        other = good | {"Origin": "https://relight.example.org.evil.example"}
        assert (await somebody.get("/api/state", **other))[0] == 403
        assert (await somebody.get("/api/state", Host="evil.example"))[0] == 421


async def _joined(house: House, link: str) -> Peer:
    peer = Peer(house.visitor(link))  # type: ignore[arg-type]
    status, answer = await peer.connect()
    assert status == 200, answer
    await until(lambda: peer.levels)
    return peer


async def test_everybody_has_a_place_of_their_own_and_others_wait_in_line() -> None:
    async with serving(places=2) as house:
        link = house.link(people=9)
        one, two = await _joined(house, link), await _joined(house, link)
        await until(lambda: one.states() and two.states())
        assert (await one.set(preset="off"))["type"] == "ack"
        await until(lambda: one.levels[-1] == BRIGHT)
        assert two.levels[-1] == DIM, "another's light is their own"
        three, four = (Peer(house.visitor(link)) for _ in range(2))  # type: ignore[arg-type]
        status, busy = await three.connect()
        assert (status, busy["place"]) == (503, 1) and "number 1 in line" in busy["error"]
        answer = three.served.answer  # type: ignore[attr-defined]
        assert answer.headers["Retry-After"] == str(ASK_AGAIN_S)
        status, later = await four.connect()
        assert (status, later["place"]) == (503, 2)
        _, seen = await house.owner.get("/api/house")
        assert (len(seen["sessions"]), seen["places"], seen["waiting"]) == (2, 2, 2)
        await one.close()
        await until(lambda: len(house.sessions) == 1)
        offer = {"sdp": four.connection.localDescription.sdp}
        status, again = await four.served.post("/api/offer", offer | {"ticket": later["ticket"]})
        assert (status, again["place"]) == (503, 1), "who came first is first"
        offer = {"sdp": three.connection.localDescription.sdp, "ticket": busy["ticket"]}
        assert (await three.served.post("/api/offer", offer))[0] == 200
        for peer in (two, three, four):
            await peer.close()


async def test_an_invitation_for_one_lets_one_in() -> None:
    async with serving(places=3) as house:
        link = house.link(people=1)
        one, other = await _joined(house, link), Peer(house.visitor(link))  # type: ignore[arg-type]
        status, answer = await other.connect()
        assert status == 409 and "somebody is in by this invitation" in answer["error"]
        await one.close()
        await until(lambda: len(house.sessions) == 0)
        offer = {"sdp": other.connection.localDescription.sdp}
        assert (await other.served.post("/api/offer", offer))[0] == 200
        await other.close()


async def test_what_runs_is_counted_for_prometheus() -> None:
    async with serving(places=1) as house:
        one = Peer(house.owner)  # type: ignore[arg-type]
        connection = (await one.connect())[1]["connection"]
        await until(lambda: one.states() and one.states()[-1]["stats"]["latency_ms"])
        refused, _ = await Peer(house.visitor()).connect()  # type: ignore[arg-type]
        assert refused == 503
        _, text = await house.owner.get("/metrics")
        found: dict[str, list[Any]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample)
        assert found["vcam_sessions"][0].value == found["vcam_places"][0].value == 1
        assert found["vcam_refused_total"][0].value == 1 and found["vcam_waiting"][0].value == 1
        fps = {one.labels["way"]: one.value for one in found["vcam_session_fps"]}
        assert 5 < fps["in"] < 60 and 5 < fps["out"] < 60
        ages = {one.labels["percentile"]: one.value for one in found["vcam_session_age_seconds"]}
        assert 0 < ages["50"] <= ages["99"] < 5
        stages = {one.labels["stage"] for one in found["vcam_session_stage_seconds"]}
        assert "dim" in stages and found["vcam_session_well"][0].value == 1
        assert found["vcam_moved_total"][0].value == found["vcam_lost_total"][0].value == 0
        assert found["vcam_cores"][0].value >= 1 and found["vcam_lag_seconds"]
        assert found["process_cpu_seconds_total"][0].value > 0
        again = Peer(house.owner)  # type: ignore[arg-type]
        assert (await again.connect(replaces=connection))[0] == 200
        await until(again.states)
        _, text = await house.owner.get("/metrics")
        assert "vcam_moved_total 1.0" in text and 'session="2"' in text
        for peer in (again, one):
            await peer.close()
        await until(lambda: len(house.sessions) == 0)
        _, text = await house.owner.get("/metrics")
        assert "session=" not in text, "a session's series end with it"
        assert "vcam_lost_total 0.0" in text


async def test_who_is_in_is_told_before_the_server_ends() -> None:
    async with serving() as house:
        one = await _joined(house, house.link())
        await until(one.states)
        await house.server.stop()
        await until(lambda: {"type": "bye", "reason": GOODBYE} in one.messages)
        assert len(house.sessions) == 0
        await one.close()


@pytest.mark.slow
async def test_two_hundred_who_come_and_go_leave_nothing() -> None:
    async with serving(places=2) as house:
        link = house.link(people=2)
        threads = 0
        for index in range(200):
            peer = Peer(house.visitor(link))  # type: ignore[arg-type]
            status, answer = await peer.connect()
            assert status == 200, (index, answer)
            await until(lambda peer=peer: peer.connection.connectionState == "connected")
            if index % 20 == 0:
                await until(lambda peer=peer: peer.levels)
            await peer.close()
            await until(lambda: len(house.sessions) == 0)
            if index == 20:
                threads = threading.active_count()
        assert threading.active_count() <= threads + 2
        assert (await house.owner.get("/api/house"))[1]["sessions"] == []


async def test_chromium_joins_waits_in_line_and_comes_back_after_a_restart(tmp_path: Path) -> None:
    require_chromium()
    async with chromium(tmp_path) as browser, serving(places=1) as house:
        link = house.link()
        port = house.server.port
        async with opened(browser, link) as page:
            await page.get_by_role("button", name="Start camera").click()
            await new_frames(page, "relit")
            assert await page.locator("#panel-link").is_hidden()
            assert await page.evaluate("document.getElementById('relit').videoWidth") == 640
            await page.get_by_role("button", name="Off").first.click()
            (session,) = house.sessions
            await until(lambda: session.loop.settings.current.settings.preset == "off")
            async with opened(browser, link) as other:
                await other.get_by_role("button", name="Start camera").click()
                await see(other, "$('state').dataset.state === 'waiting'")
                assert "number 1 in line" in await other.get_by_role("alert").first.inner_text()
                await page.get_by_role("button", name="Stop camera").click()
                await new_frames(other, "relit")
            await page.bring_to_front()
            await page.get_by_role("button", name="Start camera").click()
            await new_frames(page, "relit")
            await house.server.stop()
            await see(page, "$('banner').innerText.includes('about to restart')")
            async with serving(places=1, port=port) as again:
                await new_frames(page, "relit")
                assert len(again.sessions) == 1
                async with opened(browser, again.server.house_url) as shown:
                    await see(shown, "$('sessions').rows.length === 1")
                    await see(shown, "$('places').textContent.startsWith('1 of 1 places')")
