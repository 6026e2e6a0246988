"""tus 1.0 requests and responses: builds requests and reads responses into events.

Stateless; `protocol` decides what to send.

Source: https://tus.io/protocols/resumable-upload, version 1.0.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.errors import ProtocolError
from livepeer_async.http.messages import Request, Response, Span
from livepeer_async.http.retry import describe_failure
from livepeer_async.redaction import (
    hides_variables,
    quote_header,
    redact,
    redact_upload_url,
    redact_url,
)
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
MAX_OFFSET = 2**63 - 1
_MAX_DIGITS = 19
# More than servers accept in a request line, and less than httpx's limit of a URL.
_MAX_URL_LENGTH = 16 * 1024

_DEFAULT_PORTS = {"http": 80, "https": 443}

_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
# Bodies of a transient 400: tusd's codes for a body that broke off, and the message of @tus/server
# 1.10 and later for a request that lost the lock.
_TRANSIENT_400 = (
    b"ERR_UPLOAD_INTERRUPTED",
    b"ERR_UNEXPECTED_EOF",
    b"Request aborted due to lock acquired",
)
# The server didn't process the request, and a creation may be repeated.
_UNTOUCHED = frozenset({HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class ServerFeatures(Struct, frozen=True):
    """Features that a server lists in its response to OPTIONS.

    Attributes:
        versions: of tus, the preferred one first.
        extensions: names as in the specification, such as "creation-with-upload".
        max_size: maximum bytes of an upload; `None` if the server names none.
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
    """Build a creation; `length=None` defers the length, `with_bytes` sends the first bytes.

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
    """Build a HEAD. Source: tus 1.0, core protocol, HEAD."""
    headers = {"Tus-Resumable": VERSION}
    return Request(method="HEAD", url=upload_url, headers=headers, hides_path=True)


def chunk(
    upload_url: str, span: Span, *, declare: int | None = None, override: bool = False
) -> Request:
    """Build a PATCH.

    Args:
        upload_url: the upload URL.
        span: the range of the source to send; its start is the offset.
        declare: the length, if it was deferred and is known now.
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
    """Build a DELETE. Source: tus 1.0, Termination."""
    headers = {"Tus-Resumable": VERSION}
    return Request(method="DELETE", url=upload_url, headers=headers, hides_path=True)


def options(endpoint: str) -> Request:
    """Build an OPTIONS, which has no Tus-Resumable. Source: tus 1.0, core protocol, OPTIONS."""
    return Request(method="OPTIONS", url=endpoint)


@hides_variables
def read_creation(
    response: Response, endpoint: str, *, other_hosts: frozenset[str] = frozenset()
) -> Created | Interrupted | Refused:
    """Read the response to a creation.

    Raises:
        ProtocolError: success with an unusable `Location` or offset.
    """
    if not response.is_success:
        event = _read_error(response)
        # Here 413 is about the whole upload, and 404 about the endpoint.
        return _refused(response) if isinstance(event, ChunkTooLarge | Gone) else event
    location = response.single("location", separator=", ") or ""
    secrets = response.secrets
    upload_url = resolve_location(endpoint, location, other_hosts=other_hosts, secrets=secrets)
    if "upload-offset" not in response.headers:
        return Created(upload_url, 0)
    return Created(upload_url, _read_offset(response))


def read_offset(response: Response) -> OffsetKnown | Interrupted | Gone | Refused:
    """Read the response to HEAD; success without a usable offset is an interruption."""
    if not response.is_success:
        event = _read_error(response)
        return _refused(response) if isinstance(event, ChunkTooLarge) else event
    try:
        offset = _read_offset(response)
        length = response.single("upload-length")
        # Some servers send a length of 0 or -1 while the real one is deferred.
        if length is None or is_deferred(response):
            return OffsetKnown(offset, None)
        return OffsetKnown(offset, _integer("Upload-Length", length, response))
    except ProtocolError as error:
        return Interrupted(reason=describe_failure(error), request_id=response.request_id)


def is_deferred(response: Response) -> bool:
    """Whether a response to HEAD says that the length isn't declared yet.

    Source: tus 1.0, Creation, Upload-Defer-Length.
    """
    return (response.single("upload-defer-length") or "").strip() == "1"


def read_chunk(
    response: Response,
) -> ChunkAccepted | Interrupted | ChunkTooLarge | Gone | Refused:
    """Read the response to PATCH; success without a usable offset is an interruption."""
    if not response.is_success:
        event = _read_error(response)
        # Servers compare the offset before they store anything.
        if isinstance(event, Interrupted) and response.status == HTTPStatus.CONFLICT:
            return replace(event, untouched=True)
        return event
    try:
        return ChunkAccepted(_read_offset(response))
    except ProtocolError as error:
        return Interrupted(reason=describe_failure(error), request_id=response.request_id)


def read_termination(response: Response) -> Terminated | Interrupted | Refused:
    """Read the response to DELETE; an unknown upload counts as terminated."""
    if response.is_success or response.status in _GONE:
        return Terminated()
    event = _read_error(response)
    return event if isinstance(event, Interrupted) else _refused(response)


def read_options(response: Response) -> ServerFeatures:
    """Read the response to OPTIONS; Livepeer's has no tus headers and lists nothing."""
    headers = response.headers
    size = response.single("tus-max-size") or ""
    versions, extensions = (
        _words(redact(headers.get(name, ""), *response.secrets))
        for name in ("tus-version", "tus-extension")
    )
    return ServerFeatures(
        versions=tuple(dict.fromkeys(versions)),
        extensions=frozenset(map(str.lower, extensions)),
        max_size=int(size) if _is_integer(size) else None,
    )


