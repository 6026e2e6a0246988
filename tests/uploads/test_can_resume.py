"""`can_resume` of an error is true if a later call goes on without sending everything again."""

import pytest

from livepeer_async import RetryPolicy, errors
from livepeer_async.sandbox import Answer, CutConnection, FailProcessing, Fault, On, Slow, Stall
from support.clock import until
from support.constants import VERY_LONG
from support.records import ON_BOTH
from support.sandbox import PART, SMALL_S3, is_stored, make_bytes, sandbox_and_client
from support.streams import split

pytestmark = pytest.mark.anyio

VIDEO = make_bytes(6 * PART + 100)

# The fault, the error that it causes, and whether the upload of a file with a journal can resume.
CASES = {
    "connection": (Fault(On(method="PATCH", nth=2), CutConnection()), "RetriesExhausted", True),
    "refusal": (Fault(On(method="PATCH", nth=2), Answer(403)), "UploadRefused", True),
    "server before the ticket": (Fault(On(path="request-upload"), Answer(403)), "Forbidden", False),
    "lost upload": (Fault(On(method="PATCH", nth=2), Answer(410)), "UploadGone", False),
    "processing": (Fault(On(asset="talk"), FailProcessing()), "AssetFailed", False),
    "key revoked": (
        Fault(On(method="GET", path="/asset/[^u]"), Answer(401)),
        "NotAuthenticated",
        True,
    ),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "talk.mp4"
    path.write_bytes(VIDEO)
    return path


@pytest.mark.parametrize("name", CASES)
async def test_error_tells_whether_the_upload_is_kept(name, path, journal):
    fault, kind, expected = CASES[name]
    fault.fired = fault.seen = 0
    client = {"journal": journal, "retry": RetryPolicy(attempts=0, restarts=0)}
    async with sandbox_and_client(fault, client=client, **SMALL_S3) as (_, livepeer):
        with pytest.raises(errors.LivepeerError) as caught:
            await livepeer.upload(path)
        assert type(caught.value).__name__ == kind
        assert caught.value.can_resume is expected
        async with livepeer.upload_many([path]) as results:
            async for result in results:
                assert result.error is None or result.error.can_resume is expected


async def test_upload_without_a_journal_resumes_from_its_url(path):
    fault = Fault(On(method="PATCH", nth=2), Answer(403))
    async with sandbox_and_client(fault, **SMALL_S3) as (_, livepeer):
        for source, expected in ((path, True), (split(VIDEO, 1000), False)):
            fault.fired = fault.seen = 0
            length = None if expected else len(VIDEO)
            with pytest.raises(errors.UploadRefused) as caught:
                await livepeer.upload(source, length=length)
            assert caught.value.can_resume is expected
            assert (caught.value.upload_url is not None) is expected


@ON_BOTH
async def test_cancelled_upload_of_a_block(path, journal):
    held = Fault(On(method="PATCH", nth=2), Stall(VERY_LONG))
    async with sandbox_and_client(held, client={"journal": journal}, **SMALL_S3) as (_, livepeer):
        with pytest.raises(ZeroDivisionError):
            async with livepeer.begin_upload(path) as upload:
                await until(lambda: held.fired)
                raise ZeroDivisionError
        assert isinstance(upload.error, errors.UploadStopped)
        assert upload.error.can_resume
        assert "was cancelled" in str(upload.error)


async def test_file_that_changes_restarts(path, journal):
    slow = Fault(On(method="PATCH"), Slow(PART * 20))
    async with sandbox_and_client(slow, client={"journal": journal}, **SMALL_S3) as (_, livepeer):
        upload = await livepeer.start_upload(path)
        path.write_bytes(VIDEO[:-1])
        with pytest.raises(errors.SourceChanged) as caught:
            await upload.wait()
        assert not caught.value.can_resume


def connection_of(livepeer):
    """The journal's connection, to which limits apply."""
    return livepeer.journal._store._database._connection  # noqa: SLF001


async def test_full_disk_before_an_upload_leaves_no_asset(path, journal):
    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (sandbox, livepeer):
        # SQLite's page limit raises the same error as a full disk.
        connection_of(livepeer).execute("PRAGMA max_page_count = 1")
        with pytest.raises(errors.JournalError, match="disk is full") as caught:
            await livepeer.start_upload(path, key="k" * 100_000)
        assert not caught.value.can_resume
        assert all(asset.is_deleted for asset in sandbox.assets)


async def test_unwritable_journal_during_an_upload_loses_nothing(path, journal):
    async with sandbox_and_client(client={"journal": journal}, **SMALL_S3) as (sandbox, livepeer):
        upload = await livepeer.start_upload(path)
        upload.pause()
        await until(lambda: upload.latest.is_paused)
        connection_of(livepeer).execute("PRAGMA query_only = 1")
        upload.resume()
        with pytest.raises(errors.JournalError) as caught:
            await upload.wait()
        assert caught.value.can_resume
        assert caught.value.asset_id == upload.asset.id
        connection_of(livepeer).execute("PRAGMA query_only = 0")
        sent = sum(r.received for r in sandbox.requests)
        resumed = await livepeer.resume_upload(str(path))
        assert is_stored(sandbox, (await resumed.wait()).asset, VIDEO)
        assert sum(r.received for r in sandbox.requests) == sent
        assert len(sandbox.assets) == 1
