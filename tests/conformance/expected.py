"""What a tus server answers, and where the servers that are tested differ: all of it is data.

`SPECIFIED` holds, for every exchange of the suite, the answer that tus 1.0 asks for. Where the
specification names no status, it holds the one that the servers agree on, or the newest server's,
and says so. `DIFFERENCES` holds each known departure, with the reason. A text of None isn't looked
at: the specification leaves all texts to the server.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SANDBOX_FILE: Final = "sandbox-file"
SANDBOX_S3: Final = "sandbox-s3"
TUS_1: Final = "tus-1.0.0"
TUS_2: Final = "tus-2.x"

STUDIO: Final = (SANDBOX_FILE, SANDBOX_S3)
"""What stands for Livepeer Studio: @tus/server 1.0.0 behind Studio's own routes."""

VERSION_1: Final = (*STUDIO, TUS_1)
"""What speaks like @tus/server 1.0.0."""

ALL: Final = (*VERSION_1, TUS_2)


class Answer(NamedTuple):
    """The status of an answer, and its text where that is known."""

    status: int
    text: str | None = None


class Difference(NamedTuple):
    """An exchange to which some servers give another answer than the specified one."""

    servers: tuple[str, ...]
    exchange: str
    answer: Answer
    why: str


SPECIFIED: Final[dict[str, Answer]] = {
    # A client asks what there is
    "OPTIONS": Answer(204),
    # Creation
    "creation": Answer(201),
    "creation of an empty upload": Answer(201),
    "creation with metadata": Answer(201),
    "creation with a deferred length": Answer(201),
    "creation with a version that nobody speaks": Answer(412),
    "creation without Tus-Resumable": Answer(412, "Tus-Resumable Required\n"),
    # The specification names no status for the next four.
    "creation without a length": Answer(
        400, "Upload-Length or Upload-Defer-Length header required\n"
    ),
    "creation with a senseless length": Answer(400, "Invalid upload-length\n"),
    "creation with senseless metadata": Answer(400, "Invalid upload-metadata\n"),
    "creation with an extension that is not listed": Answer(501),
    # Nor for these two: they are rules of Studio, which the peers are wired to follow.
    "creation without a token": Answer(401),
    "creation again with the same token": Answer(201),
    "creation again after completion": Answer(201),
    # Creation With Upload
    "creation with the whole upload": Answer(201),
    "creation with a part of the upload": Answer(201),
    "PATCH after a creation with a part of the upload": Answer(204),
    # HEAD
    "HEAD": Answer(200),
    "HEAD with a slash added": Answer(200),
    "HEAD with a query added": Answer(404),
    "HEAD to an unknown upload": Answer(404),
    "HEAD without Tus-Resumable": Answer(412),
    "GET": Answer(404),
    # PATCH
    "PATCH": Answer(204),
    "PATCH of a body without Content-Length": Answer(204),
    "PATCH through POST and X-HTTP-Method-Override": Answer(204),
    "PATCH with a wrong offset": Answer(409, "Upload-Offset conflict\n"),
    "PATCH with a wrong Content-Type": Answer(415),
    "PATCH with a parameter in Content-Type": Answer(415),
    "PATCH without Content-Type": Answer(415),
    "PATCH without Tus-Resumable": Answer(412, "Tus-Resumable Required\n"),
    "PATCH to an unknown upload": Answer(404, "The file for this url was not found\n"),
    # No status specified: all servers here take a missing offset for a forbidden request.
    "PATCH without an offset": Answer(403, "Upload-Offset header required\n"),
    "PATCH with a senseless offset": Answer(400, "Invalid upload-offset\n"),
    # No status specified: the newest server refuses bytes beyond the length.
    "PATCH beyond the length": Answer(413),
    "PATCH of no bytes after completion": Answer(204),
    "PATCH of more bytes after completion": Answer(413),
    "PATCH at 0 after completion": Answer(409, "Upload-Offset conflict\n"),
    # Upload-Defer-Length
    "PATCH that declares the length": Answer(204),
    "PATCH that leaves the length open": Answer(204),
    # Termination
    "DELETE": Answer(204),
    "DELETE without Tus-Resumable": Answer(412, "Tus-Resumable Required\n"),
    "DELETE again": Answer(404, "The file for this url was not found\n"),
    "DELETE after completion": Answer(204),
    "HEAD after DELETE": Answer(404),
    "PATCH after DELETE": Answer(404, "The file for this url was not found\n"),
    "creation again after DELETE": Answer(201),
}

_S3_FORGETS: Final = "s3: a piece that is no whole part is acknowledged, then forgotten"
_S3_FINISHED: Final = "s3: the multipart upload is gone once it is completed"

DIFFERENCES: Final = (
    Difference(
        ALL,
        "creation with a version that nobody speaks",
        Answer(400, "Invalid tus-resumable\n"),
        "@tus/server checks the version like any other header",
    ),
    Difference(
        ALL,
        "PATCH with a wrong Content-Type",
        Answer(400, "Invalid content-type\n"),
        "@tus/server checks the type like any other header",
    ),
    Difference(
        ALL,
        "PATCH with a parameter in Content-Type",
        Answer(400, "Invalid content-type\n"),
        "@tus/server compares the whole value",
    ),
    Difference(
        ALL,
        "PATCH without Content-Type",
        Answer(403, "Content-Type header required\n"),
        "@tus/server has its own status for a missing header",
    ),
    Difference(
        STUDIO,
        "creation again after completion",
        Answer(422, '{"errors":["asset has already been uploaded"]}'),
        "Studio asks its database before tus is asked",
    ),
    Difference(
        (SANDBOX_S3,),
        "PATCH after a creation with a part of the upload",
        Answer(409, "Upload-Offset conflict\n"),
        _S3_FORGETS,
    ),
    Difference(
        VERSION_1,
        "PATCH beyond the length",
        Answer(204),
        "@tus/server 1.0.0 never compares the body with the length",
    ),
    Difference(
        (SANDBOX_FILE, TUS_1),
        "PATCH of more bytes after completion",
        Answer(204),
        "@tus/server 1.0.0 never compares the body with the length",
    ),
    Difference((SANDBOX_S3,), "PATCH of more bytes after completion", Answer(500), _S3_FINISHED),
    Difference((SANDBOX_S3,), "PATCH of no bytes after completion", Answer(500), _S3_FINISHED),
    Difference((SANDBOX_S3,), "DELETE after completion", Answer(500), _S3_FINISHED),
    Difference((SANDBOX_S3,), "DELETE again", Answer(500), "s3: the key does not exist"),
    Difference(
        (TUS_2,),
        "PATCH through POST and X-HTTP-Method-Override",
        Answer(400, "Upload-Length or Upload-Defer-Length header required\n"),
        "@tus/server 2 dropped the override and takes the request for a creation",
    ),
)

# What a status can't say; each maps a server to the reason.

CLOSES_AFTER_A_REFUSAL: Final = {
    TUS_2: "@tus/server 2 aborts a request that it refused; others read the rest of the body first"
}
"""Who closes the connection when it refuses a body early: the sender sees it break."""

CUTS_A_PATCH_FOR_A_HEAD: Final = {
    TUS_2: "@tus/server 2 locks an upload; who asks for the lock gets it 3 s later from the holder"
}
"""Who ends a running PATCH, with 204 and a low offset, because somebody asked for the offset."""


def expected(server: str, exchange: str) -> Answer:
    """Look up what `server` answers to `exchange`."""
    for difference in DIFFERENCES:
        if difference.exchange == exchange and server in difference.servers:
            return difference.answer
    return SPECIFIED[exchange]
