"""Interprets responses to a download that resumes by byte range.

Two responses may only be combined if they share a strong validator (RFC 9110, 15.3.7.3), so ranges
aren't requested without one: equal lengths say nothing about the bytes. Such a file is fetched
again from its beginning, which the caller compares with the bytes that it has. Pure.
"""

from __future__ import annotations

import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.deferred import deferred_pattern
from livepeer_async.errors import SourceChanged, SourceNotReadable
from livepeer_async.http.messages import Request, Response
from livepeer_async.redaction import quote_header, redact_url

# How much older than the response a Last-Modified must be to be a strong validator. RFC 9110,
# 8.8.2.2 leaves it open because clocks differ; RFC 7232 said 60 seconds.
MIN_AGE = timedelta(seconds=60)
_MAX_PORT = 65_535
_REDIRECTS = frozenset(
    {HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.SEE_OTHER}
    | {HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT}
)
# Bounded, because it is sent back with each range request.
_STRONG_ETAG = deferred_pattern(r'"[\x21\x23-\x7e]{0,1000}"')
# At most 18 digits: no file is longer.
_NUMBER = deferred_pattern(r"[0-9]{1,18}")
_RANGE = deferred_pattern(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_UNSATISFIED_RANGE = deferred_pattern(r"bytes \*/([0-9]{1,18})", re.IGNORECASE)


class FileVersion(Struct, frozen=True, kw_only=True):
    """The version of a file, as the server describes it.

    Attributes:
        length: bytes.
        etag: its ETag, if that is strong.
        modified: its Last-Modified, if it has no ETag and is old enough.
    """

    length: int | None = None
    etag: str | None = None
    modified: str | None = None

    @property
    def validator(self) -> str | None:
        """The strong validator of this version."""
        return self.etag or self.modified


class DownloadState(Struct, frozen=True, kw_only=True):
    """The progress of a download.

    Attributes:
        source: the URL without secrets, for messages.
        position: bytes that were yielded.
        version: the version of the file; `None` until the first usable response.
    """

    source: str
    position: int = 0
    version: FileVersion | None = None


class UseBody(Struct, frozen=True, kw_only=True):
    """Read the body.

    Attributes:
        version: the version of the file.
        skip: bytes at the start of the body that were yielded already.
        stop: the position in the file at which the body ends, if announced.
    """

    version: FileVersion
    skip: int = 0
    stop: int | None = None


class Redirected(Struct, frozen=True):
    """Request `location` instead; see `follow`."""

    location: str


class RetryLater(Struct, frozen=True, kw_only=True):
    """Wait and retry.

    Attributes:
        reason: the failure, without secrets.
        retry_after: seconds that the server asked for.
        request_id: the `X-Request-ID` of the request.
    """

    reason: str
    retry_after: float | None = None
    request_id: str | None = None


class Finished(Struct, frozen=True):
    """All bytes were yielded already."""


Outcome = UseBody | Redirected | RetryLater | Finished


def range_headers(state: DownloadState) -> dict[str, str]:
    """Return the headers that request the rest of an unchanged file, and all of a changed one.

    Source: RFC 9110, 13.1.5 and 14.2.
    """
    validator = state.version.validator if state.version else None
    if state.position == 0 or validator is None:
        return {}
    return {"Range": f"bytes={state.position}-", "If-Range": validator}


def interpret_response(response: Response, state: DownloadState, *, is_delimited: bool) -> Outcome:
    """Decide how to continue after a response to a request with `range_headers`.

    Args:
        response: the head of the response.
        state: the progress of the download.
        is_delimited: whether the end of the body differs from a broken connection.

    Raises:
        SourceNotReadable: the response is final, or doesn't match the request.
        SourceChanged: the file has changed.
    """
    if response.status == HTTPStatus.OK:
        _check_body(response, state, is_delimited=is_delimited)
        return _interpret_full(response, state)
    if state.version is not None and range_headers(state):
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            _check_body(response, state, is_delimited=is_delimited)
            return _interpret_partial(response, state, state.version)
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _interpret_unsatisfied(response, state, state.version)
    if response.status in _REDIRECTS:
        return Redirected(response.single("location", separator=", ") or "")
    if response.is_transient:
        return RetryLater(
            reason=f"{response.status} from {response.place}", retry_after=response.retry_after
        )
    raise SourceNotReadable(
        f"{response.status} from {response.place}; wanted the file", source=state.source
    )


def follow(request: Request, location: str, *, source: str) -> str:
    """Return the URL that a redirect leads to; userinfo is only kept for the same host.

    Args:
        request: the redirected request.
        location: the `Location` of the response.
        source: the download's name in errors.

    Raises:
        SourceNotReadable: it isn't a usable URL, or leaves https for http.

    Source: RFC 9110, 10.2.2.
    """
    url, place = request.url, f"({request.place})"
    # The fragment isn't sent.
    location = location.strip().partition("#")[0]
    if not location:
        raise SourceNotReadable(f"a redirect without a Location {place}", source=source)
    shown = quote_header(redact_url(location), *request.secrets)
    target = _resolve(url, location)
    if target is None:
        message = f"a redirect to {shown}; wanted an http or https URL {place}"
        raise SourceNotReadable(message, source=source)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        message = f"a redirect leaves https for http: {shown} {place}"
        raise SourceNotReadable(message, source=source)
    return target


def _resolve(url: str, location: str) -> str | None:
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        has_port = 0 < (1 if parts.port is None else parts.port) <= _MAX_PORT
    except ValueError:
        return None
    is_http = parts.scheme in {"http", "https"} and bool(parts.hostname)
    return target if is_http and has_port and target.isprintable() else None


def _check_body(response: Response, state: DownloadState, *, is_delimited: bool) -> None:
    """Reject a body that is compressed or has no detectable end."""
    coding = response.headers.get("content-encoding", "").strip()
    if coding.lower() not in {"", "identity"}:
        shown = quote_header(coding, *response.secrets)
        raise SourceNotReadable(
            f"Content-Encoding is {shown}; wanted the file as it is ({response.place})",
            source=state.source,
        )
    if not is_delimited:
        raise SourceNotReadable(
            "the response has neither Content-Length nor chunked coding, so its end can't be "
            f"distinguished from a broken connection ({response.place})",
            source=state.source,
        )


def _interpret_full(response: Response, state: DownloadState) -> UseBody:
    found, version = _read_version(response), state.version
    if version is None:
        return UseBody(version=found, stop=found.length)
    _check_length(response, state, version, found.length)
    if state.position == 0:
        # Another version is fine: no byte was yielded, only the length was announced.
        found = replace(found, length=version.length)
        return UseBody(version=found, stop=found.length)
    _check_validator(response, state, version)
    return UseBody(version=version, skip=state.position, stop=version.length)


def _interpret_partial(response: Response, state: DownloadState, version: FileVersion) -> UseBody:
    match = _RANGE.fullmatch((response.single("content-range") or "").strip())
    if match is None:
        raise _wrong_range(response, state)
    first, last = int(match[1]), int(match[2])
    length = version.length if match[3] == "*" else int(match[3])
    if length is None or not state.position == first <= last < length:
        raise _wrong_range(response, state)
    if _read_length(response) not in {None, last - first + 1}:
        raise _wrong_range(response, state)
    _check_validator(response, state, version)
    _check_length(response, state, version, length)
    return UseBody(version=replace(version, length=length), stop=last + 1)


def _interpret_unsatisfied(
    response: Response, state: DownloadState, version: FileVersion
) -> Finished:
    """Accept that there is no byte left, if only the end of an earlier response was lost."""
    match = _UNSATISFIED_RANGE.fullmatch((response.single("content-range") or "").strip())
    if match is None:
        raise _wrong_range(response, state)
    length = int(match[1])
    _check_length(response, state, version, length)
    if length != state.position:
        raise _changed(response, state, f"it has {length} bytes; {state.position} were read")
    if version.etag is not None and "etag" in response.headers:
        _check_validator(response, state, version)
    return Finished()


def _check_length(
    response: Response, state: DownloadState, version: FileVersion, length: int | None
) -> None:
    if length is not None and version.length is not None and length != version.length:
        raise _changed(response, state, f"it has {length} bytes; wanted {version.length}")


def _check_validator(response: Response, state: DownloadState, version: FileVersion) -> None:
    etag, modified = response.single("etag"), response.single("last-modified")
    if version.etag is not None and etag != version.etag:
        raise _changed(response, state, "its ETag has changed")
    if version.modified is None or modified == version.modified:
        return
    # A 206 may omit the date of the If-Range (RFC 9110, 15.3.7).
    if modified is not None or response.status != HTTPStatus.PARTIAL_CONTENT:
        raise _changed(response, state, "its Last-Modified has changed")


def _read_version(response: Response) -> FileVersion:
    length = _read_length(response)
    etag = (response.single("etag") or "").strip()
    if etag:
        # No date beside an ETag, even a weak one (RFC 9110, 13.1.5).
        return FileVersion(length=length, etag=etag if _STRONG_ETAG.fullmatch(etag) else None)
    modified, date = response.single("last-modified") or "", response.single("date") or ""
    return FileVersion(length=length, modified=modified if _is_strong(modified, date) else None)


def _read_length(response: Response) -> int | None:
    match = _NUMBER.fullmatch(response.single("content-length") or "")
    return int(match[0]) if match else None


def _is_strong(modified: str, date: str) -> bool:
    try:
        age = parsedate_to_datetime(date) - parsedate_to_datetime(modified)
    except (ValueError, TypeError, OverflowError):
        return False
    return modified.isascii() and age >= MIN_AGE


def _changed(response: Response, state: DownloadState, reason: str) -> SourceChanged:
    return SourceChanged(
        f"{state.source} changed while it was read, at byte {state.position}: {reason} "
        f"({response.status} from {response.place})",
        source=state.source,
    )


def _wrong_range(response: Response, state: DownloadState) -> SourceNotReadable:
    found = quote_header(response.headers.get("content-range", ""), *response.secrets)
    return SourceNotReadable(
        f"Content-Range is {found}; wanted the bytes from {state.position} on "
        f"({response.status} from {response.place})",
        source=state.source,
    )
