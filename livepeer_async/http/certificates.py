"""TLS certificates and key logs from environment variables.

httpx and ssl read SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE; for a path that can't be used they
raise an `OSError` that often names neither the path nor the variable.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

from livepeer_async.errors import ConfigurationError


def load_tls(make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Make a TLS context by SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE.

    Args:
        make: reads the variables, as `httpx.create_ssl_context` does.

    Raises:
        ConfigurationError: one names what can't be used.
    """
    _check_paths()
    try:
        return make()
    except OSError as error:
        raise _tls_error(error) from error


def _check_paths() -> None:
    """Refuse paths that nothing is at.

    httpx before 0.28 ignores such a file, and OpenSSL such a folder: it would trust no server.
    """
    file, folders = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file and not Path(file).exists():
        raise _unusable_path("SSL_CERT_FILE", file, "no such file")
    # The file has precedence over the folders.
    is_there = any(Path(folder).is_dir() for folder in (folders or "").split(os.pathsep))
    if folders and not file and not is_there:
        raise _unusable_path("SSL_CERT_DIR", folders, "no such folder")


def _tls_error(error: OSError) -> ConfigurationError:
    """Find out which variable an error comes from."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    uses: dict[str, Callable[[str], object]] = {
        "SSL_CERT_FILE": context.load_verify_locations,
        "SSLKEYLOGFILE": lambda path: setattr(context, "keylog_filename", path),
    }
    for variable, use in uses.items():
        path = os.environ.get(variable)
        try:
            if path:
                use(path)
        except ssl.SSLError:
            return _unusable_path(variable, path or "", "no certificate in PEM can be read from it")
        except OSError as reason:
            return _unusable_path(variable, path or "", reason.strerror or str(reason))
    return ConfigurationError(f"the certificates of trusted authorities can't be read: {error}")


def _unusable_path(variable: str, path: str, reason: str) -> ConfigurationError:
    message = f"{variable} names {path!r}, which can't be used: {reason}"
    return ConfigurationError(message, advice=f"correct or unset {variable}")
