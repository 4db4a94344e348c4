"""The server: who may talk to it, what the preview costs, how settings are acknowledged."""

import asyncio
import datetime
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from conftest import ROOT
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.stand_ins import KeepingSink, wait_for
from support.tolerances import JPEG_LEVEL
from support.web_parts import GAIN, SCENE_LEVEL, DimRelighter, Served, level, running, until
from vcam_relight.pipeline.compositing.portrait import Portrait, ball
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.relighter import Relight
from vcam_relight.vcam.core.errors import VcamError
from vcam_relight.web.ice import IceServers
from vcam_relight.web.security import allowed_hosts
from vcam_relight.web.server import WebConfig, WebServer


def parse(data: bytes) -> tuple[dict[str, Any], list[Any]]:
    """Header and decoded images of a preview message."""
    (size,) = struct.unpack(">I", data[:4])
    head = json.loads(data[4 : 4 + size])
    offset, images = 4 + size, []
    for length in head["parts"]:
        part = np.frombuffer(data[offset : offset + length], np.uint8)
        images.append(cv2.imdecode(part, cv2.IMREAD_COLOR))
        offset += length
    assert offset == len(data)
    return head, images


async def next_text(panel: Any, kind: str) -> dict[str, Any]:
    """The next message of that type; frames are acknowledged on the way."""
    async with asyncio.timeout(20):
        while True:
            message = await panel.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                head = parse(message.data)[0]
                if head["type"] == "frame":
                    await panel.send_json({"type": "shown", "frame": head["frame"]})
            else:
                data: dict[str, Any] = json.loads(message.data)
                if data["type"] == kind:
                    return data


async def next_frame(panel: Any) -> tuple[dict[str, Any], list[Any]]:
    """The next image; it is not acknowledged."""
    async with asyncio.timeout(20):
        while True:
            message = await panel.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                return parse(message.data)


async def test_the_guard_refuses_what_is_not_ours() -> None:
    async with running() as served:
        origin = served.server.origin
        here = origin.removeprefix("http://")
        port = here.rpartition(":")[2]
        token = served.headers
        json_type = {"Content-Type": "application/json"}
        form = token | {"Content-Type": "text/plain"}
        post = token | json_type
        evil = "https://evil.example"
        cross = {"Sec-Fetch-Site": "cross-site"}
        link = cross | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        frame = link | {"Sec-Fetch-Dest": "iframe"}
        cases = [
            ("page", "GET", "/", {}, 200),
            ("page by name", "GET", "/", {"Host": f"localhost:{port}"}, 200),
            ("script", "GET", "/panel.js", {}, 200),
            ("health", "GET", "/healthz", {}, 200),
            ("state", "GET", "/api/state", token, 200),
            ("settings", "POST", "/api/settings", post | {"Origin": origin}, 200),
            ("rebound name", "GET", "/", {"Host": f"evil.example:{port}"}, 421),
            ("rebound name, token", "GET", "/api/state", token | {"Host": "evil.example"}, 421),
            ("wrong port", "GET", "/", {"Host": "127.0.0.1:1"}, 421),
            ("no port", "GET", "/", {"Host": "127.0.0.1"}, 421),
            ("prefix of ours", "GET", "/", {"Host": f"127.0.0.1.evil.example:{port}"}, 421),
            ("broken host", "GET", "/", {"Host": "[::1"}, 421),
            ("other origin", "POST", "/api/settings", post | {"Origin": evil}, 403),
            ("other port", "GET", "/api/state", token | {"Origin": "http://127.0.0.1:1"}, 403),
            ("other scheme", "GET", "/api/state", token | {"Origin": f"https://{here}"}, 403),
            ("null origin", "POST", "/api/settings", post | {"Origin": "null"}, 403),
            ("name in capitals", "GET", "/", {"Host": f"LOCALHOST:{port}"}, 200),
            ("user in the host", "GET", "/", {"Host": f"evil.example@127.0.0.1:{port}"}, 421),
            ("path in the host", "GET", "/", {"Host": f"127.0.0.1:{port}/x"}, 421),
            ("query in the host", "GET", "/", {"Host": f"127.0.0.1:{port}?x"}, 421),
            ("fragment in the host", "GET", "/", {"Host": f"127.0.0.1:{port}#x"}, 421),
            ("cross-site page", "GET", "/", cross, 403),
            ("link to the panel", "GET", "/", link, 200),
            ("link to the peer page", "GET", "/peer", link, 200),
            ("frame", "GET", "/", frame, 403),
            ("form of another site", "POST", "/", link, 403),
            ("link to a script", "GET", "/panel.js", link, 403),
            ("link to health", "GET", "/healthz", link, 403),
            ("link to the state", "GET", "/api/state", link | token, 403),
            ("same-site fetch", "GET", "/api/state", token | {"Sec-Fetch-Site": "same-site"}, 403),
            ("no token", "GET", "/api/state", {}, 401),
            ("wrong token", "GET", "/api/state", {"Authorization": "Bearer x"}, 401),
            ("token in the query", "GET", f"/api/state?token={served.server.token}", {}, 401),
            ("unknown path, no token", "GET", "/server.py", {}, 401),
            ("unknown path", "GET", "/../server.py", token, 404),
            ("form post", "POST", "/api/settings", form, 415),
            ("other method", "GET", "/api/settings", token, 405),
        ]  # fmt: skip
        wrong = []
        for name, method, path, headers, want in cases:
            body = b"{}" if method == "POST" else None
            async with served.http.request(
                method, origin + path, headers=headers, data=body
            ) as response:
                if response.status != want:
                    wrong.append((name, response.status, want))
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy and "unsafe" not in policy, name
                assert "Access-Control-Allow-Origin" not in response.headers, name
                if want == 405:
                    assert response.headers["Allow"] == "POST"
                if want == 421:
                    assert "that vcam printed" in (await response.json())["error"]
        assert not wrong


