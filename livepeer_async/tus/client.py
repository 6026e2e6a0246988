"""`TusClient`: uploads to any tus 1.0 server, Livepeer or not.

In come a creation URL and a source; out comes the upload URL of a complete upload. It asks the
server once what it can do (OPTIONS) and uses that: creation with upload, deferred length,
termination, the greatest size.

The last answer (204, or 201 with all bytes) proves that an upload of known length is complete, and
HEAD is asked only after an interruption: one more round trip for each upload would ask the same
server the same. If the length was deferred HEAD is always asked at the end, for that answer looks
the same whether the server has taken the length or not.
"""

from __future__ import annotations

import inspect
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
from livepeer_async.http.transport import Transport
from livepeer_async.redaction import redact_url
from livepeer_async.sources.opening import SourcesInUse, open_source, open_unspooled
from livepeer_async.sources.source import Source, SourceLike
from livepeer_async.tus import requests
from livepeer_async.tus.driver import MAX_RESPONSE_SIZE, Driver
from livepeer_async.tus.exchange import check_complete, is_unknown, send_until_answered
from livepeer_async.tus.limits import ServerLimits, for_stream
from livepeer_async.tus.metadata import MetadataValue
from livepeer_async.tus.protocol import TusUpload

# Up to this length an upload travels with its creation, where the server can take it.
FIRST_CHUNK = 8 * 1024 * 1024
# Headers that the protocol sets where they belong. Anywhere else they would change a request: a
# Content-Type makes a creation one with bytes, an Upload-Length declares the length.
RESERVED = frozenset(
    {"content-type", "tus-resumable", "upload-defer-length", "upload-length", "upload-offset"}
    | {"x-http-method-override"}
)
DEFER_LENGTH = "creation-defer-length"
SPOOL = "leave defer_length out: the stream is then spooled"


