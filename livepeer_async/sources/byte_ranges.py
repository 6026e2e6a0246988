"""Interprets responses to a download that resumes by byte range.

Two responses may only be combined if they share a strong validator (RFC 9110, 15.3.7.3), so ranges
aren't requested without one: an equal length says nothing about the bytes. Such a file is fetched
again from its beginning, which the caller compares with what it had. Pure.
"""

from __future__ import annotations

import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.errors import SourceChanged, SourceNotReadable
from livepeer_async.http.messages import Request, Response
from livepeer_async.redaction import quote_header, redact_url

# How much older than the answer a file must be for its date to tell it from a later version. RFC
# 9110, 8.8.2.2 wants enough for clocks that differ; RFC 7232 said 60 seconds.
SETTLED = timedelta(seconds=60)
_LARGEST_PORT = 65_535
_REDIRECTS = frozenset(
    {HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.SEE_OTHER}
    | {HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT}
)
# One that is longer than anybody makes them isn't sent back.
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{0,1000}"')
# No file is as long as 18 digits say.
_NUMBER = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_NO_RANGE = re.compile(r"bytes \*/([0-9]{1,18})", re.IGNORECASE)


class FileVersion(Struct, frozen=True, kw_only=True):
    """What was told of a file.

    Attributes:
        length: bytes.
        etag: its ETag, where that is strong.
        modified: its Last-Modified, where it has no ETag and was long settled.
    """

    length: int | None = None
    etag: str | None = None
    modified: str | None = None

    @property
    def validator(self) -> str | None:
        """What tells this version of the file from all others."""
        return self.etag or self.modified


class DownloadState(Struct, frozen=True, kw_only=True):
    """How far a download is.

    Attributes:
        source: the URL without secrets, for messages.
        position: bytes that were given.
        known: of the file; `None` until it was there once.
    """

    source: str
    position: int = 0
    known: FileVersion | None = None


class UseBody(Struct, frozen=True, kw_only=True):
    """Read the body.

    Attributes:
        known: of the file, from here on.
        skip: bytes at the beginning of the body that were given already.
        stop: where in the file the body ends, if that was announced.
    """

    known: FileVersion
    skip: int = 0
    stop: int | None = None


class Redirected(Struct, frozen=True):
    """Ask where `location` says; see `follow`."""

    location: str


class RetryLater(Struct, frozen=True, kw_only=True):
    """Wait and ask again.

    Attributes:
        reason: what happened, without secrets.
        retry_after: seconds that the server asked for.
    """

    reason: str
    retry_after: float | None = None


class Finished(Struct, frozen=True):
    """All bytes were given already."""


Outcome = UseBody | Redirected | RetryLater | Finished


def range_headers(standing: DownloadState) -> dict[str, str]:
    """Give the headers that ask for what is missing if the file is what it was, else for all.

    Source: RFC 9110, 13.1.5 and 14.2.
    """
    validator = standing.known.validator if standing.known else None
    if standing.position == 0 or validator is None:
        return {}
    return {"Range": f"bytes={standing.position}-", "If-Range": validator}


def interpret_response(answer: Response, standing: DownloadState, *, is_delimited: bool) -> Outcome:
    """Say what an answer means to a download that asked with `conditions`.

    Args:
        answer: its head.
        standing: how far the download is.
        is_delimited: whether the end of the body can be told from a broken connection.

    Raises:
        SourceNotReadable: the answer is final, or none to what was asked.
        SourceChanged: the file isn't what it was.
    """
    if answer.status == HTTPStatus.OK:
        _check_body(answer, standing, is_delimited=is_delimited)
        return _judge_whole(answer, standing)
    if standing.known is not None and range_headers(standing):
        if answer.status == HTTPStatus.PARTIAL_CONTENT:
            _check_body(answer, standing, is_delimited=is_delimited)
            return _judge_part(answer, standing, standing.known)
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _judge_no_part(answer, standing, standing.known)
    if answer.status in _REDIRECTS:
        return Redirected(answer.headers.get("location", ""))
    if answer.is_transient:
        return RetryLater(
            reason=f"{answer.status} from {answer.place}", retry_after=answer.retry_after
        )
    raise SourceNotReadable(
        f"{answer.status} from {answer.place}; wanted the file", source=standing.source
    )


def follow(request: Request, location: str, *, source: str) -> str:
    """Give the URL that a redirect leads to, to which a user and a password go at one host only.

    Args:
        request: what was asked.
        location: the `Location` of the answer.
        source: names the download in errors.

    Raises:
        SourceNotReadable: it leads nowhere, or from https to http.

    Source: RFC 9110, 10.2.2.
    """
    url, where = request.url, f"({request.place})"
    # What stands behind "#" is the client's own affair.
    location = location.strip().partition("#")[0]
    if not location:
        raise SourceNotReadable(f"a redirect without a Location {where}", source=source)
    shown = quote_header(redact_url(location), *request.secrets)
    target = _resolve(url, location)
    if target is None:
        message = f"a redirect to {shown}; wanted an http or https URL {where}"
        raise SourceNotReadable(message, source=source)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        message = f"a redirect leaves https for http: {shown} {where}"
        raise SourceNotReadable(message, source=source)
    return target