def test_names_of_a_server_that_others_can_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Studio.example.org")
    loopback = {"localhost", "127.0.0.1", "::1"}
    assert allowed_hosts("127.0.0.1") == loopback
    assert allowed_hosts("0.0.0.0") == loopback | {"studio.example.org", "studio.local"}


async def test_sizes_are_bounded_and_the_server_goes_on() -> None:
    async with running() as served:
        assert (await served.post("/api/offer", {"sdp": "v=0\r\n" * 2_000_000}))[0] == 413
        assert (await served.post("/api/offer", {"sdp": "x" * 70_000}))[0] == 413
        assert (await served.post("/api/settings", {"preset": "x" * 5000}))[0] == 413
        assert (await served.post("/api/offer", {"sdp": "no SDP at all"}))[0] == 400
        assert (await served.post("/api/offer", ["sdp"]))[0] == 400
        status, answer = await served.post("/api/offer", {"sdp": "v=0\r\n" + 5 * "m=video 9\r\n"})
        assert status == 400 and "media sections" in answer["error"]
        assert (await served.get("/healthz"))["state"] in ("starting", "running", "idle")


async def test_a_websocket_needs_the_token() -> None:
    async with running() as served:
        for protocols in ((), ("vcam",), ("vcam", "token.wrong")):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await served.http.ws_connect(f"{served.server.origin}/ws", protocols=protocols)
            assert refused.value.status == 401
        async with served.panel() as panel:
            hello = await next_text(panel, "hello")
            assert panel.protocol == "vcam"
            assert "key-left" in [preset["name"] for preset in hello["presets"]]
            assert hello["controls"]["intensity"]["high"] == 2.0


async def test_an_unwatched_preview_encodes_nothing() -> None:
    async with running() as served:
        source = served.loop.stats.received

        async def encoded_during(frames: int) -> int:
            before, start = served.preview.encoded, source.total
            await until(lambda: source.total >= start + frames)
            return served.preview.encoded - before

        assert await encoded_during(15) == 0
        assert served.loop.status().state == "idle"
        async with served.panel() as panel:
            assert await encoded_during(15) == 0  # connected, but the page has not come up
            await panel.send_json({"type": "view", "visible": True})
            await next_frame(panel)
            assert await encoded_during(15) == 0  # one frame, not acknowledged: no other
            await panel.send_json({"type": "shown", "frame": 1})
            await next_frame(panel)
            await panel.send_json({"type": "view", "visible": False})
            await panel.send_json({"type": "shown", "frame": 2})
            await until(lambda: not served.preview.has_consumers)
            assert await encoded_during(15) == 0
            await panel.send_json({"type": "view", "visible": True})
            await next_frame(panel)
        await until(lambda: not served.preview.has_consumers)
        assert await encoded_during(15) == 0


