"""Creation, Creation With Upload, Upload-Defer-Length, and HEAD after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance.exchange import OFFSET_STREAM
from conformance.expected import SANDBOX_S3, STUDIO

if TYPE_CHECKING:
    from conformance.exchange import Exchanges

TEN = b"0123456789"
WITH_UPLOAD = {"Upload-Length": "10", "Content-Type": OFFSET_STREAM}
LISTED = {"creation", "creation-with-upload", "creation-defer-length", "termination"}


def test_options_lists_the_extensions(tus: Exchanges) -> None:
    response = tus.send("OPTIONS", tus.server.ticket().url, {"Tus-Resumable": None})
    tus.check("OPTIONS", response)
    if tus.server.name in STUDIO:
        # Studio's CORS layer responds without calling tus.
        assert not [name for name in response.headers if name.startswith("tus-")]
        return
    assert set(response.headers["Tus-Extension"].split(",")) >= LISTED


def test_new_upload_is_empty(tus: Exchanges) -> None:
    _, url = tus.create(10)
    response = tus.head(url)
    tus.check("HEAD", response)
    assert response.headers["Upload-Offset"] == "0"
    assert response.headers["Upload-Length"] == "10"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Tus-Resumable"] == "1.0.0"


def test_empty_upload_is_created(tus: Exchanges) -> None:
    response = tus.post(tus.server.ticket(), {"Upload-Length": "0"})
    tus.check("creation of an empty upload", response)
    tus.check("HEAD", tus.head(response.headers["Location"]))


@pytest.mark.parametrize(
    ("exchange", "headers"),
    [
        ("creation without Tus-Resumable", {"Tus-Resumable": None, "Upload-Length": "10"}),
        (
            "creation with an unsupported version",
            {"Tus-Resumable": "0.2.2", "Upload-Length": "10"},
        ),
        ("creation without a length", {}),
        ("creation with a invalid length", {"Upload-Length": "abc"}),
        ("creation with a invalid length", {"Upload-Length": "-1"}),
        (
            "creation with invalid metadata",
            {"Upload-Length": "10", "Upload-Metadata": "filename not*base64 x"},
        ),
        (
            "creation with an extension that is not listed",
            {"Upload-Length": "10", "Upload-Concat": "partial"},
        ),
    ],
)
def test_invalid_creation_is_rejected(
    tus: Exchanges, exchange: str, headers: dict[str, str | None]
) -> None:
    tus.check(exchange, tus.post(tus.server.ticket(), headers))


def test_creation_without_a_token_is_rejected(tus: Exchanges) -> None:
    url = tus.server.ticket().url.partition("?")[0]
    tus.check("creation without a token", tus.send("POST", url, {"Upload-Length": "10"}))


def test_rejected_creation_leaves_the_ticket_usable(tus: Exchanges) -> None:
    ticket = tus.server.ticket()
    tus.check("creation without a length", tus.post(ticket, {}))
    tus.check("creation", tus.post(ticket, {"Upload-Length": "10"}))


def test_metadata_is_echoed(tus: Exchanges) -> None:
    metadata = "filename Y2xpcC5tcDQ=,filetype dmlkZW8vbXA0,is_confidential"
    response = tus.post(tus.server.ticket(), {"Upload-Length": "10", "Upload-Metadata": metadata})
    tus.check("creation with metadata", response)
    assert tus.head(response.headers["Location"]).headers["Upload-Metadata"] == metadata


def test_creation_with_the_whole_upload_completes_it(tus: Exchanges) -> None:
    ticket = tus.server.ticket()
    response = tus.post(ticket, WITH_UPLOAD, TEN)
    tus.check("creation with the whole upload", response)
    assert response.headers["Upload-Offset"] == "10"
    assert tus.offset(response.headers["Location"]) == 10
    assert tus.server.stored(ticket) == TEN


def test_creation_with_a_part_of_the_upload_acknowledges_it(tus: Exchanges) -> None:
    response = tus.post(tus.server.ticket(), WITH_UPLOAD, TEN[:5])
    tus.check("creation with a part of the upload", response)
    assert response.headers["Upload-Offset"] == "5"
    url = response.headers["Location"]
    # S3 storage acknowledges the five bytes and discards them.
    assert tus.offset(url) == (0 if tus.server.name == SANDBOX_S3 else 5)
    tus.check("PATCH after a creation with a part of the upload", tus.patch(url, 5, TEN[5:]))


def test_deferred_length_is_declared_with_the_first_patch(tus: Exchanges) -> None:
    ticket = tus.server.ticket()
    response = tus.post(ticket, {"Upload-Defer-Length": "1"})
    tus.check("creation with a deferred length", response)
    url = response.headers["Location"]
    state = tus.head(url).headers
    assert state["Upload-Defer-Length"] == "1"
    assert "Upload-Length" not in state
    patched = tus.patch(url, 0, TEN, {"Upload-Length": "10"})
    tus.check("PATCH that declares the length", patched)
    state = tus.head(url).headers
    assert state["Upload-Length"] == state["Upload-Offset"] == "10"
    assert "Upload-Defer-Length" not in state
    assert tus.server.stored(ticket) == TEN


def test_undeclared_length_stays_deferred(tus: Exchanges) -> None:
    response = tus.post(tus.server.ticket(), {"Upload-Defer-Length": "1"})
    url = response.headers["Location"]
    patched = tus.patch(url, 0, TEN)
    tus.check("PATCH that leaves the length open", patched)
    assert patched.headers["Upload-Offset"] == "10"
    state = tus.head(url).headers
    assert state["Upload-Defer-Length"] == "1"
    assert state["Upload-Offset"] == ("0" if tus.server.name == SANDBOX_S3 else "10")


def test_second_creation_returns_the_same_upload(tus: Exchanges) -> None:
    ticket, url = tus.create(10)
    response = tus.post(ticket, {"Upload-Length": "10"})
    tus.check("creation again with the same token", response)
    assert response.headers["Location"] == url


def test_creation_after_completion_matches(tus: Exchanges) -> None:
    ticket = tus.server.ticket()
    tus.check("creation with the whole upload", tus.post(ticket, WITH_UPLOAD, TEN))
    assert tus.server.stored(ticket) == TEN
    response = tus.post(ticket, {"Upload-Length": "10"})
    tus.check("creation again after completion", response)
