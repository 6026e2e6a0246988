"""HEAD, PATCH and DELETE of an existing upload."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from conformance.expected import SANDBOX_FILE, SANDBOX_S3, TUS_1, TUS_2

if TYPE_CHECKING:
    from conformance.exchange import Exchanges

TEN = b"0123456789"
CHUNK = 64 * 1024


def test_sequence_of_patches_stores_the_bytes(tus: Exchanges) -> None:
    chunk = max(CHUNK, tus.server.part)
    sent = bytes(itertools.islice(itertools.cycle(range(251)), 2 * chunk + 5))
    ticket, url = tus.create(len(sent))
    for start in range(0, len(sent), chunk):
        response = tus.patch(url, start, sent[start : start + chunk])
        tus.check("PATCH", response)
        assert response.headers["Tus-Resumable"] == "1.0.0"
        end = min(start + chunk, len(sent))
        assert int(response.headers["Upload-Offset"]) == end
        assert tus.offset(url) == end
    assert tus.server.stored(ticket) == sent


def test_body_without_content_length_is_accepted(tus: Exchanges) -> None:
    ticket, url = tus.create(10)
    response = tus.patch(url, 0, iter([TEN[:4], TEN[4:]]))
    tus.check("PATCH of a body without Content-Length", response)
    assert tus.server.stored(ticket) == TEN


def test_method_override_replaces_patch(tus: Exchanges) -> None:
    ticket, url = tus.create(10)
    headers = {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0",
        "X-HTTP-Method-Override": "PATCH",
    }
    exchange = "PATCH through POST and X-HTTP-Method-Override"
    tus.check(exchange, tus.send("POST", url, headers, TEN))
    if tus.server.name == TUS_2:
        assert tus.offset(url) == 0
        return
    assert tus.server.stored(ticket) == TEN


@pytest.mark.parametrize(
    ("exchange", "offset", "headers"),
    [
        ("PATCH with a wrong offset", 3, {}),
        ("PATCH with a wrong Content-Type", 0, {"Content-Type": "application/octet-stream"}),
        (
            "PATCH with a parameter in Content-Type",
            0,
            {"Content-Type": "application/offset+octet-stream; charset=utf-8"},
        ),
        ("PATCH without Content-Type", 0, {"Content-Type": None}),
        ("PATCH without an offset", None, {}),
        ("PATCH with a invalid offset", -1, {}),
        ("PATCH with a invalid offset", "1x", {}),
        ("PATCH without Tus-Resumable", 0, {"Tus-Resumable": None}),
    ],
)
def test_invalid_patch_is_rejected_and_changes_nothing(
    tus: Exchanges, exchange: str, offset: int | str | None, headers: dict[str, str | None]
) -> None:
    _, url = tus.create(10)
    tus.check(exchange, tus.patch(url, offset, TEN[:5], headers))
    assert tus.offset(url) == 0


def test_unknown_upload_is_not_found(tus: Exchanges) -> None:
    _, url = tus.create(10)
    unknown = f"{url}nosuch"
    tus.check("HEAD to an unknown upload", tus.head(unknown))
    tus.check("PATCH to an unknown upload", tus.patch(unknown, 0, TEN))


@pytest.mark.parametrize(
    ("exchange", "method", "added", "headers"),
    [
        ("HEAD without Tus-Resumable", "HEAD", "", {"Tus-Resumable": None}),
        ("HEAD with a slash added", "HEAD", "/", {}),
        ("HEAD with a query added", "HEAD", "?x=1", {}),
        ("GET", "GET", "", {}),
    ],
)
def test_modified_upload_url_is_not_found(
    tus: Exchanges, exchange: str, method: str, added: str, headers: dict[str, str | None]
) -> None:
    _, url = tus.create(10)
    tus.check(exchange, tus.send(method, url + added, headers))


def test_bytes_beyond_the_length_match(tus: Exchanges) -> None:
    _, url = tus.create(5)
    tus.check("PATCH beyond the length", tus.patch(url, 0, TEN))
    # File storage counts all bytes, S3 storage reports the declared length.
    offsets = {TUS_2: 0, SANDBOX_S3: 5, SANDBOX_FILE: 10, TUS_1: 10}
    assert tus.offset(url) == offsets[tus.server.name]


@pytest.mark.parametrize(
    ("exchange", "offset", "content"),
    [
        ("PATCH of no bytes after completion", 10, b""),
        ("PATCH of more bytes after completion", 10, TEN[:5]),
        ("PATCH at 0 after completion", 0, TEN),
    ],
)
def test_patch_after_completion_matches(
    tus: Exchanges, exchange: str, offset: int, content: bytes
) -> None:
    _, url = tus.create(10)
    tus.check("PATCH", tus.patch(url, 0, TEN))
    assert tus.offset(url) == 10
    tus.check(exchange, tus.patch(url, offset, content))


def test_terminated_upload_is_gone(tus: Exchanges) -> None:
    ticket, url = tus.create(10)
    response = tus.send("DELETE", url, {"Tus-Resumable": None})
    tus.check("DELETE without Tus-Resumable", response)
    assert tus.offset(url) == 0
    tus.check("DELETE", tus.delete(url))
    tus.check("HEAD after DELETE", tus.head(url))
    tus.check("PATCH after DELETE", tus.patch(url, 0, TEN))
    tus.check("DELETE again", tus.delete(url))
    again = tus.post(ticket, {"Upload-Length": "10"})
    tus.check("creation again after DELETE", again)
    tus.check("PATCH", tus.patch(again.headers["Location"], 0, TEN))
    assert tus.server.stored(ticket) == TEN


def test_finished_upload_is_terminated(tus: Exchanges) -> None:
    ticket, url = tus.create(10)
    tus.check("PATCH", tus.patch(url, 0, TEN))
    assert tus.server.stored(ticket) == TEN
    tus.check("DELETE after completion", tus.delete(url))