def resolve_location(
    endpoint: str,
    location: str,
    *,
    other_hosts: frozenset[str] = frozenset(),
    secrets: Iterable[str] = (),
) -> str:
    """Resolve `Location` against the endpoint; keeps `%2F` and adds no query.

    Args:
        endpoint: the creation URL.
        location: the header's value.
        other_hosts: allowed hosts besides the endpoint's, as "host" or "host:port".
        secrets: of the request; errors don't quote them.

    Raises:
        ProtocolError: it is missing or not a URL, leaves https for http, or names a host that isn't
            allowed.
    """
    # A fragment is never sent.
    location = location.strip().partition("#")[0]
    if not location:
        raise ProtocolError(
            f"Location is missing; wanted the upload URL (POST {redact_url(endpoint)})"
        )
    others = (part.startswith(("/", "http:", "https:")) for part in location.split(", ")[1:])
    if not location.isprintable() or len(location) > _MAX_URL_LENGTH or any(others):
        raise _unusable_location(location, secrets)
    try:
        # Without the query, whose token some short locations would inherit. The library caches it.
        base = endpoint.partition("?")[0]
        url = urljoin(base, location)
        here, there = urlsplit(base), urlsplit(url)
        is_same = here.hostname == there.hostname and _port(here) == _port(there)
    except ValueError:
        raise _unusable_location(location, secrets) from None
    fault = _find_fault(here, there, other_hosts, is_same=is_same)
    if fault is not None:
        raise ProtocolError(f"{fault} (Location {_redact_location(url, secrets)})")
    return url


def _find_fault(
    here: SplitResult, there: SplitResult, other_hosts: frozenset[str], *, is_same: bool
) -> str | None:
    """Return why an upload URL can't be used, as seen from the endpoint."""
    if there.scheme not in _DEFAULT_PORTS or not there.hostname:
        return "the upload URL is neither http nor https"
    if here.scheme == "https" and there.scheme == "http":
        return "the upload URL leaves https for http; its proxy must send X-Forwarded-Proto"
    allowed = {host.lower() for host in other_hosts}
    names = {there.hostname, there.netloc.lower().rpartition("@")[2]}
    if not is_same and not allowed & names:
        return f"the upload URL is on another host; wanted {here.hostname}, or allow it"
    return None


def predict_upload_urls(endpoint: str, playback_id: str | None) -> tuple[str, ...]:
    """Return the upload URLs that Livepeer may have created: on S3, and on a file store.

    Livepeer derives them from the playback ID; they need no token.
    """
    if not playback_id:
        return ()
    base, name = endpoint.partition("?")[0].rstrip("/"), quote(playback_id, safe="")
    return f"{base}/directUpload%2F{name}", f"{base}/{name}"


def _unusable_location(location: str, secrets: Iterable[str]) -> ProtocolError:
    return ProtocolError(f"Location is {_redact_location(location, secrets)}; wanted a URL")


def _redact_location(location: str, secrets: Iterable[str]) -> str:
    # `redact_upload_url` shows the first characters of an identifier, which may echo a secret.
    return quote_header(redact_upload_url(redact(location, *secrets)))


def _port(url: SplitResult) -> int | None:
    """Return the port, or `None` for the scheme's default: http may change to https."""
    return None if url.port == _DEFAULT_PORTS.get(url.scheme) else url.port


def _read_error(response: Response) -> Interrupted | ChunkTooLarge | Gone | Refused:
    """Read an error status; 408, 409, 423 (locked), 425, 429, 5xx and some 400s are transient."""
    status = response.status
    if status in _GONE:
        return Gone(_describe(response))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return ChunkTooLarge(_describe(response), response.request_id)
    if response.is_transient or _is_transient_400(response):
        wait = response.retry_after
        # The server itself sends a 503 with a time; a bare one may come from a proxy although the
        # server has done the work.
        is_named_503 = status == HTTPStatus.SERVICE_UNAVAILABLE and wait is not None
        return Interrupted(
            reason=_describe(response),
            retry_after=wait,
            is_busy=response.is_overload,
            untouched=status in _UNTOUCHED or is_named_503,
            request_id=response.request_id,
        )
    return _refused(response)


def _is_transient_400(response: Response) -> bool:
    is_400 = response.status == HTTPStatus.BAD_REQUEST
    return is_400 and any(mark in response.body for mark in _TRANSIENT_400)


def _refused(response: Response) -> Refused:
    reason = _describe(response)
    return Refused(reason=reason, status=response.status, request_id=response.request_id)


def _describe(response: Response) -> str:
    text = response.explain() or "no explanation"
    if response.is_redirect:
        text = "redirects are not followed"
    return f"{response.status} from {response.place}: {text}"


def _read_offset(response: Response) -> int:
    value = response.single("upload-offset")
    if value is None:
        raise ProtocolError(
            "Upload-Offset is missing; wanted an integer "
            f"({response.status} from {response.place})",
            request_id=response.request_id,
        )
    return _integer("Upload-Offset", value, response)


def _integer(name: str, value: str, response: Response) -> int:
    if _is_integer(value) and int(value) <= MAX_OFFSET:
        return int(value)
    shown = quote_header(value, *response.secrets)
    raise ProtocolError(
        f"{name} is {shown}; wanted an integer in 0..{MAX_OFFSET} "
        f"({response.status} from {response.place})",
        request_id=response.request_id,
    )


def _is_integer(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS


def _words(line: str) -> list[str]:
    return [word.strip() for word in line.split(",") if word.strip()]
