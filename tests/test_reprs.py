"""Reprs and messages don't grow with the data."""

import array

import pytest
from rich.pretty import pretty_repr

from livepeer_async import NewAsset, RetryPolicy, UploadJob, UploadResult, errors
from livepeer_async.http.retry import RetryEvent
from livepeer_async.ingest import BadRow, Row, RowEnded, RowState
from livepeer_async.sources.source import BytesSource

LIMIT = 20_000
LARGE = 20_000_000
TEXT = "x" * LARGE
ERROR = errors.SourceNotReadable(f"{TEXT}: the reason", source=TEXT)
VALUES = {
    "bytes": UploadResult(source=bytes(LARGE)),
    "bytearray": UploadJob(bytearray(LARGE)),
    "array": UploadJob(array.array("d", bytes(LARGE))),
    "name": NewAsset(TEXT),
    "nested name": UploadJob("a.mp4", NewAsset(TEXT), key=TEXT),
    "path": UploadResult(source=TEXT, error=ERROR),
    "error": ERROR,
    "source": BytesSource(memoryview(bytes(10)), TEXT),
    "retry": RetryEvent(reason=TEXT, attempt=1, attempts=2, delay=0.1),
    "bad row": BadRow(TEXT, TEXT),
    "row": Row(source=TEXT, is_url=False, key=TEXT),
    "event": RowEnded(
        row=Row(source="a", is_url=False, key=TEXT), state=RowState.FAILED, error=ERROR
    ),
}


@pytest.mark.parametrize("kind", VALUES)
def test_repr_is_short(kind):
    assert len(repr(VALUES[kind])) < LIMIT
    assert len(pretty_repr(VALUES[kind])) < LIMIT


def test_fields_of_a_mapping_are_not_shown():
    fields = {"name": "talk", "encryption": {"encryptedKey": "hush"}}
    for job in (UploadJob("a.mp4", fields), UploadJob("a.mp4", NewAsset(**fields))):
        assert "'talk'" in repr(job)
        assert "hush" not in repr(job) + pretty_repr(job)


def test_long_message_keeps_its_reason():
    assert str(ERROR).endswith("the reason")
    assert "20,000,012 characters" in str(ERROR)
    assert len(str(ERROR)) < LIMIT


def test_repr_of_bytes_names_their_length():
    assert repr(UploadResult(source=bytes(LARGE))).startswith(
        "UploadResult(source=<bytes, 20,000,000 bytes>, asset=None"
    )
    assert "source=b'abc'" in repr(UploadResult(source=b"abc"))


def test_short_values_are_shown_whole():
    assert "name='talk.mp4'" in repr(NewAsset("talk.mp4"))
    assert "attempts=10" in repr(RetryPolicy())
