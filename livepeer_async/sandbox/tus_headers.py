"""The headers of tus 1.0, checked as @tus/server 1.0.0 checks them.

Where a check differs from the specification (a wrong version is a 400 here, not a 412), the
server's way is kept.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping

from livepeer_async.sandbox.responses import TusError

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

# A key and its base64 value, or a key alone.
MAX_METADATA_WORDS = 2


def check_headers(headers: Mapping[str, str], method: str) -> None:
    """Check every header that the protocol knows, before anything else is looked at.

    Raises:
        TusError: Tus-Resumable is missing, or a header has a value that none may have.
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
    """Return the length that a creation announces, None for a deferred one.

    Raises:
        TusError: Neither or both of the two headers came, or a concatenation is wanted.
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
    """Return the offset that a PATCH gives.

    Raises:
        TusError: It, or the content type, is missing.
    """
    if "upload-offset" not in headers:
        raise TusError(403, "Upload-Offset header required\n")
    if "content-type" not in headers:
        raise TusError(403, "Content-Type header required\n")
    return int(headers["upload-offset"])


def _is_count(value: str) -> bool:
    return re.fullmatch(r"0|[1-9]\d*", value, re.ASCII) is not None


def _is_metadata(value: str) -> bool:
    keys: set[str] = set()
    for pair in value.split(","):
        words = pair.split(" ")
        if len(words) > MAX_METADATA_WORDS or not words[0] or words[0] in keys:
            return False
        keys.add(words[0])
        if len(words) == MAX_METADATA_WORDS and not _is_base64(words[1]):
            return False
    return True


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        return False
    return True


CHECKS: Mapping[str, Callable[[str], bool]] = {
    "tus-resumable": lambda value: value == TUS_VERSION,
    "tus-version": lambda value: value == TUS_VERSION,
    "upload-offset": _is_count,
    "upload-length": _is_count,
    "upload-defer-length": lambda value: value == "1",
    "upload-metadata": _is_metadata,
    "upload-concat": lambda value: value == "partial" or value.startswith("final;"),
    "x-forwarded-proto": lambda value: value in ("http", "https"),
    "content-type": lambda value: value == OFFSET_TYPE,
}
