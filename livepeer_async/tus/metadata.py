"""`Upload-Metadata`: keys with base64 values in one header.

Source: tus 1.0, Creation, Upload-Metadata.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from livepeer_async.errors import ConfigurationError, ProtocolError
from livepeer_async.redaction import quote_header

# Node, which runs Livepeer's server, refuses requests with more than 16 KiB of headers.
MAX_METADATA_LENGTH = 8 * 1024

MetadataValue = str | bytes | None


def encode_metadata(metadata: Mapping[str, MetadataValue]) -> str:
    """Encode `Upload-Metadata`: text as UTF-8, `None` and empty values as a key alone.

    Raises:
        ConfigurationError: a key that is empty, not ASCII or contains a space or a comma; text that
            UTF-8 can't encode; or more than 8 KiB in total.

    Source: tus 1.0, Creation, Upload-Metadata.
    """
    pairs: list[str] = []
    for key, value in metadata.items():
        if not key or not key.isascii() or not key.isprintable() or set(key) & {" ", ","}:
            raise ConfigurationError(
                f"metadata key {key[:40]!r}: wanted printable ASCII without spaces and commas"
            )
        # Without a space after the key of an empty value: no header ends in a space.
        pairs.append(f"{key} {_encode(key, value)}" if value else key)
    line = ",".join(pairs)
    if len(line) > MAX_METADATA_LENGTH:
        raise ConfigurationError(
            f"Upload-Metadata is {len(line)} bytes long; servers accept about {MAX_METADATA_LENGTH}"
        )
    return line


def decode_metadata(line: str) -> dict[str, bytes | None]:
    """Decode `Upload-Metadata` from a server; an empty value becomes `None`.

    Raises:
        ProtocolError: a value isn't base64.
    """
    metadata: dict[str, bytes | None] = {}
    for pair in filter(None, (part.strip() for part in line.split(","))):
        key, _, value = pair.partition(" ")
        try:
            metadata[key] = base64.b64decode(value, validate=True) if value else None
        except ValueError as error:
            raise ProtocolError(
                f"Upload-Metadata contains {quote_header(pair)}; wanted base64"
            ) from error
    return metadata


def _encode(key: str, value: str | bytes) -> str:
    try:
        # File names that aren't UTF-8 have lone surrogates in place of their bytes.
        raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"metadata {key!r} contains characters that UTF-8 can't encode"
        ) from None
    return base64.b64encode(raw).decode("ascii")
