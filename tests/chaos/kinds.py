"""The table of what goes wrong: each kind of fault, what it strikes, and what a client owes then.

A kind is drawn with a seeded generator, so that the same seed gives the same bytes and positions.
Where a kind `survives`, a right client ends with a ready asset, however often such faults meet in
one case; where it `may_end`, the server is wrong by design, or for too long, and one typed error is
right as well. Wrong bytes, another exception and a hang are right nowhere.
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

# Seconds that the clients here wait for a block or an answer, and what is for ever beside them.
PATIENCE = 0.8
FOR_EVER = 60.0
# Requests to here come only from a client that follows a redirect.
STOLEN = "/stolen"

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
    """A row of the table.

    `is_costly` says that the upload URL may be lost by it, so that a stream, which can't be read
    twice, may end with `UploadGone`; whatever strikes a creation is costly anyway. `is_lasting`
    faults strike each time, all others at most twice.
    """

    name: str
    draw: Callable[[Random], Action]
    survives: tuple[str, ...] = ()
    may_end: tuple[str, ...] = ()
    is_costly: bool = False
    is_lasting: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        return self.survives + self.may_end


def always(action: Action) -> Callable[[Random], Action]:
    return lambda rng: action


def answer(status: int, **options) -> Callable[[Random], Action]:
    return always(Answer(status, **options))


def some_bytes(rng: Random) -> int:
    """Draw a position in a chunk; its edges and those of its parts are as likely as the rest."""
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
    Kind("answer lost, FIN", always(LoseAnswer("fin")), EVERYWHERE),
    Kind("answer lost, RST", always(LoseAnswer("rst")), EVERYWHERE),
    Kind("answer cut by FIN", cut_answer("fin"), EVERYWHERE),
    Kind("answer cut by RST", cut_answer("rst"), EVERYWHERE),
    Kind("answer stops half-way", cut_answer("fin", FOR_EVER), EVERYWHERE),
    Kind("garbage for HTTP", lambda rng: Garbage(rng.randbytes(60)), EVERYWHERE),
    Kind("garbage behind a status line", always(Garbage(b"HTTP/1.1 204 OK\r\n\0: \xff\r\n\r\n")),
         EVERYWHERE),
    Kind("answer: Connection: close", always(ChangeHeaders({"connection": "close"})), EVERYWHERE),
    Kind("keep-alive closed, FIN", lambda rng: HangUp(rng.random() / 100, "fin"), EVERYWHERE,
         is_costly=True),
    Kind("keep-alive closed, RST", lambda rng: HangUp(rng.random() / 100, "rst"), EVERYWHERE,
         is_costly=True),
]  # fmt: skip

SLOW = [
    Kind("stall before the answer", always(Stall(FOR_EVER, 1 << 40)), EVERYWHERE),
    Kind("stall in the body", lambda rng: Stall(FOR_EVER, some_bytes(rng)), CHUNKS),
    Kind("short stall", lambda rng: Stall(rng.random() / 5, some_bytes(rng)), EVERYWHERE),
    # The server goes on with a request that its client gave up: on S3 its parts come late.
    Kind("stall that ends too late",
         lambda rng: Stall(PATIENCE + rng.random() / 2, some_bytes(rng)), may_end=("patch",)),
    Kind("trickle", lambda rng: Slow(rng.uniform(2e6, 8e6)), EVERYWHERE),
]  # fmt: skip

PASSING = [
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
        Kind(f"{status} for a success", answer(status, when="after"), *where, is_costly=True)
        for statuses, where in (
            ((408, 409, 423), (TUS, ("ticket",))),
            # Of a creation these two say that it didn't happen, which is a lie where it did.
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
         is_costly=True),
    Kind("410 in the middle", answer(410), ("patch", "head"), ("ticket", "creation", "poll"),
         is_costly=True),
]  # fmt: skip

UNTRUE = [
    Kind("offset ahead", shift(1, 2 * PART), TUS, is_costly=True),
    Kind("offset behind", shift(-4 * PART, -1), TUS, is_costly=True),
    Kind("offset beyond the length", always(ShiftOffset(1 << 40)), TUS, is_costly=True),
    Kind("no offset", always(ChangeHeaders(remove=("upload-offset",))), TUS),
    Kind("senseless offset",
         lambda rng: ChangeHeaders({"upload-offset": rng.choice(["12x", "-1", "", "9" * 30])}),
         ("patch", "head"), ("creation",)),
]  # fmt: skip

FINAL = [
    Kind("400 without a reason", answer(400), may_end=EVERYWHERE),
    Kind("401", answer(401), may_end=EVERYWHERE),
    Kind("403", answer(403), may_end=EVERYWHERE),
    Kind("413", answer(413), may_end=EVERYWHERE),
    Kind("Retry-After of an hour", answer(503, headers={"Retry-After": "3600"}), may_end=REPEATED),
    Kind("redirect", lambda rng: Redirect(STOLEN, rng.choice([301, 302, 303, 307, 308])),
         may_end=EVERYWHERE),
    Kind("Location elsewhere",
         lambda rng: ChangeHeaders({"location": rng.choice(["", "http://127.0.0.2:9/", "ftp://x/"])}),
         may_end=("creation",)),
    Kind("half a document", always(ChangeBody(b'{"id":"abc","status":{')),
         may_end=("ticket", "poll")),
    Kind("a web page for a document", always(ChangeBody(b"<html>busy</html>", "text/html")),
         may_end=("ticket", "poll")),
]  # fmt: skip

LASTING = [
    Kind("HEAD goes back for ever", always(ShiftOffset(-PART)), may_end=("head",), is_lasting=True),
    Kind("HEAD is ahead for ever", always(ShiftOffset(PART)), may_end=("head",), is_lasting=True),
    Kind("HEAD fails for ever", answer(500), may_end=("head",), is_lasting=True),
    Kind("404 for ever", answer(404), may_end=CHUNKS, is_lasting=True),
    Kind("cut for ever", always(CutConnection(PART + 7, "rst")), may_end=CHUNKS, is_lasting=True),
    Kind("503 for ever", answer(503), may_end=EVERYWHERE, is_lasting=True),
]

SOURCES = [
    Kind("processing fails", always(FailProcessing()), may_end=("source",)),
    Kind("processing is repeated", always(FailProcessing("execution timeout", retriable=True)),
         ("source",)),
    Kind("size said wrong", always(WrongSize(-1)), may_end=("source",)),
]  # fmt: skip

KINDS = [*BROKEN, *SLOW, *PASSING, *GONE, *UNTRUE, *FINAL, *LASTING, *SOURCES]
