"""Spans of uploads, as OpenTelemetry's SDK records them."""

import asyncio
import subprocess
import sys

import anyio
import pytest

pytest.importorskip("opentelemetry.sdk", reason="nox -s telemetry")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import leaks.upload_scenarios as scenarios
from leaks.test_scenarios import run_recorded
from livepeer_async import UploadJob, UploadStopped, errors
from livepeer_async.sandbox import Answer, CutConnection, FailProcessing, Fault, On, Stall
from livepeer_async.tus import TusClient
from support.clock import until
from support.sandbox import PART, make_bytes, sandbox_and_client

pytestmark = pytest.mark.anyio
VIDEO = make_bytes(3 * PART)


class Spans:
    """The spans that have ended, oldest first."""

    def __init__(self, exporter):
        self._exporter = exporter
        self.tracer = trace.get_tracer("application")

    @property
    def all(self):
        return self._exporter.get_finished_spans()

    def named(self, name):
        return [span for span in self.all if span.name == name]

    def one(self, name):
        (span,) = self.named(name)
        return span


@pytest.fixture(scope="session")
def exporter():
    """OpenTelemetry accepts one provider per process."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter):
    exporter.clear()
    return Spans(exporter)


def is_child(span, parent):
    return span.parent is not None and span.parent.span_id == parent.context.span_id


async def test_upload_has_a_span_for_each_part(spans):
    async with sandbox_and_client() as (_, livepeer):
        with spans.tracer.start_as_current_span("application"):
            asset = await livepeer.upload(VIDEO, "x", key="talk")
    upload, application = spans.one("upload"), spans.one("application")
    assert is_child(upload, application)
    assert upload.attributes == {
        "livepeer.asset.id": asset.id,
        "livepeer.upload.key": "talk",
        "livepeer.upload.source": "x",
        "livepeer.upload.length": len(VIDEO),
        "livepeer.upload.attempts": 1,
        "livepeer.upload.outcome": "succeeded",
    }
    parts = [*spans.named("creation"), *spans.named("chunk"), *spans.named("wait")]
    assert len(parts) == len(spans.all) - 2
    assert all(is_child(part, upload) for part in parts)
    assert {part.attributes["livepeer.asset.id"] for part in parts} == {asset.id}
    assert {part.instrumentation_scope.name for part in parts} == {"livepeer_async"}
    sent = [it for it in parts if it.name != "wait"]
    assert sum(it.attributes["http.request.body.size"] for it in sent) == len(VIDEO)
    assert {it.attributes["http.response.status_code"] for it in sent} == {201, 204}
    waits = [it.attributes["livepeer.wait.for"] for it in spans.named("wait")]
    assert waits == ["uploaded", "ready"]
    assert {span.status.status_code for span in spans.all} == {StatusCode.UNSET}


async def test_failures_are_recorded_and_retries_are_events(spans):
    faults = [
        Fault(On(method="PATCH", nth=1), CutConnection()),
        Fault(On(method="PATCH", nth=1), Answer(500)),
        Fault(On(path="request-upload", nth=1), Answer(503)),
        Fault(On(method="GET", path="/asset", nth=1), Answer(500)),
    ]
    async with sandbox_and_client(*faults) as (_, livepeer):
        await livepeer.upload(VIDEO, "x")
    upload, chunks = spans.one("upload"), spans.named("chunk")
    broken, refused, *others = chunks
    assert broken.status.status_code is refused.status.status_code is StatusCode.ERROR
    assert broken.attributes["error.type"] == "ConnectionBroken"
    assert broken.events[0].name == "exception"
    assert (refused.attributes["error.type"], refused.status.description) == ("500", "status 500")
    resends = [it.attributes["http.request.resend_count"] for it in chunks]
    assert resends == [0, 1, 2, *[0] * (len(others) - 1)]
    assert {it.status.status_code for it in [upload, *others]} == {StatusCode.UNSET}
    assert {it.name for it in upload.events} == {"retry"}
    statuses = [it.attributes.get("livepeer.retry.status_code") for it in upload.events]
    assert sorted(filter(None, statuses)) == [500, 500, 503]
    assert all(it.attributes["livepeer.retry.delay"] >= 0 for it in upload.events)


async def test_each_put_of_a_direct_upload_is_a_chunk(spans):
    faults = [Fault(On(method="PUT", nth=1), action) for action in (CutConnection(), Answer(500))]
    async with sandbox_and_client(*faults) as (_, livepeer):
        with spans.tracer.start_as_current_span("application"):
            upload = await livepeer.start_upload(VIDEO, "x", key="talk", method="direct")
        await upload.wait()
    parent, chunks = spans.one("upload"), spans.named("chunk")
    assert is_child(parent, spans.one("application"))
    assert all(is_child(it, parent) for it in chunks)
    assert spans.named("creation") == []
    assert [it.attributes.get("error.type") for it in chunks] == ["ConnectionBroken", "500", None]
    assert [it.attributes["http.request.resend_count"] for it in chunks] == [0, 1, 2]
    assert chunks[-1].attributes == {
        "livepeer.asset.id": upload.asset.id,
        "livepeer.upload.key": "talk",
        "http.request.method": "PUT",
        "http.request.body.size": len(VIDEO),
        "livepeer.upload.offset": 0,
        "http.request.resend_count": 2,
        "http.response.status_code": 200,
    }


async def test_error_of_an_upload_is_its_status(spans):
    fault = Fault(On(times=1), FailProcessing("no video; see https://h/a?token=s3cret"))
    async with sandbox_and_client(fault) as (_, livepeer):
        with pytest.raises(errors.AssetFailed):
            await livepeer.upload(VIDEO, "x")
    upload = spans.one("upload")
    assert upload.status.status_code is StatusCode.ERROR
    assert "no video; see https://h/a" in upload.status.description
    assert upload.attributes["error.type"] == "AssetFailed"
    assert upload.attributes["livepeer.upload.outcome"] == "failed"
    assert "s3cret" not in "".join(span.to_json() for span in spans.all)


@pytest.mark.parametrize("outcome", ["stopped", "aborted", "cancelled"])
async def test_interruption_is_no_error(outcome, spans, tmp_path):
    fault = Fault(On(method="PATCH", nth=1), Stall(0.05))
    async with sandbox_and_client(fault, client={"journal": tmp_path / "journal"}) as (_, livepeer):
        with anyio.CancelScope() as scope:
            try:
                async with livepeer.begin_upload(VIDEO, "x", key="x") as upload:
                    await until(lambda: upload.upload_url)
                    if outcome == "stopped":
                        upload.stop()
                    elif outcome == "aborted":
                        await upload.abort()
                    else:
                        scope.cancel()
                        await anyio.sleep_forever()
            except UploadStopped:
                assert outcome == "stopped"
    span = spans.one("upload")
    assert span.attributes["livepeer.upload.outcome"] == outcome
    assert {it.status.status_code for it in spans.all} == {StatusCode.UNSET}


async def test_restart_changes_the_asset_of_the_span(spans):
    fault = Fault(On(method="PATCH", nth=1), Answer(404))
    async with sandbox_and_client(fault) as (_, livepeer):
        asset = await livepeer.upload(VIDEO, "x")
    upload = spans.one("upload")
    assert upload.attributes["livepeer.asset.id"] == asset.id
    assert upload.attributes["livepeer.upload.attempts"] == 2
    assert len(spans.named("creation")) == 2


async def test_concurrent_uploads_in_tasks_have_their_own_spans(spans):
    async def handle(livepeer, name):
        with spans.tracer.start_as_current_span(name):
            await asyncio.create_task(livepeer.upload(VIDEO, name))

    fault = Fault(On(method="PATCH", every=2, times=3), Answer(500))
    async with sandbox_and_client(fault) as (_, livepeer), asyncio.TaskGroup() as tasks:
        for name in ("one", "two", "three"):
            tasks.create_task(handle(livepeer, name))
    uploads = spans.named("upload")
    for name in ("one", "two", "three"):
        application = spans.one(name)
        (upload,) = [it for it in uploads if is_child(it, application)]
        parts = [it for it in spans.all if is_child(it, upload)]
        assert {it.name for it in parts} == {"creation", "chunk", "wait"}
        wanted = {upload.attributes["livepeer.asset.id"]}
        assert {it.attributes["livepeer.asset.id"] for it in parts} == wanted


async def test_upload_many_is_in_the_span_of_its_caller(spans):
    jobs = [UploadJob(VIDEO, "one"), UploadJob(VIDEO, "two")]
    async with sandbox_and_client() as (_, livepeer):
        with spans.tracer.start_as_current_span("application"):
            async with livepeer.upload_many(jobs) as results:
                async for result in results:
                    result.unwrap()
    uploads, application = spans.named("upload"), spans.one("application")
    assert [is_child(it, application) for it in uploads] == [True, True]


async def test_owned_upload_is_in_the_span_of_its_caller(spans):
    async with sandbox_and_client() as (_, livepeer):
        with spans.tracer.start_as_current_span("application"):
            upload = await livepeer.start_upload(VIDEO, "x")
        await upload.wait()
    assert is_child(spans.one("upload"), spans.one("application"))


async def test_block_of_a_begun_upload_keeps_its_own_span(spans):
    async with sandbox_and_client() as (_, livepeer):
        with spans.tracer.start_as_current_span("application"):
            async with livepeer.begin_upload(VIDEO, "x"):
                with spans.tracer.start_as_current_span("block"):
                    pass
    assert is_child(spans.one("block"), spans.one("application"))


async def test_wait_for_an_asset_has_a_span(spans):
    fault = Fault(On(method="GET", path="/asset/", nth=1), Answer(500))
    async with sandbox_and_client(fault) as (_, livepeer):
        ticket = await livepeer.assets.request_upload("x")
        with pytest.raises(errors.AssetTimeout):
            await livepeer.assets.wait(ticket.asset.id, timeout=0.3)
    wait = spans.one("wait")
    assert wait.attributes["livepeer.asset.id"] == ticket.asset.id
    assert wait.attributes["error.type"] == "AssetTimeout"
    assert wait.events[0].name == "retry"


async def test_tus_client_has_spans_without_an_asset(spans):
    async with sandbox_and_client() as (_, livepeer), TusClient() as tus:
        ticket = await livepeer.assets.request_upload("x")
        await tus.upload(VIDEO, ticket.tus_endpoint)
    upload = spans.one("upload")
    assert upload.attributes == {
        "livepeer.upload.length": len(VIDEO),
        "livepeer.upload.source": "untitled",
    }
    assert is_child(spans.one("creation"), upload)


@pytest.mark.parametrize(
    "run",
    [
        scenarios.upload_with_all_features,
        scenarios.upload_with_retries,
        scenarios.resume_from_journal,
        scenarios.upload_many_with_failures,
        scenarios.ingest_signed_urls,
        scenarios.upload_with_wrong_api_key,
    ],
)
async def test_spans_have_no_secrets(run, spans, detector, tmp_path):
    await run_recorded(run, "httpx", detector, tmp_path)
    assert spans.named("upload")
    detector.texts.clear()
    for span in spans.all:
        detector.add(f"span {span.name}", span.to_json())
    assert detector.find_leaks() == []


async def test_unsampled_upload_is_not_recorded(spans):
    parent = trace.NonRecordingSpan(trace.SpanContext(1, 1, is_remote=True))
    async with sandbox_and_client() as (_, livepeer):
        with trace.use_span(parent):
            await livepeer.upload(VIDEO, "x")
    assert spans.all == ()


def test_opentelemetry_is_not_imported():
    code = """
import asyncio, sys
from livepeer_async import AsyncLivepeer
from livepeer_async.sandbox import Sandbox

async def main():
    async with Sandbox(waiting_seconds=0.0, processing_seconds=0.0) as sandbox:
        async with AsyncLivepeer(sandbox.api_key, base_url=sandbox.base_url) as livepeer:
            await livepeer.upload(b"x", "x")

asyncio.run(main())
print([name for name in sys.modules if name.startswith(("opentelemetry", "sentry_sdk"))])
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
