"""Two in-memory tus servers, for tests without a network.

`PlainStore` stores each byte that arrives, as FileStore does. `S3Store` is @tus/s3-store 1.0.0 with
its known faults, scaled down to parts of a few bytes; it shares no code with the sandbox. Time is
an argument. `serve` is the protocol in front of either, and injects a fault into one request.
"""

from enum import Enum

import msgspec

from livepeer_async.http.messages import Request, Response, Span

ENDPOINT = "https://tus.example/files"
HOST = "https://tus.example"
CONFLICT = 409


class NotConnected(msgspec.Struct, frozen=True):
    """No connection: the server receives nothing."""


class Cut(msgspec.Struct, frozen=True):
    """The connection breaks after some bytes of the body."""

    received: int


class LoseAnswer(msgspec.Struct, frozen=True):
    """The server processes the request, and the response is lost."""


class Short(msgspec.Struct, frozen=True):
    """The body ends cleanly after some bytes, and gets a response."""

    received: int


class Answer(msgspec.Struct, frozen=True):
    """A proxy responds, and the server receives nothing."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


class Garble(msgspec.Struct, frozen=True):
    """The server processes the request; its Upload-Offset is replaced, or removed by `None`."""

    offset: str | None


Fault = NotConnected | Cut | LoseAnswer | Short | Answer | Garble | None


class BodyEnd(Enum):
    """How a body ended, as seen by the server."""

    RESPONDED = "responded"
    RESPONSE_LOST = "response lost"
    CUT = "cut"


class Arrival(msgspec.Struct, frozen=True):
    """When a body arrived, how it ended, and after how many seconds its last bytes are visible."""

    now: float
    late: float
    end: BodyEnd


class PlainStore:
    """Stores every byte; the second half of a body without a response may be late."""

    def __init__(self) -> None:
        self.lengths: dict[str, int | None] = {}
        self._uploads: dict[str, bytearray] = {}
        self._late: list[tuple[float, str, int, bytes]] = []
        self._count = 0

    def create(self, length: int | None) -> str:
        self._count += 1
        path = f"/files/{self._count}"
        self._uploads[path], self.lengths[path] = bytearray(), length
        return path

    def offset(self, path: str, now: float) -> int:
        due = [entry for entry in self._late if entry[0] <= now]
        self._late = [entry for entry in self._late if entry[0] > now]
        for _, late_path, start, body in due:
            if len(self._uploads.get(late_path, b"")) == start:
                self._uploads[late_path] += body
        return len(self._uploads[path])

    def write(self, path: str, offset: int, body: bytes, arrival: Arrival) -> int:
        is_on_time = arrival.end is BodyEnd.RESPONDED or not arrival.late
        on_time = len(body) if is_on_time else len(body) // 2
        self._uploads[path] += body[:on_time]
        if on_time < len(body):
            self._late.append((arrival.now + arrival.late, path, offset + on_time, body[on_time:]))
        return offset + on_time

    def forget(self, path: str, count: int) -> None:
        """Lose the last bytes, as in a crash before they were written to disk."""
        kept = self._uploads[path]
        del kept[max(0, len(kept) - count) :]
        self._late.clear()

    def remove(self, path: str) -> bool:
        self._uploads.pop(path, None)
        return self.lengths.pop(path, 0) != 0

    def stored(self, path: str) -> bytes:
        return bytes(self._uploads[path])


class Part(msgspec.Struct):
    """A part of a multipart upload, and the time from which S3 lists it."""

    content: bytes
    visible_at: float


class S3Store:
    """One upload in a bucket."""

    def __init__(self, *, part: int = 8, min_piece: int = 5) -> None:
        self.lengths: dict[str, int | None] = {}
        self.creations = 0
        self.is_open = False
        self.aside = b""
        self._part = part
        self._min_piece = min_piece
        self._parts: dict[int, Part] = {}
        self._highest = 0
        self._object = b""

    def create(self, length: int | None) -> str:
        path = "/files/directUpload%2Fp1"
        self.creations += 1
        self.is_open = True
        self.lengths[path] = length
        return path

    def offset(self, path: str, now: float) -> int:
        """Sum the listed parts; pieces kept aside don't count."""
        if not self.is_open:
            return self.lengths[path] or 0
        return sum(len(part.content) for part in self._parts.values() if part.visible_at <= now)

    def write(self, path: str, offset: int, body: bytes, arrival: Arrival) -> int:
        pieces = [body[start : start + self._part] for start in range(0, len(body), self._part)]
        if arrival.end is BodyEnd.CUT:
            # The last piece is incomplete and lost with the connection.
            pieces = pieces[:-1]
        listed = [number for number, part in self._parts.items() if part.visible_at <= arrival.now]
        number, last = max([self._highest, *listed]), None
        for count, piece in enumerate(pieces):
            offset += len(piece)
            # A short last piece after others may not be recognised as the end; here it never is.
            is_final = offset == self.lengths[path] and not count
            if len(piece) < self._min_piece and not is_final:
                self.aside += piece
                continue
            number, last = number + 1, Part(self.aside + piece, arrival.now)
            self._parts[number], self.aside = last, b""
        if last is not None and arrival.end is not BodyEnd.RESPONDED:
            last.visible_at = arrival.now + arrival.late
        self._highest = max(self._highest, number)
        if arrival.end is not BodyEnd.CUT and offset == self.lengths[path]:
            self.is_open = False
            self._object = b"".join(part.content for _, part in sorted(self._parts.items()))
        return offset

    def remove(self, path: str) -> bool:
        was_open, self.is_open = self.is_open, False
        if was_open:
            del self.lengths[path]
        return was_open

    def stored(self, path: str) -> bytes:
        return self._object