async def test_thumbnails_come_while_they_are_shown() -> None:
    class Posing(DimRelighter):
        posing = True

        def portrait(self, image: BgrImage, time_s: float) -> Portrait | None:
            return ball() if self.posing else None

    relighter = Posing()
    async with running(lambda name: relighter) as served, served.panel() as panel:
        await panel.send_json({"type": "view", "visible": True})
        assert (await next_frame(panel))[0]["type"] == "frame"
        assert served.thumbnails.made == 0, "nobody asked"
        await panel.send_json({"type": "view", "visible": True, "thumbnails": True})
        for _ in range(2):  # the panel shows no more frames: thumbnails do not wait for that
            head, (sheet,) = await next_frame(panel)
            assert head["type"] == "thumbnails" and head["names"] == list(served.store.presets)
        side, columns = head["side"], head["columns"]
        y, x = divmod(head["names"].index("key-left"), columns)
        tile = sheet[y * side : (y + 1) * side, x * side : (x + 1) * side].astype(float)
        middle = slice(side // 3, 2 * side // 3)
        assert tile[middle, side // 4].mean() > 1.3 * tile[middle, -side // 4].mean()
        relighter.posing = False
        made = served.thumbnails.made
        await until(lambda: served.thumbnails.made > made)
        made, source = served.thumbnails.made, served.loop.stats.received
        await until(lambda start=source.total: source.total > start + 30)
        assert served.thumbnails.made == made, "the plain balls are sent once"


async def test_frames_carry_relit_and_on_request_the_original() -> None:
    async with running() as served, served.panel() as panel:
        await panel.send_json({"type": "view", "visible": True})
        head, (relit,) = await next_frame(panel)
        assert (head["width"], head["height"]) == (640, 360) == relit.shape[1::-1]
        assert level(relit) == pytest.approx(SCENE_LEVEL * GAIN, abs=JPEG_LEVEL)
        await panel.send_json({"type": "view", "visible": True, "original": True})
        await panel.send_json({"type": "shown", "frame": head["frame"]})
        for _ in range(3):  # one without the original may be on its way
            head, images = await next_frame(panel)
            await panel.send_json({"type": "shown", "frame": head["frame"]})
        assert level(images[0]) == pytest.approx(SCENE_LEVEL * GAIN, abs=JPEG_LEVEL)
        assert level(images[1]) == pytest.approx(SCENE_LEVEL, abs=JPEG_LEVEL)


async def test_settings_are_acknowledged_applied_and_seen_by_other_panels() -> None:
    async with running() as served, served.panel() as one, served.panel() as other:
        await one.send_json({"type": "view", "visible": True})
        await one.send_json(
            {"type": "set", "id": 7, "changes": {"preset": "off", "warmth": 0.25, "aim": [30, 10]}}
        )
        ack = await next_text(one, "ack")
        assert (ack["id"], ack["settings"]["preset"]) == (7, "off")
        assert (ack["settings"]["warmth"], ack["settings"]["aim"]) == (0.25, [30, 10])
        assert served.store.current.settings.relight.warmth == 0.25
        state = await next_text(one, "state")
        while state["applied"] < ack["settings_id"]:
            state = await next_text(one, "state")
        assert state["state"] == "running"
        seen = await next_text(other, "state")
        while seen["settings_id"] < ack["settings_id"]:
            seen = await next_text(other, "state")
        assert seen["settings"] == ack["settings"]
        status, answer = await served.post("/api/settings", {"mirror": True})
        assert (status, answer["settings"]["mirror"]) == (200, True)


async def test_bad_messages_are_answered_and_change_nothing() -> None:
    async with running() as served, served.panel() as panel:
        before = served.store.current
        bad = [
            {"intensity": 99},
            {"intensity": "1"},
            {"intensity": 10**400},
            {"preset": "nowhere"},
            {"preset": "off", "aim": [500, 0]},
            {"engine": []},
            {"mirror": 1},
            {"colour": 1},
            {"warmth": 0.5, "engine": "geometry", "yaw": 20},
            {"engine": "passthrough", "pitch": -5.0},
            [],
        ]
        texts = [json.dumps({"type": "set", "id": 1, "changes": changes}) for changes in bad]
        texts += ["{", "[]", "7", "[" * 3000, '{"type": "dance"}', '{"changes": {"warmth": NaN}}']
        for text in texts:
            await panel.send_str(text)
            assert (await next_text(panel, "error"))["error"], text
        status, answer = await served.post("/api/settings", {"engine": "geometry", "yaw": 20})
        assert status == 400 and "has no yaw" in answer["error"]
        status, answer = await served.post("/api/settings", {"fill": 7})
        assert status == 400 and "fill must be between 0 and 1" in answer["error"]
        assert served.store.current is before
        await panel.send_str("x" * 10_000)  # more than any message may have: the socket closes
        async with asyncio.timeout(20):
            async for _ in panel:
                pass
        assert panel.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        assert (await served.get("/api/state"))["settings_id"] == before.id


async def test_a_failed_engine_is_reported_with_its_reason() -> None:
    def broken(name: str) -> Relight:
        return DimRelighter(error=RuntimeError("its weights are missing"))

    async with running(broken) as served, served.panel() as panel:
        await panel.send_json({"type": "view", "visible": True})
        _, (image,) = await next_frame(panel)
        assert level(image) == pytest.approx(SCENE_LEVEL, abs=JPEG_LEVEL)
        state = await next_text(panel, "state")
        while state["state"] != "degraded":
            state = await next_text(panel, "state")
        assert "its weights are missing" in state["reason"]
        # anyone may ask for the health, and a reason may hold paths
        assert await served.get("/healthz") == {"state": "degraded"}


async def test_the_state_names_source_and_sinks() -> None:
    sink = KeepingSink()
    async with running(sinks=(sink,)) as served:
        state = await served.get("/api/state")
        assert (state["source"], state["sinks"]) == (
            "scene",
            [{"kind": sink.kind, "label": sink.label}],
        )
    async with running(peer=True) as served:
        assert (await served.get("/api/state"))["sinks"] == []


def server_like(served: Served, **config: Any) -> WebServer:
    """Another server for the same session."""
    return WebServer(
        WebConfig(**config),
        served.sessions,
        next(iter(served.sessions)),
        served.preview,
        served.thumbnails,
    )


async def test_what_cannot_be_started_says_why_and_the_mend(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    async with running() as served:
        taken = served.server.port
        for config, words in (
            ({"port": taken}, "--port"),
            ({"port": 0, "host": "0.0.0.0"}, "TLS"),
            ({"port": 0, "host": "192.0.2.1", "tls_cert": empty, "tls_key": empty}, "TLS files"),
            ({"port": 0, "tls_cert": empty}, "both"),
            ({"port": 0, "ice_servers": IceServers(("stun.example.org",))}, "stun:"),
            ({"port": 0, "ice_servers": IceServers(("turn:turn.example.org",))}, "only plain STUN"),
            ({"port": 0, "host": "no.such.host.invalid"}, "TLS"),
        ):
            server = server_like(served, **config)
            with pytest.raises(VcamError) as error:
                await server.start()
            assert words in str(error.value), config
            await server.stop()


BROWSER = """#!/bin/sh
exec >/dev/null 2>&1
echo $$ > "$KEPT/pid"
echo "$@" > "$KEPT/arguments"
stat -c %a "${1#file://}" "$(dirname "${1#file://}")" > "$KEPT/modes"
cp "${1#file://}" "$KEPT/page"
touch "$KEPT/kept"
exec sleep 300
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in for a browser is a shell script")
def test_the_browser_is_opened_without_the_token_and_not_waited_for(tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(BROWSER)
    browser.chmod(0o755)
    args = ("--source", "peer", "--sink", "none", "--port", "0", "--engine", "passthrough")
    env = {"BROWSER": f"{browser} %s", "DISPLAY": ":0", "KEPT": str(tmp_path)}
    program = subprocess.Popen(
        [sys.executable, str(ROOT / "run_vcam.py"), *args],
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for((tmp_path / "kept").exists)
        program.terminate()
        out, err = program.communicate(timeout=60)
    finally:
        program.kill()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # it is open to this day
    assert program.returncode == 0, err
    panel, peer = out.splitlines()
    url = panel.removeprefix("panel: ")
    assert peer == f"peer: {url.replace('/#', '/peer#')}"
    arguments = (tmp_path / "arguments").read_text().strip()
    assert arguments.startswith("file:///") and url.partition("=")[2] not in arguments
    assert (tmp_path / "modes").read_text().split() == ["600", "700"]
    assert url in (tmp_path / "page").read_text()
    assert not Path(arguments.removeprefix("file://")).parent.exists(), "it is removed at the end"


async def test_off_loopback_with_tls_and_token(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    async with running(host="0.0.0.0", tls_cert=cert, tls_key=key) as served:
        port = served.server.port
        assert served.server.origin.startswith("https://")
        context = ssl.create_default_context(cafile=str(cert))
        base = f"https://127.0.0.1:{port}"
        for path, headers, want in (
            ("/", {}, 200),
            ("/api/state", {}, 401),
            ("/api/state", served.headers | {"Origin": base}, 200),
            ("/api/state", served.headers | {"Host": f"evil.example:{port}"}, 421),
        ):
            async with served.http.get(base + path, headers=headers, ssl=context) as response:
                assert response.status == want, (path, headers)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vcam test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
