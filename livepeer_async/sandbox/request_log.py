"""The log of one sandbox: requests, and the protocol rules that a client broke.

The server's thread writes the lists and the test's thread reads them, so they are locked.
"""

import re
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager

from msgspec import Struct

from livepeer_async.sandbox.tus_headers import OFFSET_TYPE

MAX_REQUESTS = 20_000

CREATION_PATH = "/api/asset/upload/tus"
# The upload token or the path alone grants access here; the API key must not be sent.
UPLOAD_PATHS = (CREATION_PATH, "/api/asset/upload/direct")
TUS_METHODS = frozenset({"HEAD", "PATCH", "POST", "DELETE"})

LOGGED_HEADERS = re.compile(
    "connection|content-(length|type)|expect|host|if-none-match|range|transfer-encoding"
    "|tus-resumable|upload-.+|user-agent|x-http-method-override|x-request-id"
)


class SeenRequest(Struct, kw_only=True):
    """One request as the server saw it; updated while the request runs.

    Attributes:
        at: when its head was read, in seconds of the sandbox's clock.
        method: the method on the wire.
        path: path and query as sent, the upload token replaced by `…`.
        headers: the headers that tests look at, names in lower case; never Authorization.
        is_authorized: whether it has an Authorization header.
        connection: a number that requests on one connection share.
        received: bytes of the body that the server has read.
        status: status of the response; None until it is sent.
        fault: class name of the fault that was injected.
        is_over: whether the server has finished with it.
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

    @property
    def effective_method(self) -> str:
        """The method, or the one that X-HTTP-Method-Override replaces it with."""
        return self.headers.get("x-http-method-override", self.method).upper()


class Violation(Struct, frozen=True):
    """A protocol rule that a client broke.

    Attributes:
        rule: a description of the broken rule.
        request: method and path of the request.
        at: when the request came, in seconds of the sandbox's clock.
    """

    rule: str
    request: str
    at: float


class RequestLog:
    """A bounded log of requests and violations, and of the PATCHes in progress."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[SeenRequest] = []
        self._violations: list[Violation] = []
        self._patches: dict[str, list[Callable[[], bool]]] = {}
        self._storing: Counter[str] = Counter()

    @property
    def requests(self) -> list[SeenRequest]:
        """The last 20,000 requests, oldest first."""
        with self._lock:
            return self._requests.copy()

    @property
    def violations(self) -> list[Violation]:
        """All violations, oldest first."""
        with self._lock:
            return self._violations.copy()

    def clear(self) -> None:
        """Drop requests and violations."""
        with self._lock:
            self._requests.clear()
            self._violations.clear()

    def add(self, request: SeenRequest) -> None:
        """Log a request, and the rules that its head breaks."""
        with self._lock:
            self._requests.append(request)
            if len(self._requests) > MAX_REQUESTS:
                del self._requests[: MAX_REQUESTS // 10]
        for rule in find_violations(request):
            self.report_violation(rule, request)

    def report_violation(self, rule: str, request: SeenRequest) -> None:
        """Log a broken rule."""
        with self._lock:
            name = f"{request.method} {request.path}"
            self._violations.append(Violation(rule, name, request.at))

    def is_patching(self, upload_id: str) -> bool:
        """Whether a PATCH of this upload runs and its client is still connected.

        The socket decides: a PATCH whose client hung up is over, even if the server has not yet
        read to the end of the connection.
        """
        return any(not is_peer_gone() for is_peer_gone in self._patches.get(upload_id, []))

    def is_storing(self, upload_id: str) -> bool:
        """Whether the storage still works on a body of this upload, its client connected or not."""
        return self._storing[upload_id] > 0

    @contextmanager
    def track_storing(self, upload_id: str) -> Generator[None]:
        """Count a body as being stored."""
        self._storing[upload_id] += 1
        try:
            yield
        finally:
            self._storing[upload_id] -= 1

    @contextmanager
    def track_patch(self, upload_id: str, is_peer_gone: Callable[[], bool]) -> Generator[None]:
        """Count a PATCH as running."""
        running = self._patches.setdefault(upload_id, [])
        running.append(is_peer_gone)
        try:
            yield
        finally:
            running.remove(is_peer_gone)
            if not running:
                self._patches.pop(upload_id, None)


def select_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Pick the headers that tests look at."""
    selected: dict[str, str] = {}
    for name, value in headers:
        key = name.decode("latin-1").lower()
        if LOGGED_HEADERS.fullmatch(key):
            selected[key] = value.decode("latin-1")
    return selected


def redact_target(path: str, query: str) -> str:
    """Join path and query without the upload token, which is a bearer secret."""
    if not query:
        return path
    fields = ["token=…" if field.startswith("token=") else field for field in query.split("&")]
    return f"{path}?{'&'.join(fields)}"


def find_violations(request: SeenRequest) -> Iterator[str]:
    """Name the rules that the head of a request breaks.

    Rules about several requests are checked by the tus endpoint.

    Source: tus 1.0, PATCH and Creation.
    """
    path, _, query = request.path.partition("?")
    headers, method = request.headers, request.effective_method
    if request.is_authorized and path.startswith(UPLOAD_PATHS):
        yield "Authorization header on an upload URL"
    if not path.startswith(CREATION_PATH):
        return
    if method in TUS_METHODS and "tus-resumable" not in headers:
        yield "Tus-Resumable is missing"
    if method == "PATCH" and headers.get("content-type") != OFFSET_TYPE:
        yield f"Content-Type of a PATCH is not {OFFSET_TYPE}"
    if method == "PATCH" and "upload-offset" not in headers:
        yield "Upload-Offset is missing"
    if path != CREATION_PATH and query:
        yield "query on an upload URL"
    is_creation = path == CREATION_PATH and method == "POST"
    if is_creation and ("upload-length" in headers) == ("upload-defer-length" in headers):
        yield "creation needs exactly one of Upload-Length and Upload-Defer-Length"
