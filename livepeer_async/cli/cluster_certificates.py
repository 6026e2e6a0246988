"""Files of mutual TLS, checked before a cluster needs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from livepeer_async.deferred import deferred_module

if TYPE_CHECKING:
    import ssl
else:
    # The command's help doesn't need it.
    ssl = deferred_module("ssl")


class Tls(NamedTuple):
    """Files of mutual TLS, in PEM format.

    Attributes:
        ca: certificates of the authorities that sign the certificates of all processes.
        cert: the certificate of this process.
        key: its private key.
    """

    ca: str
    cert: str
    key: str


def read_tls(ca: str | None, cert: str | None, key: str | None) -> Tls | None:
    """Check the files of TLS; None if none is given."""
    if not (ca or cert or key):
        return None
    if not (ca and cert and key):
        raise typer.BadParameter("TLS needs all of --tls-ca, --tls-cert and --tls-key")
    for path in (ca, cert, key):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise typer.BadParameter(f"{path} can't be read: {error.strerror}") from error
    tls = Tls(ca=ca, cert=cert, key=key)
    _check_handshake(_load(tls, ssl.PROTOCOL_TLS_CLIENT), _load(tls, ssl.PROTOCOL_TLS_SERVER), tls)
    return tls


def _load(tls: Tls, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    # The names in certificates don't matter to Dask.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(tls.ca)
    except ssl.SSLError as error:
        raise typer.BadParameter(f"{tls.ca} isn't a certificate in PEM format") from error
    try:
        # A passphrase would be asked for on the terminal.
        context.load_cert_chain(tls.cert, tls.key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise typer.BadParameter(
            f"{tls.key} isn't the private key of the certificate {tls.cert}, both in PEM format "
            "and without a passphrase"
        ) from error
    return context


def _check_handshake(client: ssl.SSLContext, server: ssl.SSLContext, tls: Tls) -> None:
    """Check that two processes with these files accept each other."""
    requests, responses = ssl.MemoryBIO(), ssl.MemoryBIO()
    pending = [
        client.wrap_bio(responses, requests),
        server.wrap_bio(requests, responses, server_side=True),
    ]
    try:
        while pending:
            side = pending.pop(0)
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pending.append(side)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", error.reason)
        raise typer.BadParameter(
            f"processes with {tls.ca} don't accept {tls.cert}: {reason}"
        ) from error
