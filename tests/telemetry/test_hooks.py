"""The hooks for OpenTelemetry's and Sentry's integrations of httpx, with the real packages.

Each test first shows that a secret leaks without the hook.
"""

import json
import re
from contextlib import contextmanager

import httpx
import pytest

pytest.importorskip("opentelemetry.instrumentation.httpx", reason="nox -s telemetry")
pytest.importorskip("sentry_sdk", reason="nox -s telemetry")

import sentry_sdk
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.transport import Transport

from leaks.context import add_upload_urls
from leaks.detector import record_logs
from leaks.scenario import SCENARIOS
from leaks.test_scenarios import check_scenario
from livepeer_async import errors
from livepeer_async.sandbox import Answer, CutConnection, Fault, On
from livepeer_async.telemetry import redact_event, redact_request
from livepeer_async.tus import ServerLimits, TusClient
from livepeer_async.uploads.options import UploadOptions
from support.documentation import ROOT
from support.sandbox import PART, make_bytes, sandbox_and_client
from support.servers import respond_with, serve_raw

pytestmark = pytest.mark.anyio
VIDEO = make_bytes(3 * PART)
LIMITS = ServerLimits(with_creation=0)
README = (ROOT / "README.md").read_text(encoding="utf-8")
LEAKING_SPANS = {f"span {method}" for method in ("GET", "HEAD", "OPTIONS", "PATCH", "POST")}
SIGNATURE = "s3cret-of-a-signed-url"
SIGNED = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + VIDEO[:100_000]


async def use_everything(detector):
    """Upload, relay a signed URL, fail, and log a ticket's URL, all by the application's client."""
    detector.add_secret("the signature of a URL", SIGNATURE)
    fault = Fault(On(method="PATCH", nth=1), CutConnection())
    async with (
        httpx.AsyncClient() as client,
        sandbox_and_client(fault, client={"http_client": client}) as (sandbox, livepeer),
        serve_raw(respond_with(SIGNED)) as (url, _),
    ):
        await livepeer.upload(VIDEO, "x")
        signed = f"{url}/clip.mp4?X-Amz-Signature={SIGNATURE}"
        await livepeer.uploads.relay(signed, "relayed", UploadOptions(verify=None))
        ticket = await livepeer.assets.request_upload("browser")
        async with TusClient(http_client=client) as tus:
            upload_url = await tus.upload(VIDEO[:1000], ticket.tus_endpoint)
        await client.head(upload_url, headers={"Tus-Resumable": "1.0.0"})
        sandbox.add_fault(Fault(On(method="POST", path="/upload/tus"), Answer(403)))
        try:
            await livepeer.upload(VIDEO, "refused")
        except errors.UploadRefused:
            sentry_sdk.capture_exception()
        try:
            {}[upload_url]
        except KeyError:
            sentry_sdk.capture_exception()
        add_upload_urls(detector, sandbox)


def leaking_places(detector):
    return {leak.partition(" in ")[2].partition(":")[0] for leak in detector.find_leaks()}


@contextmanager
def instrumented(**hooks):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider, **hooks)
    try:
        yield exporter
    finally:
        instrumentor.uninstrument()


@pytest.mark.parametrize("conventions", ["", "http", "http/dup"])
@pytest.mark.parametrize("hook", [None, redact_request])
async def test_spans_of_requests_have_no_secrets(hook, conventions, detector, monkeypatch):
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", conventions)
    monkeypatch.setattr(
        "opentelemetry.instrumentation._semconv._OpenTelemetrySemanticConventionStability._initialized",
        False,
    )
    with instrumented(**({"async_request_hook": hook} if hook else {})) as exporter:
        await use_everything(detector)
    spans = exporter.get_finished_spans()
    assert len(spans) > 10
    for span in spans:
        detector.add(f"span {span.name}", span.to_json())
    places = leaking_places(detector)
    assert places == (set() if hook else LEAKING_SPANS)


class Envelopes(Transport):
    """Keeps what Sentry would send."""

    def __init__(self, options=None):
        super().__init__(options)
        self.items = []

    def capture_envelope(self, envelope):
        self.items += [
            item.get_event() or item.get_transaction_event() or item.payload.json
            for item in envelope.items
        ]


@contextmanager
def sentry(**options):
    transport = Envelopes()
    sentry_sdk.get_isolation_scope().clear_breadcrumbs()
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=transport,
        traces_sample_rate=1.0,
        **options,
    )
    try:
        yield transport.items
    finally:
        sentry_sdk.flush()
        sentry_sdk.init()


HOOKS = dict.fromkeys(("before_breadcrumb", "before_send", "before_send_transaction"), redact_event)
# Sentry's other way to send spans, and log records as an item of its own.
STREAMED = {"before_send_span": redact_event, "before_send_log": redact_event}
STREAM = {"trace_lifecycle": "stream", "enable_logs": True}


