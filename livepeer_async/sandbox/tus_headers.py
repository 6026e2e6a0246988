"""Request headers of tus 1.0, checked as @tus/server 1.0.0 checks them.

If a check differs from the specification, the server's way is kept: a wrong Tus-Resumable is a 400
and not a 412.
"""

import base64
import re
from collections.abc import Callable, Mapping

TUS_VERSION = "1.0.0"
OFFSET_TYPE = "application/offset+octet-stream"

EXPOSED_HEADERS = (
    "Authorization, Content-Type, Location, Tus-Extension, Tus-Max-Size, Tus-Resumable, "
    "Tus-Version, Upload-Concat, Upload-Defer-Length, Upload-Length, Upload-Metadata, "
    "Upload-Offset, X-HTTP-Method-Override, X-Requested-With, X-Forwarded-Host, "
    "X-Forwarded-Proto, Forwarded"
)

BASE_HEADERS = {
    "access-control-expose-headers": EXPOSED_HEADERS,
    "tus-resumable": TUS_VERSION,
}


class TusError(Exception):
    """An error response of the tus server.

    Attributes:
        status: the HTTP status.
        text: the body: plain text that ends in a newline.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


def check_headers(headers: Mapping[str, str], method: str) -> None:
    """Check every header of the protocol, before anything else.

    Raises:
        TusError: 412 if Tus-Resumable is missing, 400 for an invalid value.
    """
    if "tus-resumable" not in headers:
        raise TusError(412, "Tus-Resumable Required\n")
    for name, is_valid in CHECKS.items():
        if name == "content-type" and method != "PATCH":
            continue
        value = headers.get(name)
        if value is not None and not is_valid(value):
            raise TusError(400, f"Invalid {name}\n")


def read_length(headers: Mapping[str, str]) -> int | None:
    """Return the length of a creation, None if it is deferred.

    Raises:
        TusError: 400 for neither or both of the two headers, 501 for a concatenation.
    """
    if "upload-concat" in headers:
        raise TusError(
            501,
            "Concatenation extension is not (yet) supported. "
            "Disable parallel uploads in the tus client.\n",
        )
    length, deferred = headers.get("upload-length"), headers.get("upload-defer-length")
    if (length is None) == (deferred is None):
        raise TusError(400, "Upload-Length or Upload-Defer-Length header required\n")
    return None if length is None else int(length)


def read_offset(headers: Mapping[str, str]) -> int:
    """Return the offset of a PATCH.

    Raises:
        TusError: 403, Upload-Offset or Content-Type is missing.
    """
    if "upload-offset" not in headers:
        raise TusError(403, "Upload-Offset header required\n")
    if "content-type" not in headers:
        raise TusError(403, "Content-Type header required\n")
    return int(headers["upload-offset"])


def is_base64(text: str) -> bool:
    """Whether a text is valid base64 with its padding."""
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _is_integer(value: str) -> bool:
    return re.fullmatch(r"0|[1-9]\d*", value, re.ASCII) is not None


def _is_metadata(value: str) -> bool:
    keys: set[str] = set()
    for pair in value.split(","):
        key, _, encoded = pair.partition(" ")
        if not key or key in keys or not is_base64(encoded):
            return False
        keys.add(key)
    return True


CHECKS: Mapping[str, Callable[[str], bool]] = {
    "tus-resumable": lambda value: value == TUS_VERSION,
    "tus-version": lambda value: value == TUS_VERSION,
    "upload-offset": _is_integer,
    "upload-length": _is_integer,
    "upload-defer-length": lambda value: value == "1",
    "upload-metadata": _is_metadata,
    "upload-concat": lambda value: value == "partial" or value.startswith("final;"),
    "x-forwarded-proto": lambda value: value in ("http", "https"),
    "content-type": lambda value: value == OFFSET_TYPE,
}