def _resolve(url: str, location: str) -> str | None:
    try:
        target = urljoin(url, location)
        place = urlsplit(target)
        has_port = 0 < (1 if place.port is None else place.port) <= _LARGEST_PORT
    except ValueError:
        return None
    is_web = place.scheme in {"http", "https"} and bool(place.hostname)
    return target if is_web and has_port and target.isprintable() else None


def _check_body(answer: Response, standing: DownloadState, *, is_delimited: bool) -> None:
    """Refuse a body whose bytes aren't the file's, or the end of which is anybody's guess."""
    coding = answer.headers.get("content-encoding", "").strip()
    if coding.lower() not in {"", "identity"}:
        shown = quote_header(coding, *answer.secrets)
        raise SourceNotReadable(
            f"Content-Encoding is {shown}; wanted the file as it is ({answer.place})",
            source=standing.source,
        )
    if not is_delimited:
        raise SourceNotReadable(
            "the answer has neither Content-Length nor chunks, so that its end can't be told from "
            f"a broken connection ({answer.place})",
            source=standing.source,
        )


def _judge_whole(answer: Response, standing: DownloadState) -> UseBody:
    found, known = _read_known(answer), standing.known
    if known is None:
        return UseBody(known=found, stop=found.length)
    _check_length(answer, standing, known, found.length)
    if standing.position == 0:
        # It may be another file by now: no byte was given, but the length may have been.
        found = replace(found, length=known.length)
        return UseBody(known=found, stop=found.length)
    _check_validator(answer, standing, known)
    return UseBody(known=known, skip=standing.position, stop=known.length)


def _judge_part(answer: Response, standing: DownloadState, known: FileVersion) -> UseBody:
    found = _RANGE.fullmatch(answer.headers.get("content-range", "").strip())
    if found is None:
        raise _contradiction(answer, standing)
    first, last = int(found[1]), int(found[2])
    length = known.length if found[3] == "*" else int(found[3])
    if length is None or not standing.position == first <= last < length:
        raise _contradiction(answer, standing)
    if _read_length(answer) not in {None, last - first + 1}:
        raise _contradiction(answer, standing)
    _check_validator(answer, standing, known)
    _check_length(answer, standing, known, length)
    return UseBody(known=replace(known, length=length), stop=last + 1)


def _judge_no_part(answer: Response, standing: DownloadState, known: FileVersion) -> Finished:
    """Take the end for the end, where the length was unknown and only the last chunk got lost."""
    found = _NO_RANGE.fullmatch(answer.headers.get("content-range", "").strip())
    if found is None:
        raise _contradiction(answer, standing)
    length = int(found[1])
    _check_length(answer, standing, known, length)
    if length != standing.position:
        raise _changed(answer, standing, f"it has {length} bytes, and more were given")
    if known.etag is not None and "etag" in answer.headers:
        _check_validator(answer, standing, known)
    return Finished()


def _check_length(
    answer: Response, standing: DownloadState, known: FileVersion, length: int | None
) -> None:
    if length is not None and known.length is not None and length != known.length:
        raise _changed(answer, standing, f"it has {length} bytes; wanted {known.length}")


def _check_validator(answer: Response, standing: DownloadState, known: FileVersion) -> None:
    etag, modified = answer.headers.get("etag"), answer.headers.get("last-modified")
    if known.etag is not None and etag != known.etag:
        raise _changed(answer, standing, "its ETag isn't what it was")
    if known.modified is None or modified == known.modified:
        return
    # A part needn't repeat the date that it was asked for with (RFC 9110, 15.3.7).
    if modified is not None or answer.status != HTTPStatus.PARTIAL_CONTENT:
        raise _changed(answer, standing, "its Last-Modified isn't what it was")


def _read_known(answer: Response) -> FileVersion:
    length = _read_length(answer)
    etag = answer.headers.get("etag", "").strip()
    if etag:
        return FileVersion(length=length, etag=etag if _STRONG_TAG.fullmatch(etag) else None)
    # No date where there is a tag, be it a weak one (RFC 9110, 13.1.5).
    modified = answer.headers.get("last-modified", "")
    date = answer.headers.get("date", "")
    return FileVersion(length=length, modified=modified if _is_settled(modified, date) else None)


def _read_length(answer: Response) -> int | None:
    found = _NUMBER.fullmatch(answer.headers.get("content-length", ""))
    return int(found[0]) if found else None


def _is_settled(modified: str, date: str) -> bool:
    try:
        age = parsedate_to_datetime(date) - parsedate_to_datetime(modified)
    except (ValueError, TypeError, OverflowError):
        return False
    return modified.isascii() and age >= SETTLED


def _changed(answer: Response, standing: DownloadState, how: str) -> SourceChanged:
    return SourceChanged(
        f"{standing.source} changed while it was read, at byte {standing.position}: {how} "
        f"({answer.status} from {answer.place})",
        source=standing.source,
    )


def _contradiction(answer: Response, standing: DownloadState) -> SourceNotReadable:
    found = quote_header(answer.headers.get("content-range", ""), *answer.secrets)
    return SourceNotReadable(
        f"Content-Range is {found}; wanted the bytes from {standing.position} on "
        f"({answer.status} from {answer.place})",
        source=standing.source,
    )