def serve(  # noqa: PLR0911 - one return per fault
    store: PlainStore | S3Store,
    request: Request,
    body: bytes,
    *,
    now: float,
    fault: Fault = None,
    late: float = 0.0,
) -> Response | None:
    """Return the response to a request, or `None` without one."""
    match fault:
        case NotConnected():
            return None
        case Answer(status, headers, text):
            return Response(status=status, headers=headers, body=text, place=request.place)
        case Cut(received):
            _act(store, request, body[:received], Arrival(now, late, BodyEnd.CUT))
            return None
        case LoseAnswer():
            _act(store, request, body, Arrival(now, late, BodyEnd.RESPONSE_LOST))
            return None
        case Short(received):
            return _act(store, request, body[:received], Arrival(now, late, BodyEnd.RESPONDED))
        case Garble(offset):
            response = _act(store, request, body, Arrival(now, late, BodyEnd.RESPONDED))
            headers = {k: v for k, v in response.headers.items() if k != "upload-offset"}
            headers |= {} if offset is None else {"upload-offset": offset}
            return msgspec.structs.replace(response, headers=headers)
        case _:
            return _act(store, request, body, Arrival(now, late, BodyEnd.RESPONDED))


def body_of(request: Request, content: bytes) -> bytes:
    """Return the body of a request."""
    span = request.content
    return content[span.start : span.stop] if isinstance(span, Span) else span


def _act(
    store: PlainStore | S3Store,
    request: Request,
    body: bytes,
    arrival: Arrival,
) -> Response:
    assert request.headers["Tus-Resumable"] == "1.0.0"
    method = request.headers.get("X-HTTP-Method-Override", request.method)
    if method == "POST":
        return _create(store, request, body, arrival)
    path = request.url.removeprefix(HOST)
    if path not in store.lengths:
        return Response(status=404, body=b"The file for this url was not found\n")
    if method == "HEAD":
        headers = {"upload-offset": str(store.offset(path, arrival.now))}
        length = store.lengths[path]
        headers |= (
            {"upload-defer-length": "1"} if length is None else {"upload-length": f"{length}"}
        )
        return Response(status=200, headers=headers)
    if method == "DELETE":
        return Response(status=204 if store.remove(path) else 500)
    return _patch(store, path, request, body, arrival)


def _create(
    store: PlainStore | S3Store,
    request: Request,
    body: bytes,
    arrival: Arrival,
) -> Response:
    length = request.headers.get("Upload-Length")
    path = store.create(None if length is None else int(length))
    headers = {"location": HOST + path}
    if "Content-Type" in request.headers:
        offset = store.write(path, 0, body, arrival)
        headers["upload-offset"] = str(offset)
    return Response(status=201, headers=headers)


def _patch(
    store: PlainStore | S3Store,
    path: str,
    request: Request,
    body: bytes,
    arrival: Arrival,
) -> Response:
    assert request.headers["Content-Type"] == "application/offset+octet-stream"
    offset = int(request.headers["Upload-Offset"])
    if offset != store.offset(path, arrival.now):
        return Response(status=CONFLICT, body=b"Upload-Offset from body and server differ\n")
    if isinstance(store, S3Store) and not store.is_open:
        return Response(status=500, body=b"The specified upload does not exist.\n")
    if "Upload-Length" in request.headers:
        if store.lengths[path] is not None:
            return Response(status=400, body=b"Upload-Length has been set already\n")
        store.lengths[path] = int(request.headers["Upload-Length"])
    offset = store.write(path, offset, body, arrival)
    return Response(status=204, headers={"upload-offset": str(offset)})
