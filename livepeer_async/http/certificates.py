"""TLS certificates and key logs from SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE.

httpx and ssl read these variables, but for an invalid path they raise an `OSError` that often names
neither the path nor the variable.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

from livepeer_async.errors import ConfigurationError
from livepeer_async.http.shortages import is_shortage, shortage_error


def load_tls(create: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return a TLS context that respects the environment variables.

    Args:
        create: reads the variables and creates the context, such as `httpx.create_ssl_context`.

    Raises:
        ConfigurationError: a variable has an invalid path.
        TooManyOpenFiles: no file descriptor is free.
    """
    _check_paths()
    try:
        return create()
    except OSError as error:
        if is_shortage(error):
            finding = "the trusted certificates can't be read"
            raise shortage_error(error, finding) from error
        raise _tls_error(error) from error


def _check_paths() -> None:
    """Reject missing paths: httpx before 0.28 ignores the file, and OpenSSL the folder.

    Raises:
        ConfigurationError: a path doesn't exist.
    """
    file, folders = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file and not Path(file).exists():
        raise _unusable_path("SSL_CERT_FILE", file, "no such file")
    # The file has precedence over the folders.
    exists = any(Path(folder).is_dir() for folder in (folders or "").split(os.pathsep))
    if folders and not file and not exists:
        raise _unusable_path("SSL_CERT_DIR", folders, "no such folder")


def _tls_error(error: OSError) -> ConfigurationError:
    """Return an error that names the variable with the invalid path."""
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
            return _unusable_path(variable, path or "", "it contains no valid PEM certificate")
        except OSError as reason:
            return _unusable_path(variable, path or "", reason.strerror or str(reason))
    return ConfigurationError(f"the trusted certificates can't be read: {error}")


def _unusable_path(variable: str, path: str, reason: str) -> ConfigurationError:
    message = f"{variable} is {path!r}, which can't be used: {reason}"
    return ConfigurationError(message, advice=f"correct or unset {variable}")
