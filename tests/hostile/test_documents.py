"""Malformed and oversized JSON: each document gives a value or a typed error."""

import anyio
import pytest

from hostile.clients import api_client
from livepeer_async import AssetPatch, errors
from support.constants import TIMEOUT
from support.servers import http_response, serve_http

pytestmark = pytest.mark.anyio
DEEP = 100_000
# At most 20 sentences of 4,000 characters.
MAX_MESSAGE_LENGTH = 100_000
DIGITS = b"9" * 1_000_000


async def list_all(livepeer):
    return [asset async for asset in livepeer.assets.list()]


async def request_anything(livepeer):
    await livepeer.request("GET", "/anything")


CALLS = {
    "asset": lambda livepeer: livepeer.assets.get("x"),
    "list": list_all,
    "tasks": lambda livepeer: livepeer.tasks.get("x"),
    "ticket": lambda livepeer: livepeer.assets.request_upload("x"),
    "update": lambda livepeer: livepeer.assets.update("x", AssetPatch(name="y")),
    "playback": lambda livepeer: livepeer.playback.get("x"),
    "anything": request_anything,
    "wait": lambda livepeer: livepeer.assets.wait("x", timeout=0.02),
}
REFUSALS = {"200 OK": errors.DecodeError, "422 Unprocessable Entity": errors.ApiError}
DOCUMENTS = {
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"id":' * DEEP + b"1" + b"}" * DEEP,
    "deep lists without an end": b"[" * DEEP,
    "deep in a field": b'{"id":"x","status":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep in an unknown field": b'{"id":"x","new":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep in parameters": b'{"id":"x","params":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "long integer": b'{"id":"x","size":' + DIGITS + b"}",
    "long negative integer": b'{"id":"x","size":-' + DIGITS + b"}",
    "long integer in text": b'{"id":"x","size":"' + DIGITS + b'"}',
    "long integer in an unknown field": b'{"id":"x","new":' + DIGITS + b"}",
    "long float": b'{"id":"x","status":{"phase":"ready","progress":0.' + DIGITS + b"}}",
    "huge float": b'{"id":"x","status":{"phase":"ready","progress":1e999}}',
    "tiny float": b'{"id":"x","status":{"phase":"ready","progress":1e-999999999}}',
    "long exponent": b'{"id":"x","size":1e' + DIGITS + b"}",
    "no number": b'{"id":"x","size":NaN}',
    "infinity": b'{"id":"x","size":-Infinity}',
    "long text": b'{"id":"' + b"x" * 1_000_000 + b'"}',
    "long key": b'{"' + b"x" * 1_000_000 + b'":1,"id":"x"}',
    "many keys": b"{" + b",".join(b'"%d":0' % n for n in range(100_000)) + b',"id":"x"}',
    "lone surrogate": b'{"id":"\\ud800"}',
    "invalid UTF-8": b'{"id":"\xff\xfe"}',
    "invalid UTF-8 in a key": b'{"\xff":1,"id":"x"}',
    "UTF-16": '{"id":"x"}'.encode("utf-16"),
    "NUL": b'{"id":"x\\u0000"}',
    "unescaped NUL": b'{"id":"x\x00"}',
    "key twice": b'{"id":"x","id":7}',
    "cut in an escape": b'{"id":"\\u00',
    "two documents": b'{"id":"x"}{"id":"y"}',
    "nothing": b"",
    "spaces": b" " * 1_000_000,
    "null": b"null",
    "text": b'"x"',
    "nulls": b"[" + b"null," * 10_000 + b"null]",
    "web page": b"<!doctype html>" * 10_000,
    "errors of another shape": b'{"errors":{"a":[' + DIGITS + b"]}}",
    "error that is deep JSON": b'{"errors":["{\\"params\\":' + b"[" * DEEP + b'"]}',
    "error that is a long number": b'{"errors":["{\\"params\\":{\\"a\\":' + DIGITS + b'}}"]}',
    "error that is slow to search": b'{"errors":["' + b"a." * 100_000 + b'"]}',
    "error full of URLs": b'{"errors":["' + b"http://" * 20_000 + b'"]}',
    "error full of keys": b'{"errors":["' + b"no token " * 20_000 + b'"]}',
    "failure that is slow to search": b'{"id":"x","status":{"phase":"failed","errorMessage":"'
    + b"a." * 100_000
    + b'"}}',
    "many errors": b'{"errors":[' + b'"no",' * 100_000 + b'"no"]}',
}


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_document_is_decoded_or_a_typed_error(name):
    status = "200 OK"

    def choose(_):
        return http_response(DOCUMENTS[name], "Content-Type: application/json", status=status)

    async with serve_http(choose) as server, api_client(server) as livepeer:
        for status, error in REFUSALS.items():  # noqa: B007 - `choose` reads it
            async with anyio.create_task_group() as tasks:
                for call in CALLS.values():
                    tasks.start_soon(assert_short_message, call, livepeer, error)


async def assert_short_message(call, livepeer, refusal):
    """Assert that the call succeeds, or fails with a short message."""
    message = ""
    try:
        with anyio.fail_after(TIMEOUT):
            await call(livepeer)
    except (refusal, errors.AssetError) as error:
        message = str(error)
    assert len(message) < MAX_MESSAGE_LENGTH