@pytest.mark.parametrize("hooks", [{}, HOOKS], ids=["bare", "hooked"])
async def test_sentry_gets_no_secrets(hooks, detector):
    with sentry(**hooks) as items:
        with sentry_sdk.start_transaction(name="request"):
            await use_everything(detector)
        sentry_sdk.flush()
    for item in items:
        for name, part in item.items():
            detector.add(name, json.dumps(part, default=repr))
    assert {"breadcrumbs", "exception", "spans"} <= {place for place, _ in detector.texts}
    # The sandbox runs in this process, and Sentry records the requests that it receives.
    leaking = {"breadcrumbs", "exception", "request", "spans"}
    assert leaking_places(detector) == (set() if hooks else leaking)


@pytest.mark.parametrize("hooks", [{}, HOOKS | STREAMED], ids=["bare", "hooked"])
async def test_sentry_streams_no_secrets(hooks, detector, caplog):
    caplog.set_level("INFO")
    with sentry(**STREAM, **hooks) as items:
        with sentry_sdk.traces.start_span(name="request"):
            await use_everything(detector)
        sentry_sdk.flush()
    for item in items:
        for part in item.get("items", ()):
            detector.add("log" if "body" in part else "span", json.dumps(part, default=repr))
    assert {place for place, _ in detector.texts} >= {"span", "log"}
    assert leaking_places(detector) == (set() if hooks else {"span"})


@pytest.mark.parametrize(
    ("call", "options"),
    [
        ("HTTPXClientInstrumentor().instrument", {"async_request_hook": redact_request}),
        ("sentry_sdk.init", HOOKS),
    ],
)
def test_readme_shows_the_hooks_that_are_tested(call, options):
    (arguments,) = re.findall(rf"`{re.escape(call)}\(([^`]*)\)`", README)
    assert eval(f"dict({arguments})") == options


async def test_breadcrumbs_hide_the_uploads_of_any_tus_server(detector):
    location = b"/files/ab12NAMEs3cret7d8e9f"
    head = b"HTTP/1.1 201 Created\r\nTus-Resumable: 1.0.0\r\nLocation: " + location + b"\r\n"
    created = head + b"Upload-Offset: 0\r\nContent-Length: 0\r\n\r\n"
    refused = b"HTTP/1.1 403 Forbidden\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n\r\n"

    async def respond(reader, writer):
        writer.write(created if not seen else refused)
        seen.append(1)

    for hooks in ({}, HOOKS):
        seen = []
        with sentry(**hooks) as items:
            async with serve_raw(respond) as (url, _), httpx.AsyncClient() as client:
                tus = TusClient(http_client=client, limits=LIMITS)
                with pytest.raises(errors.LivepeerError):
                    await tus.upload(VIDEO, f"{url}/files")
            sentry_sdk.capture_message("see the breadcrumbs")
            sentry_sdk.flush()
        text = json.dumps(items[-1]["breadcrumbs"])
        assert ("NAMEs3cret7d8e9f" in text) is not bool(hooks)


@pytest.mark.parametrize("name", ["connection_refused", "ingest_signed_urls"])
async def test_locals_of_the_integrations_are_cleared(name, detector, tmp_path):
    (scenario,) = [it for it in SCENARIOS if it.name == name]
    with sentry(), instrumented(async_request_hook=redact_request):
        await check_scenario(scenario, "httpx", detector, tmp_path)


async def test_lines_of_httpx_and_locals_have_no_secrets(detector, caplog):
    with record_logs(detector):
        await use_everything(detector)
    places = [place for place, _ in detector.texts]
    assert "log of httpx" in places
    assert detector.find_leaks() == []


async def test_other_requests_stay_as_they_are():
    async with serve_raw(respond_with(b"HTTP/1.1 204 No Content\r\n\r\n")) as (url, _):
        with instrumented(async_request_hook=redact_request) as exporter:
            async with httpx.AsyncClient() as client:
                await client.get(f"{url}/search?q=upload")
    (span,) = exporter.get_finished_spans()
    assert f"{url}/search?q=upload" in span.attributes.values()


def test_event_is_redacted_in_depth_and_copied():
    event = {
        "a": ["see https://h/a?b=s3cret", ("Bearer s3cret", 1)],
        "http.query": "sig=s3cret",
        "http.fragment": "",
        "n": None,
    }
    assert redact_event(event, {}) == {
        "a": ["see https://h/a", ("Bearer ***", 1)],
        "http.query": "***",
        "http.fragment": "",
        "n": None,
    }
    assert event["http.query"] == "sig=s3cret"