class TusClient:
    """A client for any tus 1.0 server.

    Args:
        headers: sent with each request, as an `Authorization` that the server wants. Names are
            compared without case; those that the protocol or the body sets are left out.
        http_client: an `httpx.AsyncClient` or `httpx2.AsyncClient` to send through.
        timeouts: the network's time limits.
        retry: how many setbacks are borne.
        limits: what the servers can take; by default each is asked, and so is each before an
            upload of deferred length. See `livepeer_limits` for one that needs care.
        other_hosts: hosts beside the endpoint's where an upload URL may lead.
    """

    def __init__(  # noqa: PLR0913 - the options of a client, all with a default
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
        self._transport = Transport(http_client=http_client, timeouts=timeouts or Timeouts())
        self._retry = retry or RetryPolicy()
        self._limits = limits
        self._features: dict[str, requests.ServerFeatures] = {}
        self._other_hosts = other_hosts
        self._sources = SourcesInUse()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transport.aclose()

    async def discover(self, endpoint: str) -> requests.ServerFeatures:
        """Ask what the server can do.

        Raises:
            NetworkError: no answer came.
        """
        return requests.read_options(await self._send(requests.options(endpoint)))

    async def upload(  # noqa: PLR0913 - the options of an upload, all with a default
        self,
        source: SourceLike,
        endpoint: str | None = None,
        *,
        upload_url: str | None = None,
        metadata: Mapping[str, MetadataValue] | None = None,
        length: int | None = None,
        defer_length: bool = False,
        on_sent: Callable[[int], None] | None = None,
        on_created: Callable[[str], Awaitable[None] | None] | None = None,
    ) -> str:
        """Upload a source, or go on with an upload that was begun; give the upload URL.

        Args:
            source: a path, bytes-like, an async iterable of bytes, or a binary file object.
            endpoint: the creation URL.
            upload_url: where to go on instead.
            metadata: for `Upload-Metadata`.
            length: bytes, for a stream that knows them; one that doesn't is spooled first.
            defer_length: name the length at the end instead of spooling a stream, or a file
                object that can't seek; the server must have the extension creation-defer-length.
                At the end HEAD must show that it has taken the length; an upload that the server
                no longer knows then (404, 410) counts as complete only if it lists the extension.
            on_sent: told the bytes that the socket has taken so far.
            on_created: called with the upload URL of a new upload, and awaited if it returns an
                awaitable, before any request is sent to that URL. Whoever keeps the URL can resume
                the upload after a cancellation or a kill. The URL is a bearer secret.

        Raises:
            ConfigurationError: an argument can't work, or the server lists its extensions and
                `defer_length` isn't among them.
            SourceError: the source can't be read, is empty, too large, or changed.
            TusError: the bytes couldn't be brought over.
            LivepeerError: any of these has an `upload_url` if the upload can be resumed.
        """
        limits = self._limits or ServerLimits()
        if endpoint:
            limits = await self._limits_at(endpoint, defer_length=defer_length)
        open_it = open_unspooled if defer_length else open_source
        opening = open_it(source, length=length, max_length=limits.max_length)
        upload: TusUpload | None = None
        with _naming(lambda: upload.upload_url if upload else upload_url):
            async with self._sources.reserve(source), opening as opened:
                upload = TusUpload(
                    length=None if defer_length else opened.length,
                    endpoint=endpoint,
                    upload_url=upload_url,
                    limits=for_stream(limits) if opened.is_stream else limits,
                    metadata=metadata,
                    other_hosts=self._other_hosts,
                )
                offered = self._features.get(endpoint or "", requests.ServerFeatures()).extensions
                await self._carry(
                    upload,
                    opened,
                    may_forget=DEFER_LENGTH in offered,
                    on_sent=on_sent,
                    on_created=on_created,
                )
                return upload.upload_url or ""

    async def terminate(self, upload_url: str) -> None:
        """Have the server throw an upload away; one that it doesn't know is as good as that.

        Locks (423), 429, 5xx and network errors are retried by the client's `RetryPolicy`.

        Raises:
            UploadRefused: the server won't.
            RetriesExhausted: it didn't in so many attempts.

        Source: tus 1.0, Termination.
        """
        request = requests.termination(upload_url)
        with _naming(lambda: upload_url):
            try:
                await send_until_answered(
                    self._send, request, requests.read_termination, retry=self._retry
                )
            except RetriesExhausted:
                # @tus/s3-store 1.0.0 answers 500 for an upload that is gone; the answer to the
                # DELETE that did it may have been lost.
                if not await is_unknown(self._send, upload_url):
                    raise

    async def _carry(
        self,
        upload: TusUpload,
        source: Source,
        *,
        may_forget: bool,
        on_sent: Callable[[int], None] | None,
        on_created: Callable[[str], Awaitable[None] | None] | None,
    ) -> None:
        """Send the source, and check what the server made of a length that was deferred."""
        is_deferred = upload.length is None

        async def send(request: Request, **options: Any) -> Response:
            nonlocal is_deferred
            response = await self._send(request, **options)
            is_deferred = is_deferred or requests.is_deferred(response)
            return response

        async def tell(upload_url: str) -> None:
            told = on_created(upload_url) if on_created else None
            if inspect.isawaitable(told):
                await told

        driver = Driver(upload, source, send, retry=self._retry, on_sent=on_sent, on_created=tell)
        await driver.run()
        await source.check()
        if is_deferred and upload.upload_url and upload.length is not None:
            try:
                await check_complete(
                    self._send,
                    upload.upload_url,
                    upload.length,
                    retry=self._retry,
                    may_forget=may_forget,
                )
            except (ProtocolError, UploadGone) as error:
                error.advice = SPOOL
                raise

    async def _limits_at(self, endpoint: str, *, defer_length: bool) -> ServerLimits:
        """Fit the limits to what the server says of itself, unless they were handed in."""
        if self._limits is not None and not defer_length:
            return self._limits
        features = self._features.get(endpoint) or await self._features_of(endpoint)
        if defer_length:
            _check_deferral(features, endpoint)
        if self._limits is not None:
            return self._limits
        with_creation = FIRST_CHUNK if "creation-with-upload" in features.extensions else 0
        return ServerLimits(max_length=features.max_size, with_creation=with_creation)

    async def _features_of(self, endpoint: str) -> requests.ServerFeatures:
        """Ask once; of a server that can't say, nothing is known, and the creation decides."""
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
        largest: int = MAX_RESPONSE_SIZE,
    ) -> Response:
        headers = merge_headers(self._headers, request.headers)
        return await self._transport.send(
            replace(request, headers=headers), blocks=blocks, largest=largest
        )


def _check_deferral(features: requests.ServerFeatures, endpoint: str) -> None:
    """Refuse a server that says what it offers, and doesn't offer to defer the length.

    One that says nothing, as Livepeer's, is tried.
    """
    is_silent = not features.versions and not features.extensions
    if is_silent or DEFER_LENGTH in features.extensions:
        return
    listed = ", ".join(sorted(features.extensions)) or "none"
    raise ConfigurationError(
        f"the server doesn't offer {DEFER_LENGTH}; its extensions: {listed} "
        f"(OPTIONS {redact_url(endpoint)})",
        advice=SPOOL,
    )


@contextmanager
def _naming(upload_url: Callable[[], str | None]) -> Generator[None, None, None]:
    """Let each error name the upload URL, unless that is of no more use."""
    try:
        yield
    except LivepeerError as error:
        if not isinstance(error, UploadGone):
            error.upload_url = upload_url()
        raise
