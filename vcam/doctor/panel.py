"""The panel: its port, and whether browsers will give it their camera."""

import os
import socket
import ssl
from pathlib import Path

from vcam_relight.vcam.core.hosts import is_loopback
from vcam_relight.vcam.doctor.check import Check, one_line


def check_port(port: int) -> Check:
    """The panel's port is free on this machine."""
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            hint = "stop the other program (another vcam?), or choose another with --port"
            return Check("warn", "port", f"{port}: {one_line(error)}", hint)
    return Check("ok", "port", f"{port} is free")


def check_https(host: str, cert: Path | None, key: Path | None) -> Check:
    """Browsers allow the peer page to use their camera at this address.

    `getUserMedia` exists in secure contexts alone: HTTPS, or this machine itself.

    Args:
        host: the address that `vcam run --host` would listen on.
        cert: PEM file, as of `vcam run`.
        key: PEM file, as of `vcam run`.
    """
    name = "https"
    if cert is not None or key is not None:
        if cert is None or key is None:
            hint = "give --tls-cert and --tls-key"
            return Check("warn", name, "a certificate and its key go together", hint)
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            hint = "give a PEM certificate and its unencrypted key"
            return Check("warn", name, f"{cert} and {key}: {one_line(error)}", hint)
        return Check("ok", name, "the certificate and its key fit")
    if is_loopback(host):
        detail = "not needed on this machine; for other devices browsers want it (--tls-cert)"
        return Check("ok", name, detail)
    make = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=vcam "
        "-keyout key.pem -out cert.pem"
    )
    return Check(
        "warn",
        name,
        f"browsers give no camera (getUserMedia) to pages of {host} without HTTPS",
        f"--tls-cert cert.pem --tls-key key.pem, made by {make}",
    )
