"""Speaks to the program that runs, over its user's socket."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vcam_relight.vcam.core.control_path import control_path
from vcam_relight.vcam.core.errors import InputError, VcamError

_TIMEOUT_S = 5.0


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket of the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(method: str, path: str, body: object = None) -> dict[str, Any]:
    """The answer to a request.

    Raises:
        InputError: the program refuses, in its own words.
        VcamError: none runs, or it does not answer.
    """
    answer = _response(method, path, body)
    try:
        data: dict[str, Any] = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise VcamError("the program that runs does not answer") from error
    if data.get("type") == "error":
        raise InputError(str(data["error"]))
    return data


def stream(path: str) -> Iterator[dict[str, Any]]:
    """The lines of an answer that goes on, until the program ends.

    Raises:
        VcamError: none runs.
    """
    answer = _response("GET", path, None)
    while line := answer.readline():
        yield json.loads(line)


def _response(method: str, path: str, body: object) -> http.client.HTTPResponse:
    where = control_path()
    if where is None:
        raise VcamError("this system has no sockets for it", "use the panel")
    connection = _Connection(where)
    content = None if body is None else json.dumps(body)
    try:
        connection.request(method, path, content, {"Content-Type": "application/json"})
        return connection.getresponse()
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise VcamError("no vcam runs here", "start it with `vcam`") from error
    except (OSError, http.client.HTTPException) as error:
        raise VcamError(f"the program that runs does not answer ({error})") from error
