"""The listening socket against clients that say nothing, too little, or nonsense."""

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
import zlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.web_parts import Served, running
from vcam_relight.web import http, listener

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(served: Served) -> Connection:
    """A bare TCP connection to the server."""
    port = int(served.server.origin.rpartition(":")[2])
    return await asyncio.open_connection("127.0.0.1", port)


async def ends(connection: Connection, within: float) -> bytes:
    """What the server says until it closes; fails when it does not."""
    async with asyncio.timeout(within):
        with contextlib.suppress(ConnectionError):
            return await connection[0].read()
    return b""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths."""
    monkeypatch.setattr(listener, "IDLE_S", 0.5)
    monkeypatch.setattr(http, "BODY_S", 0.5)


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Path]:
    """A certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vcam")])
    today = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today)
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    files["tls_cert"].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files["tls_key"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTTP/1.1\r\nHost: 127", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n"],
    ids=["nothing", "half of the headers", "one request"],
)
async def test_a_connection_that_falls_silent_is_closed_within_seconds(
    impatient: None, said: bytes
) -> None:
    async with running() as served:
        port = served.server.origin.rpartition(":")[2]
        connection = await connect(served)
        connection[1].write(said.replace(b"PORT", port.encode()))
        await ends(connection, 3.0)


async def test_headers_that_come_a_byte_at_a_time_do_not_keep_a_connection(
    impatient: None,
) -> None:
    async with running() as served:
        reader, writer = await connect(served)

        async def drip() -> None:
            for byte in b"GET / HTTP/1.1\r\n" + b"X-Long: " + 1000 * b"x":
                writer.write(bytes([byte]))
                await asyncio.sleep(0.1)

        dripping = asyncio.ensure_future(drip())
        await ends((reader, writer), 3.0)
        dripping.cancel()


async def test_a_body_that_does_not_come_and_one_of_another_encoding_are_refused(
    impatient: None,
) -> None:
    async with running() as served:
        url = served.server.origin + "/api/settings"
        host = served.server.origin.removeprefix("http://")
        connection = await connect(served)
        connection[1].write(
            f"POST /api/settings HTTP/1.1\r\nHost: {host}\r\nContent-Length: 20\r\n"
            f"Authorization: Bearer {served.server.token}\r\n"
            "Content-Type: application/json\r\n\r\n{".encode()
        )
        assert b" 408 " in await ends(connection, 3.0)
        headers = {"Content-Type": "application/json"} | served.headers
        for encoding in ("gzip", "deflate"):
            async with served.http.post(
                url, data=b'{"preset": "off"}', headers=headers | {"Content-Encoding": encoding}
            ) as response:
                assert response.status == 400
        bomb = zlib.compress(bytes(20 << 20), 9)
        async with served.http.post(
            url, data=bomb, headers=headers | {"Content-Encoding": "deflate"}
        ) as response:
            assert response.status in (400, 413)
        assert await served.get("/healthz")


async def test_the_number_of_connections_is_capped_and_the_server_recovers(
    impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 8)
    async with running() as served, served.panel() as panel:
        silent = [await connect(served) for _ in range(30)]
        closed = [await ends(connection, 3.0) for connection in silent]
        assert closed == [b""] * 30
        assert await served.get("/healthz")
        assert not panel.closed
        assert await panel.receive(timeout=3.0), "the panel's own connection goes on"


async def test_many_short_connections_are_all_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 8)
    async with running() as served:
        url = served.server.origin + "/healthz"
        for _ in range(40):
            async with served.http.get(url, headers={"Connection": "close"}) as response:
                assert response.status == 200


async def test_a_tls_handshake_that_does_not_begin_is_closed_and_counted(
    impatient: None, monkeypatch: pytest.MonkeyPatch, certificate: dict[str, Path]
) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 4)
    trust = ssl.create_default_context(cafile=str(certificate["tls_cert"]))
    async with running(**certificate) as served:
        silent = [await connect(served) for _ in range(12)]
        for connection in silent:
            await ends(connection, 3.0)
        async with served.http.get(served.server.origin + "/healthz", ssl=trust) as response:
            assert response.status == 200


async def test_what_is_refused_before_the_token_names_neither_host_nor_versions() -> None:
    async with running() as served:
        host = served.server.origin.removeprefix("http://")
        port = host.rpartition(":")[2]
        for request in (
            f"GET /api/state HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: evil.example:{port}\r\nConnection: close\r\n\r\n",
            "GET / HTTP/9.9\r\n\r\n",
            "\x16\x03\x01\x02\x00\r\n\r\n",
        ):
            connection = await connect(served)
            connection[1].write(request.encode("latin-1"))
            answer = (await ends(connection, 8.0)).decode()
            assert answer.startswith("HTTP/1.1 4") or answer.startswith("HTTP/1.0 4"), answer
            assert "Server: vcam\r\n" in answer
            lower = answer.lower()
            assert not any(
                word in lower for word in ("python", "aiohttp", "localhost", "traceback")
            )
