"""The log of requests, and the rules that it checks."""

import pytest

from livepeer_async.sandbox import Answer, Fault, On, request_log
from livepeer_async.sandbox.request_log import (
    RequestLog,
    SeenRequest,
    find_violations,
    redact_target,
    select_headers,
)
from sandbox.client import OFFSET_TYPE, TUS, open_sandbox

UPLOAD = "/api/asset/upload/tus/directUpload%2Fabcd"
CREATION = "/api/asset/upload/tus?token=…"
VALID = {"tus-resumable": "1.0.0", "content-type": OFFSET_TYPE, "upload-offset": "0"}


def make_request(path, *, method="GET", headers=None, is_authorized=False):
    return SeenRequest(
        at=0.0,
        method=method,
        path=path,
        headers=headers or {},
        is_authorized=is_authorized,
        connection=1,
    )


def violations(method, path, headers, *, is_authorized=False):
    request = make_request(path, method=method, headers=headers, is_authorized=is_authorized)
    return list(find_violations(request))


def without(name):
    return {key: value for key, value in VALID.items() if key != name}


def test_log_is_bounded(monkeypatch):
    monkeypatch.setattr(request_log, "MAX_REQUESTS", 10)
    log = RequestLog()
    for number in range(25):
        log.add(make_request(str(number)))
    kept = [request.path for request in log.requests]
    assert 9 <= len(kept) <= 10
    assert kept[-1] == "24"


def test_log_returns_copies():
    log = RequestLog()
    log.add(make_request("/x"))
    log.requests.clear()
    log.report_violation("rule", log.requests[0])
    log.violations.clear()
    assert (len(log.requests), log.violations[0].request) == (1, "GET /x")


def test_patch_runs_while_client_is_connected():
    log = RequestLog()
    assert not log.is_patching("u")
    with log.track_patch("u", lambda: True):
        assert not log.is_patching("u")
        with log.track_patch("u", lambda: False):
            assert log.is_patching("u")
            assert not log.is_patching("v")
        assert not log.is_patching("u")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", "/p"),
        ("token=secret", "/p?token=…"),
        ("a=1&token=secret&b=2", "/p?a=1&token=…&b=2"),
    ],
)
def test_tokens_are_redacted(query, shown):
    assert redact_target("/p", query) == shown


def test_logged_headers_exclude_secrets():
    headers = [(b"Authorization", b"Bearer x"), (b"Upload-Offset", b"7"), (b"Cookie", b"x")]
    assert select_headers(headers) == {"upload-offset": "7"}


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("PATCH", UPLOAD, VALID),
        ("POST", UPLOAD, {**VALID, "x-http-method-override": "PATCH"}),
        ("HEAD", UPLOAD, {"tus-resumable": "1.0.0"}),
        ("POST", CREATION, {"tus-resumable": "1.0.0", "upload-length": "5"}),
        ("POST", CREATION, {"tus-resumable": "1.0.0", "upload-defer-length": "1"}),
        ("OPTIONS", "/api/asset/upload/tus", {}),
        ("GET", "/api/asset?limit=3", {}),
    ],
)
def test_valid_request_is_no_violation(method, path, headers):
    assert violations(method, path, headers) == []


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
            f"Content-Type of a PATCH is not {OFFSET_TYPE}",
        ),
        (
            "POST",
            UPLOAD,
            {**without("upload-offset"), "x-http-method-override": "PATCH"},
            "Upload-Offset is missing",
        ),
        ("PATCH", f"{UPLOAD}?token=…", VALID, "query on an upload URL"),
        ("POST", CREATION, {"upload-length": "5"}, "Tus-Resumable is missing"),
        (
            "POST",
            CREATION,
            {"tus-resumable": "1.0.0"},
            "creation needs exactly one of Upload-Length and Upload-Defer-Length",
        ),
    ],
)
def test_missing_or_misplaced_header_is_violation(method, path, headers, rule):
    assert violations(method, path, headers) == [rule]


@pytest.mark.parametrize("path", [UPLOAD, "/api/asset/upload/direct?token=…"])
def test_api_key_on_upload_url_is_violation(path):
    found = violations("HEAD", path, {"tus-resumable": "1.0.0"}, is_authorized=True)
    assert found == ["Authorization header on an upload URL"]
    assert violations("GET", "/api/asset", {}, is_authorized=True) == []


@pytest.mark.anyio
async def test_violation_is_logged_despite_fault():
    async with open_sandbox(faults=[Fault(On(method="PATCH"), Answer(500))]) as client:
        _, location = await client.begin(5)
        await client.http.patch(location, content=b"hello", headers={**TUS, "Upload-Offset": "0"})
        (found,) = client.sandbox.violations
        assert found.rule == f"Content-Type of a PATCH is not {OFFSET_TYPE}"


@pytest.mark.anyio
@pytest.mark.parametrize("storage", ["file", "s3"])
async def test_second_creation_on_ticket_is_violation(storage):
    async with open_sandbox(storage=storage) as client:
        ticket, _ = await client.begin(5)
        assert client.sandbox.violations == []
        await client.create(ticket, 5)
        assert [found.rule for found in client.sandbox.violations] == [
            "second creation on one ticket"
        ]
