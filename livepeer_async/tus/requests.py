"""tus 1.0 requests and responses: builds each request and reads each response into an event.

Stateless; `protocol` decides what may be sent when.

Source: https://tus.io/protocols/resumable-upload, version 1.0.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.errors import ProtocolError
from livepeer_async.http.messages import Request, Response, Span
from livepeer_async.redaction import excerpt, quote_header, redact, redact_upload_url, redact_url
from livepeer_async.tus.events import (
    ChunkAccepted,
    ChunkTooLarge,
    Created,
    Gone,
    Interrupted,
    OffsetKnown,
    Refused,
    Terminated,
)
from livepeer_async.tus.metadata import MetadataValue, encode_metadata

VERSION = "1.0.0"
OFFSET_STREAM = "application/offset+octet-stream"
LARGEST_OFFSET = 2**63 - 1
_MOST_DIGITS = 19
# More than servers take in a request's first line, and less than makes httpx refuse a URL.
_LONGEST_URL = 16 * 1024

_DEFAULT_PORTS = {"http": 80, "https": 443}

_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
# 400s that mean "ask for the offset and go on": tusd's codes for a body that broke off, and the
# sentence of @tus/server 1.10 and later for the loser of a lock.
_TRANSIENT_400 = (
    b"ERR_UPLOAD_INTERRUPTED",
    b"ERR_UNEXPECTED_EOF",
    b"Request aborted due to lock acquired",
)
# Answers that say that nothing was done with the request, so that a creation may be repeated.
_UNTOUCHED = frozenset({425, 429})


class ServerFeatures(Struct, frozen=True):
    """What a server says of itself in its answer to OPTIONS; nothing where it says nothing.

    Attributes:
        versions: of tus, the preferred one first.
        extensions: names as in the specification, such as "creation-with-upload".
        max_size: most bytes in one upload; `None` where none is named.
    """

    versions: tuple[str, ...] = ()
    extensions: frozenset[str] = frozenset()
    max_size: int | None = None


def creation(
    endpoint: str,
    *,
    length: int | None,
    metadata: Mapping[str, MetadataValue] | None = None,
    with_bytes: int = 0,
) -> Request:
    """Build a creation; `length=None` defers it, `with_bytes` sends the first bytes along.

    Source: tus 1.0, Creation; Creation With Upload; Upload-Defer-Length.
    """
    headers = {"Tus-Resumable": VERSION}
    headers |= {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    if line := encode_metadata(metadata or {}):
        headers["Upload-Metadata"] = line
    if not with_bytes:
        return Request(method="POST", url=endpoint, headers=headers)
    headers["Content-Type"] = OFFSET_STREAM
    return Request(method="POST", url=endpoint, headers=headers, content=Span(0, with_bytes))


def offset_request(upload_url: str) -> Request:
    """Ask for the offset. Source: tus 1.0, core protocol, HEAD."""
    headers = {"Tus-Resumable": VERSION}
    return Request(method="HEAD", url=upload_url, headers=headers, hides_path=True)


def chunk(
    upload_url: str, span: Span, *, declare: int | None = None, override: bool = False
) -> Request:
    """Build a PATCH.

    Args:
        upload_url: where.
        span: the bytes of the source; its start is the offset.
        declare: the length, where it was deferred and is known by now.
        override: send POST with `X-HTTP-Method-Override`, for networks that block PATCH.

    Source: tus 1.0, core protocol, PATCH and X-HTTP-Method-Override.
    """
    headers = {
        "Tus-Resumable": VERSION,
        "Upload-Offset": str(span.start),
        "Content-Type": OFFSET_STREAM,
    }
    if declare is not None:
        headers["Upload-Length"] = str(declare)
    if override:
        headers["X-HTTP-Method-Override"] = "PATCH"
    method = "POST" if override else "PATCH"
    return Request(method=method, url=upload_url, headers=headers, content=span, hides_path=True)


def termination(upload_url: str) -> Request:
    """Ask the server to throw the upload away. Source: tus 1.0, Termination."""
    headers = {"Tus-Resumable": VERSION}
    return Request(method="DELETE", url=upload_url, headers=headers, hides_path=True)


def options(endpoint: str) -> Request:
    """Ask what the server can do; without Tus-Resumable, as the specification wants it.

    Source: tus 1.0, core protocol, OPTIONS.
    """
    return Request(method="OPTIONS", url=endpoint)


def read_creation(
    response: Response, endpoint: str, *, other_hosts: frozenset[str] = frozenset()
) -> Created | Interrupted | Refused:
    """Read the answer to a creation.

    Raises:
        ProtocolError: success without a `Location` that may be used, or a senseless offset.
    """
    if not response.is_success:
        retry_event = _interruption(response)
        # 413 here speaks of the whole upload, and an unknown endpoint isn't a lost upload.
        if isinstance(retry_event, ChunkTooLarge | Gone):
            return _refused(response)
        return retry_event
    location = response.headers.get("location", "")
    secrets = response.secrets
    upload_url = resolve_location(endpoint, location, other_hosts=other_hosts, secrets=secrets)
    if "upload-offset" not in response.headers:
        return Created(upload_url, 0)
    return Created(upload_url, _read_offset(response))


def read_offset(response: Response) -> OffsetKnown | Interrupted | Gone | Refused:
    """Read the answer to HEAD; one without a usable offset is a setback, not an end."""
    if not response.is_success:
        retry_event = _interruption(response)
        return _refused(response) if isinstance(retry_event, ChunkTooLarge) else retry_event
    try:
        offset = _read_offset(response)
        length = response.headers.get("upload-length")
        # Some servers name a length of 0 or -1 as long as the real one is deferred.
        if length is None or is_deferred(response):
            return OffsetKnown(offset, None)
        return OffsetKnown(offset, _integer("Upload-Length", length, response))
    except ProtocolError as error:
        return Interrupted(reason=str(error), request_id=response.request_id)


def is_deferred(response: Response) -> bool:
    """Whether the answer to HEAD says that the length isn't declared yet.

    Source: tus 1.0, Creation, Upload-Defer-Length.
    """
    return response.headers.get("upload-defer-length", "").strip() == "1"


def read_chunk(
    response: Response,
) -> ChunkAccepted | Interrupted | ChunkTooLarge | Gone | Refused:
    """Read the answer to PATCH; success without a usable offset is a doubt, not an end."""
    if not response.is_success:
        retry_event = _interruption(response)
        # The offset is compared before anything is taken.
        if isinstance(retry_event, Interrupted) and response.status == HTTPStatus.CONFLICT:
            return replace(retry_event, untouched=True)
        return retry_event
    try:
        return ChunkAccepted(_read_offset(response))
    except ProtocolError as error:
        return Interrupted(reason=str(error), request_id=response.request_id)


def read_termination(response: Response) -> Terminated | Interrupted | Refused:
    """Read the answer to DELETE; an unknown upload is as good as terminated."""
    if response.is_success or response.status in _GONE:
        return Terminated()
    retry_event = _interruption(response)
    return retry_event if isinstance(retry_event, Interrupted) else _refused(response)


def read_options(response: Response) -> ServerFeatures:
    """Read the answer to OPTIONS. Studio's has no tus headers at all, which lists nothing."""
    headers = response.headers
    size = headers.get("tus-max-size", "")
    versions, extensions = (
        _words(redact(headers.get(name, ""), *response.secrets))
        for name in ("tus-version", "tus-extension")
    )
    return ServerFeatures(
        versions=tuple(versions),
        extensions=frozenset(map(str.lower, extensions)),
        max_size=int(size)
        if size.isascii() and size.isdigit() and len(size) <= _MOST_DIGITS
        else None,
    )


