"""A bounded log of requests, and of rules that a client broke.

The server's thread writes the lists and the tests' thread reads them, so they are locked. Whether
two requests overlap is read off the sockets: a PATCH whose client hung up is no PATCH in flight,
even before the server has read to the end of its connection.
"""

import threading
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from msgspec import Struct

MAX_REQUESTS = 20_000

SHOWN_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "if-none-match",
        "range",
        "transfer-encoding",
        "tus-resumable",
        "user-agent",
        "x-http-method-override",
        "x-request-id",
    }
)


class SeenRequest(Struct, kw_only=True):
    """One request as the server saw it; it fills while the request runs.

    Attributes:
        at: Seconds of the sandbox's clock when its head was read.
        method: The method on the wire.
        path: Path and query as sent, the upload token replaced by `…`.
        headers: Those that matter to a test, names in lower case; never Authorization.
        is_authorized: Whether an Authorization header came.
        connection: A number that requests on one connection share.
        received: Bytes of body that the server read.
        status: Status of the answer that was sent; None while there is none.
        fault: Name of the fault that struck.
        is_over: Whether the server is done with it.
    """

    at: float
    method: str
    path: str
    headers: Mapping[str, str]
    is_authorized: bool
    connection: int
    received: int = 0
    status: int | None = None
    fault: str | None = None
    is_over: bool = False


class Violation(Struct, frozen=True):
    """A rule that a client broke, and with which request."""

    rule: str
    request: str
    at: float


class Peer(Protocol):
    """The part of a connection that tells whether its client is still there."""

    def has_lost_its_peer(self) -> bool:
        """Whether the client has closed or reset the connection."""
        ...


class Watch:
    """The log of one sandbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[SeenRequest] = []
        self._violations: list[Violation] = []
        self._patches: dict[str, list[Peer]] = {}
        self._storing: Counter[str] = Counter()

    @property
    def requests(self) -> list[SeenRequest]:
        """The last 20,000 requests, oldest first."""
        with self._lock:
            return self._requests.copy()

    @property
    def violations(self) -> list[Violation]:
        """Every broken rule, oldest first."""
        with self._lock:
            return self._violations.copy()

    def clear(self) -> None:
        """Forget requests and violations."""
        with self._lock:
            self._requests.clear()
            self._violations.clear()

    def note(self, request: SeenRequest) -> None:
        """Log a request."""
        with self._lock:
            self._requests.append(request)
            if len(self._requests) > MAX_REQUESTS:
                del self._requests[: MAX_REQUESTS // 10]

    def accuse(self, rule: str, request: SeenRequest) -> None:
        """Log a broken rule."""
        with self._lock:
            name = f"{request.method} {request.path}"
            self._violations.append(Violation(rule, name, request.at))

    def is_patching(self, upload_id: str) -> bool:
        """Whether a PATCH of this upload runs whose client is still there."""
        running = self._patches.get(upload_id, [])
        return any(not peer.has_lost_its_peer() for peer in running)

    def is_storing(self, upload_id: str) -> bool:
        """Whether the storage still works on a body of this upload, its client there or not."""
        return self._storing[upload_id] > 0

    @contextmanager
    def storing(self, upload_id: str) -> Generator[None]:
        """Count a body as being stored."""
        self._storing[upload_id] += 1
        try:
            yield
        finally:
            self._storing[upload_id] -= 1

    @contextmanager
    def patching(self, upload_id: str, peer: Peer) -> Generator[None]:
        """Count a PATCH as running."""
        running = self._patches.setdefault(upload_id, [])
        running.append(peer)
        try:
            yield
        finally:
            running.remove(peer)
            if not running:
                self._patches.pop(upload_id, None)


def show_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Pick the headers that a test may want to see."""
    shown: dict[str, str] = {}
    for name, value in headers:
        key = name.decode("latin-1").lower()
        if key in SHOWN_HEADERS or key.startswith("upload-"):
            shown[key] = value.decode("latin-1")
    return shown


def hide_token(path: str, query: str) -> str:
    """Join path and query, with the upload token (a bearer secret) left out."""
    if not query:
        return path
    fields = ["token=…" if field.startswith("token=") else field for field in query.split("&")]
    return f"{path}?{'&'.join(fields)}"


def read_target(scope: Mapping[str, Any]) -> tuple[str, str]:
    """Return path and query of a request as they were sent."""
    return scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
