"""`Upload-Metadata`: pairs of a key and a base64 value in one header.

Source: tus 1.0, Creation, Upload-Metadata.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from livepeer_async.errors import ConfigurationError, ProtocolError
from livepeer_async.redaction import quote_header

# Node, which runs Studio, refuses a request whose headers exceed 16 KiB in total.
LONGEST_METADATA = 8 * 1024

MetadataValue = str | bytes | None


def encode_metadata(metadata: Mapping[str, MetadataValue]) -> str:
    """Encode `Upload-Metadata`: text as UTF-8, bytes as they are, `None` as a key alone.

    Raises:
        ConfigurationError: a key that is empty, not ASCII or holds a space or a comma; text that
            has no UTF-8; or more than 8 KiB in total.

    Source: tus 1.0, Creation, Upload-Metadata.
    """
    pairs: list[str] = []
    for key, value in metadata.items():
        if not key or not key.isascii() or not key.isprintable() or set(key) & {" ", ","}:
            raise ConfigurationError(
                f"metadata key {key[:40]!r}: wanted printable ASCII without spaces and commas"
            )
        # Nothing may follow the key of an empty value: no header ends in a space.
        pairs.append(f"{key} {_encode(key, value)}" if value else key)
    line = ",".join(pairs)
    if len(line) > LONGEST_METADATA:
        raise ConfigurationError(
            f"Upload-Metadata is {len(line)} bytes long; servers take about {LONGEST_METADATA}"
        )
    return line


def decode_metadata(line: str) -> dict[str, bytes | None]:
    """Decode `Upload-Metadata` as a server hands it back; an empty value reads as `None`.

    Raises:
        ProtocolError: a value that isn't base64.
    """
    metadata: dict[str, bytes | None] = {}
    for pair in filter(None, (part.strip() for part in line.split(","))):
        key, _, value = pair.partition(" ")
        try:
            metadata[key] = base64.b64decode(value, validate=True) if value else None
        except ValueError:
            raise ProtocolError(
                f"Upload-Metadata holds {quote_header(pair)}; wanted base64"
            ) from None
    return metadata


def _encode(key: str, value: str | bytes) -> str:
    try:
        # Names of files that are no text come with lone surrogates in place of their bytes.
        raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    except UnicodeEncodeError:
        raise ConfigurationError(f"metadata {key!r} holds characters that have no UTF-8") from None
    return base64.b64encode(raw).decode("ascii")
