"""Rows whose file the pipeline would refuse."""

import sys

import pytest

from ingest.running import events_of, run, states_of, write_rows
from livepeer_async import ConfigurationError, Probe, SourceUnsupported
from livepeer_async.ingest import (
    BadRow,
    Checked,
    RowEnded,
    RowStarted,
    check_manifest,
    ingest,
    open_manifest,
)
from support.media import make_media
from support.sandbox import sandbox_and_client

pytestmark = pytest.mark.anyio
BAD = ["bad1.mov", "bad2.mov"]
GOOD = ["good1.mp4", "good2.mp4", "good3.mp4"]


@pytest.fixture
def videos(folder):
    for name in BAD:
        (folder / name).write_bytes(make_media("mov", "mjpeg", "yuvj420p"))
    for name in GOOD:
        (folder / name).write_bytes(make_media("mp4", "libx264"))
    return folder


async def test_unsupported_file_is_a_bad_row_and_never_starts(videos):
    async with sandbox_and_client() as (sandbox, livepeer):
        events = await run(livepeer, videos, probe=True)
        assert sorted(asset.name for asset in sandbox.assets) == GOOD
    bad = sorted(events_of(BadRow, events), key=lambda it: it.location)
    assert [it.location for it in bad] == [str(videos / name) for name in BAD]
    assert all(isinstance(it.error, SourceUnsupported) for it in bad)
    assert all(it.message == str(it.error) for it in bad)
    assert {it.length for it in bad} == {len(make_media("mov", "mjpeg", "yuvj420p"))}
    assert states_of(events) == dict.fromkeys(GOOD, "ready")
    assert sorted(it.row.source for it in events_of(RowStarted, events)) == sorted(
        it.row.source for it in events_of(RowEnded, events)
    )


async def test_unsupported_row_of_a_manifest_has_its_line(videos):
    manifest = write_rows(videos, {"path": "good1.mp4"}, {"path": "bad1.mov"})
    async with sandbox_and_client() as (_, livepeer):
        (bad,) = events_of(BadRow, await run(livepeer, manifest, probe=True))
    assert bad.location == f"{manifest}:2"


async def test_strict_starts_nothing_if_a_file_is_unsupported(videos):
    async with sandbox_and_client() as (sandbox, livepeer):
        events = await run(livepeer, videos, probe=True, strict=True)
        assert sandbox.assets == []
    assert [type(it) for it in events] == [BadRow, BadRow, Checked]
    assert (events[-1].rows, events[-1].bad) == (3, 2)


async def test_rules_can_be_switched_off(videos):
    async with sandbox_and_client() as (_, livepeer):
        events = await run(livepeer, videos, probe=Probe(ignore=["video-codec"]), strict=True)
    assert states_of(events) == dict.fromkeys([*BAD, *GOOD], "ready")


@pytest.mark.parametrize("strict", [True, False])
async def test_finished_rows_are_not_probed(videos, tmp_path, strict):
    options = {"client": {"journal": tmp_path / "j"}}
    async with sandbox_and_client(**options) as (sandbox, livepeer):
        await run(livepeer, videos)
        events = await run(livepeer, videos, probe=True, strict=strict)
        assert len(sandbox.assets) == 5
    assert events_of(BadRow, events) == []
    assert all(it.is_earlier for it in events_of(RowEnded, events))


async def test_stop_leaves_unprobed_rows_alone(videos):
    async with sandbox_and_client() as (sandbox, livepeer):
        async with ingest(livepeer, videos, probe=True) as running:
            async for event in running:
                if isinstance(event, Checked):
                    running.stop()
                assert isinstance(event, Checked)
        assert sandbox.assets == []


async def test_check_probes_the_files(videos):
    probed = []
    checking = check_manifest(
        open_manifest(videos), probe=True, on_probed=lambda: probed.append(True)
    )
    events = [event async for event in checking]
    assert [it.location for it in events_of(BadRow, events)] == [str(videos / name) for name in BAD]
    assert (events[-1].rows, events[-1].bad, len(probed)) == (3, 2, 5)


async def test_check_does_not_probe_urls_and_bad_rows(videos):
    rows = ({"url": "https://files.example/bad.mov"}, {"path": "missing.mov"})
    probed = []
    checking = check_manifest(
        open_manifest(write_rows(videos, *rows)), probe=True, on_probed=lambda: probed.append(1)
    )
    events = [event async for event in checking]
    assert (events[-1].rows, events[-1].bad, probed) == (1, 1, [])


async def test_missing_package_ends_the_run(videos, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    async with sandbox_and_client() as (_, livepeer):
        with pytest.raises(ConfigurationError, match="pip install av"):
            await run(livepeer, videos, probe=True)
