"""`TusClient`: uploads to any tus 1.0 server.

The response to the last chunk (204, or 201 with all bytes) proves that an upload of known length is
complete; HEAD is sent only after an interruption. If the length was deferred, HEAD is always sent
at the end, because that response is the same whether the server has accepted the length or not.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from msgspec.structs import replace

from livepeer_async.errors import (
    ConfigurationError,
    DecodeError,
    LivepeerError,
    NetworkError,
    ProtocolError,
    RetriesExhausted,
    UploadGone,
)
from livepeer_async.http.messages import Request, Response, filter_headers, merge_headers
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts
from livepeer_async.http.tracing import trace_upload
from livepeer_async.http.transport import Transport
from livepeer_async.redaction import Hidden, hides_variables, redact_url
from livepeer_async.sources.opening import SourcesInUse, open_source, open_unspooled
from livepeer_async.sources.source import Source, SourceLike
from livepeer_async.telemetry.subjects import Subject
from livepeer_async.tus import requests
from livepeer_async.tus.cookies import Cookies
from livepeer_async.tus.driver import MAX_TUS_RESPONSE_SIZE, Callbacks, Driver
from livepeer_async.tus.exchange import check_complete, is_unknown, send_with_retries
from livepeer_async.tus.limits import ServerLimits, limits_for_stream
from livepeer_async.tus.metadata import MetadataValue
from livepeer_async.tus.protocol import TusUpload

# Uploads of up to this length are sent with their creation, if the server supports it.
MAX_WITH_CREATION = 8 * 1024 * 1024
# Headers that only the protocol sets. In other requests they would change the meaning: a
# Content-Type announces bytes with a creation, an Upload-Length declares the length.
RESERVED = frozenset(
    {"content-type", "tus-resumable", "upload-defer-length", "upload-length", "upload-offset"}
    | {"x-http-method-override"}
)
DEFER_LENGTH = "creation-defer-length"
SPOOL_ADVICE = "leave defer_length out: the stream is then spooled"


class TusClient:
    """A client for any tus 1.0 server; an async context manager.

    It may be used in several event loops; each has its own connections.

    Args:
        headers: sent with each request, such as `Authorization`. Headers of the protocol and of the
            body are ignored.
        http_client: an `httpx.AsyncClient` or `httpx2.AsyncClient` to send with; it stays open.
        timeouts: the time limits of requests.
        retry: the retry policy.
        limits: the limits of the servers; by default derived from OPTIONS. Livepeer's need
            `livepeer_limits`.
        other_hosts: hosts besides the endpoint's that an upload URL may have.
    """

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        http_client: Any = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        limits: ServerLimits | None = None,
        other_hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._headers = filter_headers(headers, reserved=RESERVED)
        own_cookies = (it for name, it in self._headers.items() if name.lower() == "cookie")
        self._cookie = next(own_cookies, "")
        self._transport = Transport(http_client=http_client, timeouts=timeouts or Timeouts())
        self._retry = retry or RetryPolicy()
        self._limits = limits
        self._features: dict[str, requests.ServerFeatures] = {}
        self._other_hosts = other_hosts
        self._sources = SourcesInUse()

    async def __aenter__(self) -> Self:
        self._transport.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transport.aclose()

    @hides_variables
    async def discover(self, endpoint: str) -> requests.ServerFeatures:
        """Ask the server for its versions, extensions and maximum size (OPTIONS).

        Raises:
            NetworkError: there was no response.
        """
        return requests.read_options(await self._send(requests.options(endpoint)))

    @hides_variables
    async def upload(  # noqa: PLR0913 - options with defaults
        self,
        source: SourceLike,
        endpoint: str | None = None,
        *,
        upload_url: str | None = None,
        metadata: Mapping[str, MetadataValue] | None = None,
        length: int | None = None,
        defer_length: bool = False,
        on_sent: Callable[[int], None] | None = None,
        on_transfer: Callable[[int, int], None] | None = None,
        on_created: Callable[[str], Awaitable[None] | None] | None = None,
    ) -> str:
        """Upload a source, or resume an upload, and return the upload URL.

        Args:
            source: a path, bytes-like, an async iterable of bytes, or a binary file object.
            endpoint: the creation URL, for a new upload.
            upload_url: the URL of an upload to resume.
            metadata: for `Upload-Metadata`.
            length: bytes of a stream; without it, a stream is spooled first.
            defer_length: declare the length at the end instead of spooling a stream, or a file
                object that can't seek. The server needs the extension creation-defer-length. At
                the end HEAD must report the length; an upload unknown by then (404, 410) counts
                as complete only if the server lists the extension.
            on_sent: called with the bytes that the server has acknowledged so far.
            on_transfer: called with these bytes, and with those in flight: accepted by the socket,
                and not acknowledged.
            on_created: called with the upload URL of a new upload, and awaited if it returns an
                awaitable, before a request is sent there. With that URL the upload can be resumed
                after a cancellation or a crash. It is a bearer secret.

        Raises:
            ConfigurationError: an argument is invalid, or the server lists its extensions and
                `defer_length` isn't among them.
            SourceError: the source can't be read, is empty, too large, or changed.
            TusError: the upload failed.
            LivepeerError: each error has the `upload_url` if the upload can be resumed.
        """
        # Tracebacks may show local variables.
        creation_url, known_url = Hidden(endpoint), Hidden(upload_url)
        del endpoint, upload_url
        limits = await self._limits_at(creation_url.value, defer_length=defer_length)
        open_it = open_unspooled if defer_length else open_source
        opening = open_it(source, length=length, max_length=limits.max_length)
        upload: TusUpload | None = None
        with _errors_with_url(lambda: upload.upload_url if upload else known_url.value):
            async with self._sources.reserve(source), opening as opened:
                upload = TusUpload(
                    length=None if defer_length else opened.length,
                    endpoint=creation_url.value,
                    upload_url=known_url.value,
                    limits=limits_for_stream(limits) if opened.is_stream else limits,
                    metadata=metadata,
                    other_hosts=self._other_hosts,
                )
                listed = self._features.get(
                    creation_url.value or "", requests.ServerFeatures()
                ).extensions
                callbacks = Callbacks(
                    on_sent=on_sent, on_transfer=on_transfer, on_created=on_created
                )
                with trace_upload(Subject(opened.name), opened.length):
                    await self._transfer(
                        upload, opened, may_forget=DEFER_LENGTH in listed, callbacks=callbacks
                    )
                return upload.upload_url or ""

    @hides_variables
    async def terminate(self, upload_url: str) -> None:
        """Delete an upload on the server. An unknown upload counts as deleted.

        Transient failures, such as 423 (locked), are retried.

        Raises:
            UploadRefused: the server refused.
            RetriesExhausted: all attempts failed.

        Source: tus 1.0, Termination.
        """
        known_url = Hidden(upload_url)
        del upload_url
        request, send = requests.termination(known_url.value), Cookies().wrap(self._send)
        with _errors_with_url(lambda: known_url.value):
            try:
                await send_with_retries(send, request, requests.read_termination, retry=self._retry)
            except RetriesExhausted:
                # @tus/s3-store 1.0.0 responds with 500 if the upload is already deleted, which an
                # earlier attempt without a response may have done.
                if not await is_unknown(send, known_url.value):
                    raise

    async def _transfer(
        self, upload: TusUpload, source: Source, *, may_forget: bool, callbacks: Callbacks
    ) -> None:
        """Send the source, and verify that the server accepted a deferred length."""
        is_deferred, origin = upload.length is None, ""

        async def send(request: Request, **options: Any) -> Response:
            nonlocal is_deferred, origin
            origin = request.origin
            response = await self._send(request, **options)
            is_deferred = is_deferred or requests.is_deferred(response)
            return response

        async def wait_to_retry(seconds: float) -> None:
            await self._transport.recovery.wait(origin, seconds)

        callbacks = replace(callbacks, wait_to_retry=wait_to_retry)
        driver = Driver(upload, source, send, retry=self._retry, callbacks=callbacks)
        await driver.run()
        await source.check()
        url, length = upload.upload_url, upload.length
        if not is_deferred or url is None or length is None:
            return
        try:
            send_with_cookies = driver.cookies.wrap(self._send)
            await check_complete(
                send_with_cookies, url, length, retry=self._retry, accepts_unknown=may_forget
            )
        except (ProtocolError, UploadGone) as error:
            error.advice = SPOOL_ADVICE
            raise

    async def _limits_at(self, endpoint: str | None, *, defer_length: bool) -> ServerLimits:
        """Return the client's limits, or those that the server lists."""
        if self._limits is not None and not (endpoint and defer_length):
            return self._limits
        if not endpoint:
            return ServerLimits()
        features = self._features.get(endpoint) or await self._features_of(endpoint)
        if defer_length:
            _check_deferral(features, endpoint)
        if self._limits is not None:
            return self._limits
        has_extension = "creation-with-upload" in features.extensions
        with_creation = MAX_WITH_CREATION if has_extension else 0
        return ServerLimits(max_length=features.max_size, with_creation=with_creation)

    async def _features_of(self, endpoint: str) -> requests.ServerFeatures:
        """Ask the server once; without a usable response, none are assumed."""
        try:
            response = await self._send(requests.options(endpoint))
        except (NetworkError, DecodeError):
            return requests.ServerFeatures()
        if not response.is_success:
            return requests.ServerFeatures()
        self._features[endpoint] = features = requests.read_options(response)
        return features

    async def _send(
        self,
        request: Request,
        *,
        blocks: AsyncIterable[bytes | memoryview] | None = None,
        largest: int = MAX_TUS_RESPONSE_SIZE,
    ) -> Response:
        request = replace(request, headers=self._merge_headers(request))
        return await self._transport.send(request, blocks=blocks, largest=largest)

    def _merge_headers(self, request: Request) -> dict[str, str]:
        headers = merge_headers(self._headers, request.headers)
        if self._cookie and "Cookie" in request.headers:
            headers["Cookie"] = f"{self._cookie}; {request.headers['Cookie']}"
        return headers


def _check_deferral(features: requests.ServerFeatures, endpoint: str) -> None:
    """Reject a server that lists its extensions without creation-defer-length.

    Livepeer's server lists nothing and is tried.
    """
    lists_nothing = not features.versions and not features.extensions
    if lists_nothing or DEFER_LENGTH in features.extensions:
        return
    listed = ", ".join(sorted(features.extensions)) or "none"
    raise ConfigurationError(
        f"the server doesn't support {DEFER_LENGTH}; its extensions: {listed} "
        f"(OPTIONS {redact_url(endpoint)})",
        advice=SPOOL_ADVICE,
    )


@contextmanager
def _errors_with_url(upload_url: Callable[[], str | None]) -> Generator[None, None, None]:
    """Set the upload URL of each error, unless the upload is gone."""
    try:
        yield
    except LivepeerError as error:
        if not isinstance(error, UploadGone):
            error.upload_url = upload_url()
        raise
