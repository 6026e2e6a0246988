"""`TusClient`: uploads to any tus 1.0 server, Livepeer or not.

In come a creation URL and a source; out comes the upload URL of a complete upload. It asks the
server once what it can do (OPTIONS) and uses that: creation with upload, deferred length,
termination, the greatest size.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from msgspec.structs import replace

from livepeer_async.errors import DecodeError, NetworkError, UploadRefused
from livepeer_async.messages import REDACTED, Request, Response
from livepeer_async.transport import Timeouts, Transport
from livepeer_async.tus import wire
from livepeer_async.tus.driver import LARGEST_ANSWER, Driver
from livepeer_async.tus.events import Terminated
from livepeer_async.tus.limits import ServerLimits, for_stream
from livepeer_async.tus.metadata import MetadataValue
from livepeer_async.tus.upload import TusUpload
from livepeer_async.uploads.opening import SourcesInUse, open_source, open_unspooled
from livepeer_async.uploads.retry import RetryPolicy
from livepeer_async.uploads.source import SourceLike

# Up to this length an upload travels with its creation, where the server can take it.
FIRST_CHUNK = 8 * 1024 * 1024
# Shorter values of headers are words, such as "gzip".
SHORTEST_SECRET = 8


class TusClient:
    """A client for any tus 1.0 server.

    Args:
        headers: sent with each request, as an `Authorization` that the server wants.
        http_client: an `httpx.AsyncClient` or `httpx2.AsyncClient` to send through.
        timeouts: the network's time limits.
        retry: how many setbacks are borne.
        limits: what the servers can take; by default each is asked. See `livepeer_limits` for
            one that needs care.
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
        self._headers = dict(headers or {})
        self._secrets = _secrets_in(self._headers)
        self._transport = Transport(http_client=http_client, timeouts=timeouts or Timeouts())
        self._retry = retry or RetryPolicy()
        self._limits = limits
        self._features: dict[str, wire.ServerFeatures] = {}
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

    async def discover(self, endpoint: str) -> wire.ServerFeatures:
        """Ask what the server can do.

        Raises:
            NetworkError: no answer came.
        """
        return wire.read_options(await self._send(wire.options(endpoint)))

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
            on_sent: told the bytes that the socket has taken so far.

        Raises:
            SourceError: the source can't be read, is empty, too large, or changed.
            TusError: the bytes couldn't be brought over; `error.upload_url` can be resumed.
        """
        limits = await self._limits_at(endpoint) if endpoint else self._limits or ServerLimits()
        open_it = open_unspooled if defer_length else open_source
        opening = open_it(source, length=length, max_length=limits.max_length)
        async with self._sources.reserve(source), opening as opened:
            upload = TusUpload(
                length=None if defer_length else opened.length,
                endpoint=endpoint,
                upload_url=upload_url,
                limits=for_stream(limits) if opened.is_stream else limits,
                metadata=metadata,
                other_hosts=self._other_hosts,
            )
            await Driver(upload, opened, self._send, retry=self._retry, on_sent=on_sent).run()
            await opened.check()
            return upload.upload_url or ""

    async def terminate(self, upload_url: str) -> None:
        """Have the server throw an upload away; one that it doesn't know is as good as that.

        Raises:
            UploadRefused: the server won't.
            NetworkError: no answer came.

        Source: tus 1.0, Termination.
        """
        response = await self._send(wire.termination(upload_url))
        event = wire.read_termination(response)
        if not isinstance(event, Terminated):
            raise UploadRefused(event.reason, status=response.status, request_id=event.request_id)

    async def _limits_at(self, endpoint: str) -> ServerLimits:
        """Fit the limits to what the server says of itself, unless they were handed in."""
        if self._limits is not None:
            return self._limits
        features = self._features.get(endpoint) or await self._features_of(endpoint)
        with_creation = FIRST_CHUNK if "creation-with-upload" in features.extensions else 0
        return ServerLimits(max_length=features.max_size, with_creation=with_creation)

    async def _features_of(self, endpoint: str) -> wire.ServerFeatures:
        """Ask once; of a server that can't say, nothing is known, and the creation decides."""
        try:
            response = await self._send(wire.options(endpoint))
        except (NetworkError, DecodeError):
            return wire.ServerFeatures()
        features = wire.read_options(response)
        if response.is_success:
            self._features[endpoint] = features
        return features

    async def _send(
        self,
        request: Request,
        *,
        blocks: AsyncIterable[bytes | memoryview] | None = None,
        largest: int = LARGEST_ANSWER,
    ) -> Response:
        headers = {**self._headers, **request.headers}
        response = await self._transport.send(
            replace(request, headers=headers), blocks=blocks, largest=largest
        )
        # Servers quote the key that they refuse, and errors quote servers.
        body = response.body
        for secret in self._secrets:
            body = body.replace(secret, REDACTED.encode())
        return replace(response, body=body)


def _secrets_in(headers: Mapping[str, str]) -> list[bytes]:
    """List what looks like a secret: the last words of headers, unless they are short."""
    words = [value.split()[-1] for value in headers.values() if value.strip()]
    return [word.encode() for word in words if len(word) >= SHORTEST_SECRET]