def resolve_location(
    endpoint: str,
    location: str,
    *,
    other_hosts: frozenset[str] = frozenset(),
    secrets: tuple[str, ...] = (),
) -> str:
    """Resolve `Location` against the endpoint; `%2F` stays and no query is added.

    Args:
        endpoint: the creation URL.
        location: the header's value.
        other_hosts: hosts beside the endpoint's where it may lead.
        secrets: of the request, which no error may quote.

    Raises:
        ProtocolError: it is missing, leaves https for http, or names a host that is neither the
            endpoint's nor in `other_hosts` (as "host" or "host:port").
    """
    # What stands behind "#" is the client's own affair.
    location = location.strip().partition("#")[0]
    if not location:
        raise ProtocolError(
            f"Location is missing; wanted the upload URL (POST {redact_url(endpoint)})"
        )
    unusable = f"Location is {_show_location(location, secrets)}; wanted a URL"
    if not location.isprintable() or len(location) > _LONGEST_URL:
        raise ProtocolError(unusable)
    try:
        # Without the endpoint's query, which some short locations would take along with its token.
        url = urljoin(endpoint.partition("?")[0], location)
        here, there = urlsplit(endpoint), urlsplit(url)
        is_same = here.hostname == there.hostname and _port(here) == _port(there)
    except ValueError:
        raise ProtocolError(unusable) from None
    where = f"(Location {_show_location(url, secrets)})"
    if there.scheme not in _DEFAULT_PORTS or not there.hostname:
        raise ProtocolError(f"the upload URL is neither http nor https {where}")
    if here.scheme == "https" and there.scheme == "http":
        raise ProtocolError(
            f"the upload URL leaves https for http; its proxy must send X-Forwarded-Proto {where}"
        )
    allowed = {host.lower() for host in other_hosts}
    names = {there.hostname, there.netloc.lower().rpartition("@")[2]}
    if not is_same and not allowed & names:
        raise ProtocolError(
            f"the upload URL is on another host; wanted {here.hostname}, or allow it {where}"
        )
    return url


