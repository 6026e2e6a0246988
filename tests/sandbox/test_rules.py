"""What the head of a request shows of a client that breaks the protocol."""

import pytest

from livepeer_async.sandbox import Answer, Fault, On
from livepeer_async.sandbox.request_log import SeenRequest
from livepeer_async.sandbox.rules import find_broken_rules
from sandbox.wire import OFFSET_TYPE, TUS, open_sandbox

UPLOAD = "/api/asset/upload/tus/directUpload%2Fabcd"
CREATION = "/api/asset/upload/tus?token=…"
RIGHT = {"tus-resumable": "1.0.0", "content-type": OFFSET_TYPE, "upload-offset": "0"}


def broken(method, path, headers, *, is_authorized=False):
    seen = SeenRequest(
        at=0.0,
        method=method,
        path=path,
        headers=headers,
        is_authorized=is_authorized,
        connection=1,
    )
    return list(find_broken_rules(seen))


def without(name):
    return {key: value for key, value in RIGHT.items() if key != name}


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("PATCH", UPLOAD, RIGHT),
        ("POST", UPLOAD, {**RIGHT, "x-http-method-override": "PATCH"}),
        ("HEAD", UPLOAD, {"tus-resumable": "1.0.0"}),
        ("POST", CREATION, {"tus-resumable": "1.0.0", "upload-length": "5"}),
        ("POST", CREATION, {"tus-resumable": "1.0.0", "upload-defer-length": "1"}),
        ("OPTIONS", "/api/asset/upload/tus", {}),
        ("GET", "/api/asset?limit=3", {}),
    ],
)
def test_what_is_right_is_not_accused(method, path, headers):
    assert broken(method, path, headers) == []


@pytest.mark.parametrize(
    ("method", "path", "headers", "rule"),
    [
        ("PATCH", UPLOAD, without("tus-resumable"), "Tus-Resumable is missing"),
        ("DELETE", UPLOAD, {}, "Tus-Resumable is missing"),
        ("PATCH", UPLOAD, without("upload-offset"), "Upload-Offset is missing"),
        (
            "PATCH",
            UPLOAD,
            without("content-type"),
            f"the Content-Type of a PATCH is not {OFFSET_TYPE}",
        ),
        (
            "POST",
            UPLOAD,
            {**without("upload-offset"), "x-http-method-override": "PATCH"},
            "Upload-Offset is missing",
        ),
        ("PATCH", f"{UPLOAD}?token=…", RIGHT, "a query on an upload URL"),
        ("POST", CREATION, {"upload-length": "5"}, "Tus-Resumable is missing"),
        (
            "POST",
            CREATION,
            {"tus-resumable": "1.0.0"},
            "a creation has Upload-Length or Upload-Defer-Length, one of both",
        ),
    ],
)
def test_what_is_missing_or_misplaced_is_accused(method, path, headers, rule):
    assert broken(method, path, headers) == [rule]


@pytest.mark.parametrize("path", [UPLOAD, "/api/asset/upload/direct?token=…"])
def test_a_key_has_no_business_on_an_upload_url(path):
    found = broken("HEAD", path, {"tus-resumable": "1.0.0"}, is_authorized=True)
    assert found == ["an Authorization header on an upload URL"]
    assert broken("GET", "/api/asset", {}, is_authorized=True) == []


@pytest.mark.anyio
async def test_a_request_is_judged_also_when_a_fault_strikes_it():
    async with open_sandbox(faults=[Fault(On(method="PATCH"), Answer(500))]) as caller:
        _, location = await caller.begin(5)
        await caller.http.patch(location, content=b"hello", headers={**TUS, "Upload-Offset": "0"})
        (found,) = caller.sandbox.violations
        assert found.rule == f"the Content-Type of a PATCH is not {OFFSET_TYPE}"


@pytest.mark.anyio
@pytest.mark.parametrize("storage", ["file", "s3"])
async def test_a_second_creation_on_one_ticket_is_accused(storage):
    async with open_sandbox(storage=storage) as caller:
        ticket, _ = await caller.begin(5)
        assert caller.sandbox.violations == []
        await caller.create(ticket, 5)
        assert [found.rule for found in caller.sandbox.violations] == [
            "a second creation on one ticket"
        ]
