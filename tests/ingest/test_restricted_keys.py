"""Ingestions with API keys that have restricted access."""

import pytest

from ingest.running import run, states_of, write_rows, write_videos
from livepeer_async import Forbidden
from livepeer_async.sandbox import Answer, Fault, On
from support.sandbox import client_for, sandbox_and_client

pytestmark = pytest.mark.anyio

NEEDED = ("POST /asset/request-upload", "GET /asset/:id")


@pytest.mark.parametrize("is_cors", [False, True])
async def test_key_without_lists_can_ingest(folder, tmp_path, is_cors):
    write_videos(folder, 5)
    async with sandbox_and_client() as (sandbox, _):
        key = sandbox.add_key(*NEEDED, is_cors=is_cors)
        async with client_for(sandbox, tmp_path / "journal", api_key=key) as livepeer:
            events = await run(livepeer, folder)
        assert set(states_of(events).values()) == {"ready"}


@pytest.mark.parametrize("allowed", NEEDED)
async def test_key_without_a_needed_right_ends_the_run_at_once(folder, allowed):
    write_videos(folder, 50)
    async with sandbox_and_client() as (sandbox, _):
        async with client_for(sandbox, api_key=sandbox.add_key(allowed)) as livepeer:
            with pytest.raises(Forbidden, match="insufficent privileges"):
                await run(livepeer, folder, concurrency=2)
        assert not any(request.received for request in sandbox.requests if "tus" in request.path)
        # The check, and the rows that started before the first one was refused.
        assert len(sandbox.requests) < 25


async def test_key_that_may_not_import_ends_the_run(folder):
    rows = write_rows(folder, *[{"url": f"https://h.example/{n}.mp4"} for n in range(50)])
    async with sandbox_and_client() as (sandbox, _):
        async with client_for(sandbox, api_key=sandbox.add_key(*NEEDED)) as livepeer:
            with pytest.raises(Forbidden, match="upload/url"):
                await run(livepeer, rows, concurrency=2)
        assert len(sandbox.requests) < 25


async def test_refusal_of_one_row_does_not_end_the_run(folder):
    write_videos(folder, 5)
    refusal = Answer(403, b'{"errors": ["foreign object store"]}')
    fault = Fault(On(path="request-upload", nth=1), refusal)
    async with sandbox_and_client(fault) as (_, livepeer):
        events = await run(livepeer, folder)
    assert sorted(states_of(events).values()) == ["failed", *["ready"] * 4]