def predict_upload_urls(endpoint: str, playback_id: str | None) -> tuple[str, ...]:
    """Give the upload URLs that Livepeer may have made for an asset: on S3, and on a file store.

    It makes them of the playback ID, and they need no token.
    """
    if not playback_id:
        return ()
    base, name = endpoint.partition("?")[0].rstrip("/"), quote(playback_id, safe="")
    return f"{base}/directUpload%2F{name}", f"{base}/{name}"


def _show_location(location: str, secrets: tuple[str, ...]) -> str:
    # Of an echoed key not even the beginning may be shown, which it is of an upload.
    return quote_header(redact_upload_url(redact(location, *secrets)))


def _port(url: SplitResult) -> int | None:
    """Give the port, `None` for the scheme's own, so that http may move up to https."""
    return None if url.port == _DEFAULT_PORTS.get(url.scheme) else url.port


def _interruption(response: Response) -> Interrupted | ChunkTooLarge | Gone | Refused:
    status = response.status
    if status in _GONE:
        return Gone(_said(response))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return ChunkTooLarge(_said(response))
    if response.is_transient or _is_transient_400(response):
        wait = response.retry_after
        return Interrupted(
            reason=_said(response),
            retry_after=wait,
            is_busy=response.is_overload,
            # A 503 that names a time was refused by a server that is up; a bare one may come from
            # a proxy whose server has done the work.
            untouched=status in _UNTOUCHED
            or (status == HTTPStatus.SERVICE_UNAVAILABLE and wait is not None),
            request_id=response.request_id,
        )
    return _refused(response)


def _is_transient_400(response: Response) -> bool:
    is_400 = response.status == HTTPStatus.BAD_REQUEST
    return is_400 and any(mark in response.body for mark in _TRANSIENT_400)


def _refused(response: Response) -> Refused:
    return Refused(reason=_said(response), status=response.status, request_id=response.request_id)


def _said(response: Response) -> str:
    text = excerpt(response.body, *response.secrets) or "no explanation"
    if response.is_redirect:
        text = "redirects are not followed; the upload may only go where the ticket says"
    return f"{response.status} from {response.place}: {text}"


def _read_offset(response: Response) -> int:
    value = response.headers.get("upload-offset")
    if value is None:
        raise ProtocolError(
            "Upload-Offset is missing; wanted an integer "
            f"({response.status} from {response.place})",
            request_id=response.request_id,
        )
    return _integer("Upload-Offset", value, response)


def _integer(name: str, value: str, response: Response) -> int:
    is_number = value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS
    if is_number and int(value) <= LARGEST_OFFSET:
        return int(value)
    shown = quote_header(value, *response.secrets)
    raise ProtocolError(
        f"{name} is {shown}; wanted an integer in 0..{LARGEST_OFFSET} "
        f"({response.status} from {response.place})",
        request_id=response.request_id,
    )


def _words(line: str) -> list[str]:
    return [word.strip() for word in line.split(",") if word.strip()]
