"""The kinds of faults, the requests that each targets, and the result that it allows.

If a target is in `recovers_at`, a correct client ends with a ready asset, in any combination of
such faults. If it is in `may_fail_at`, the server is wrong by design or for too long, and one typed
error is correct too. Wrong bytes, another exception and a hang never are.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from livepeer_async.sandbox import (
    Action,
    Answer,
    ChangeBody,
    ChangeHeaders,
    CutAnswer,
    CutConnection,
    FailProcessing,
    Garbage,
    HangUp,
    LoseAnswer,
    On,
    Redirect,
    ShiftOffset,
    Slow,
    Stall,
    WrongSize,
)
from support.sandbox import PART

# The client's stall timeout, and a stall that exceeds every timeout.
STALL_SECONDS = 0.8
LONG_STALL = 60.0
# The target of redirects, which a client must not follow.
REDIRECT_TARGET = "/redirected"

TARGETS = {
    "ticket": On(method="POST", path="/asset/request-upload$"),
    "creation": On(method="POST", path="/upload/tus$"),
    "patch": On(method="PATCH", path="/upload/tus/"),
    "head": On(method="HEAD", path="/upload/tus/"),
    "poll": On(method="GET", path="/api/asset/[^/]+$"),
    "source": On(asset=""),
}
TUS = ("creation", "patch", "head")
REPEATED = (*TUS, "poll")
CHUNKS = ("creation", "patch")
EVERYWHERE = ("ticket", *REPEATED)


class Kind(NamedTuple):
    """A kind of fault.

    Attributes:
        recovers_at: Targets of which the client must recover.
        may_fail_at: Targets at which the upload may end with a typed error.
        may_lose_url: Whether the upload URL may be lost: a stream, which can't be read twice, may
            then end with `UploadGone`. Faults of a creation always may.
        is_permanent: Whether the fault fires each time, instead of at most twice.
    """

    name: str
    draw: Callable[[Random], Action]
    recovers_at: tuple[str, ...] = ()
    may_fail_at: tuple[str, ...] = ()
    may_lose_url: bool = False
    is_permanent: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        return self.recovers_at + self.may_fail_at


def always(action: Action) -> Callable[[Random], Action]:
    return lambda rng: action


def answer(status: int, **options) -> Callable[[Random], Action]:
    return always(Answer(status, **options))


def some_bytes(rng: Random) -> int:
    """Draw a position in a chunk, half of them at the limits of a part."""
    edges = [1, PART - 1, PART, PART + 1, 2 * PART, 4 * PART - 1]
    return rng.choice(edges) if rng.random() < 0.5 else rng.randrange(1, 4 * PART)


def cut_body(how):
    return lambda rng: CutConnection(some_bytes(rng), how)


def cut_answer(how, seconds=0.0):
    return lambda rng: CutAnswer(rng.randrange(1, 250), how, seconds)


def shift(least: int, most: int) -> Callable[[Random], Action]:
    return lambda rng: ShiftOffset(rng.choice([least, most, rng.randint(least, most)]))


BROKEN = [
    Kind("body cut by FIN", cut_body("fin"), CHUNKS),
    Kind("body cut by RST", cut_body("rst"), CHUNKS),
    Kind("request lost, FIN", always(CutConnection(0, "fin")), EVERYWHERE),
    Kind("request lost, RST", always(CutConnection(0, "rst")), EVERYWHERE),
    Kind("response lost, FIN", always(LoseAnswer("fin")), EVERYWHERE),
    Kind("response lost, RST", always(LoseAnswer("rst")), EVERYWHERE),
    Kind("response cut by FIN", cut_answer("fin"), EVERYWHERE),
    Kind("response cut by RST", cut_answer("rst"), EVERYWHERE),
    Kind("response stops half-way", cut_answer("fin", LONG_STALL), EVERYWHERE),
    Kind("garbage for HTTP", lambda rng: Garbage(rng.randbytes(60)), EVERYWHERE),
    Kind("garbage after a status line", always(Garbage(b"HTTP/1.1 204 OK\r\n\0: \xff\r\n\r\n")),
         EVERYWHERE),
    Kind("response: Connection: close", always(ChangeHeaders({"connection": "close"})), EVERYWHERE),
    Kind("keep-alive closed, FIN", lambda rng: HangUp(rng.random() / 100, "fin"), EVERYWHERE,
         may_lose_url=True),
    Kind("keep-alive closed, RST", lambda rng: HangUp(rng.random() / 100, "rst"), EVERYWHERE,
         may_lose_url=True),
]  # fmt: skip

SLOW = [
    Kind("stall before the response", always(Stall(LONG_STALL, 1 << 40)), EVERYWHERE),
    Kind("stall in the body", lambda rng: Stall(LONG_STALL, some_bytes(rng)), CHUNKS),
    Kind("short stall", lambda rng: Stall(rng.random() / 5, some_bytes(rng)), EVERYWHERE),
    # The server continues a request that its client gave up: on S3 its parts appear late.
    Kind("stall that ends too late",
         lambda rng: Stall(STALL_SECONDS + rng.random() / 2, some_bytes(rng)),
         may_fail_at=("patch",)),
    Kind("trickle", lambda rng: Slow(rng.uniform(2e6, 8e6)), EVERYWHERE),
]  # fmt: skip

TRANSIENT = [
    *(
        Kind(f"{status} {when} the body", answer(status, when=how), *where)
        for when, how in (("before", "before"), ("after", "read"))
        for statuses, where in (
            ((409, 423, 425), (TUS, ("ticket", "poll"))),
            ((408,), (REPEATED, ("ticket",))),
            ((429, 500, 502, 503, 504), (EVERYWHERE,)),
        )
        for status in statuses
    ),
    *(
        Kind(f"{status} for a success", answer(status, when="after"), *where, may_lose_url=True)
        for statuses, where in (
            ((408, 409, 423), (TUS, ("ticket",))),
            # After a creation these two would deny that it happened.
            ((425, 429), (("patch", "head"),)),
            ((500, 502, 503, 504), (EVERYWHERE,)),
        )
        for status in statuses
    ),
    Kind("429 with Retry-After", answer(429, headers={"Retry-After": "1"}), EVERYWHERE),
    Kind("503 with Retry-After", answer(503, headers={"Retry-After": "1"}), EVERYWHERE),
    *(
        Kind(f"400 {mark.decode()}", answer(400, body=mark + b"\n"), CHUNKS)
        for mark in (
            b"Request aborted due to lock acquired",
            b"ERR_UPLOAD_INTERRUPTED",
            b"ERR_UNEXPECTED_EOF",
        )
    ),
    Kind("500 with an endless page", answer(500, body=b"<p>" * 100_000), CHUNKS),
]

GONE = [
    Kind("404 in the middle", answer(404), ("patch", "head"), ("ticket", "creation", "poll"),
         may_lose_url=True),
    Kind("410 in the middle", answer(410), ("patch", "head"), ("ticket", "creation", "poll"),
         may_lose_url=True),
]  # fmt: skip

WRONG_OFFSETS = [
    Kind("offset ahead", shift(1, 2 * PART), TUS, may_lose_url=True),
    Kind("offset behind", shift(-4 * PART, -1), TUS, may_lose_url=True),
    Kind("offset beyond the length", always(ShiftOffset(1 << 40)), TUS, may_lose_url=True),
    Kind("no offset", always(ChangeHeaders(remove=("upload-offset",))), TUS),
    Kind("invalid offset",
         lambda rng: ChangeHeaders({"upload-offset": rng.choice(["12x", "-1", "", "9" * 30])}),
         ("patch", "head"), ("creation",)),
]  # fmt: skip

FINAL = [
    Kind("400 without a reason", answer(400), may_fail_at=EVERYWHERE),
    Kind("401", answer(401), may_fail_at=EVERYWHERE),
    Kind("403", answer(403), may_fail_at=EVERYWHERE),
    Kind("413", answer(413), may_fail_at=EVERYWHERE),
    Kind("Retry-After of an hour", answer(503, headers={"Retry-After": "3600"}),
         may_fail_at=REPEATED),
    Kind("redirect", lambda rng: Redirect(REDIRECT_TARGET, rng.choice([301, 302, 303, 307, 308])),
         may_fail_at=EVERYWHERE),
    Kind("Location on another host",
         lambda rng: ChangeHeaders({"location": rng.choice(["", "http://127.0.0.2:9/", "ftp://x/"])}),
         may_fail_at=("creation",)),
    Kind("half a document", always(ChangeBody(b'{"id":"abc","status":{')),
         may_fail_at=("ticket", "poll")),
    Kind("HTML for a document", always(ChangeBody(b"<html>busy</html>", "text/html")),
         may_fail_at=("ticket", "poll")),
]  # fmt: skip

PERMANENT = [
    Kind(
        "HEAD goes back permanently",
        always(ShiftOffset(-PART)),
        may_fail_at=("head",),
        is_permanent=True,
    ),
    Kind(
        "HEAD is ahead permanently",
        always(ShiftOffset(PART)),
        may_fail_at=("head",),
        is_permanent=True,
    ),
    Kind("HEAD fails permanently", answer(500), may_fail_at=("head",), is_permanent=True),
    Kind("404 permanently", answer(404), may_fail_at=CHUNKS, is_permanent=True),
    Kind(
        "cut permanently",
        always(CutConnection(PART + 7, "rst")),
        may_fail_at=CHUNKS,
        is_permanent=True,
    ),
    Kind("503 permanently", answer(503), may_fail_at=EVERYWHERE, is_permanent=True),
]

SOURCES = [
    Kind("processing fails", always(FailProcessing()), may_fail_at=("source",)),
    Kind("processing is repeated", always(FailProcessing("execution timeout", retriable=True)),
         ("source",)),
    Kind("wrong size reported", always(WrongSize(-1)), may_fail_at=("source",)),
]  # fmt: skip

KINDS = [*BROKEN, *SLOW, *TRANSIENT, *GONE, *WRONG_OFFSETS, *FINAL, *PERMANENT, *SOURCES]
