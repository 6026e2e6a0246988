"""Expected responses of tus servers, and the known differences between the servers.

`SPECIFIED` has the response of tus 1.0 to each exchange. If the specification names no status, it
is the one that the servers agree on, or that of the newest server, and a comment says so.
`DIFFERENCES` has each known deviation with its reason. A text of None is not compared: the
specification leaves texts to the server.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SANDBOX_FILE: Final = "sandbox-file"
SANDBOX_S3: Final = "sandbox-s3"
TUS_1: Final = "tus-1.0.0"
TUS_2: Final = "tus-2.x"

STUDIO: Final = (SANDBOX_FILE, SANDBOX_S3)
"""Stands for Livepeer Studio: @tus/server 1.0.0 behind Studio's own routes."""

VERSION_1: Final = (*STUDIO, TUS_1)
"""Servers that behave like @tus/server 1.0.0."""

ALL: Final = (*VERSION_1, TUS_2)


class Response(NamedTuple):
    """The status of a response, and its text or None."""

    status: int
    text: str | None = None


class Difference(NamedTuple):
    """An exchange to which some servers send another response than the specified one."""

    servers: tuple[str, ...]
    exchange: str
    response: Response
    reason: str


SPECIFIED: Final[dict[str, Response]] = {
    # Discovery
    "OPTIONS": Response(204),
    # Creation
    "creation": Response(201),
    "creation of an empty upload": Response(201),
    "creation with metadata": Response(201),
    "creation with a deferred length": Response(201),
    "creation with an unsupported version": Response(412),
    "creation without Tus-Resumable": Response(412, "Tus-Resumable Required\n"),
    # The specification names no status for the next four.
    "creation without a length": Response(
        400, "Upload-Length or Upload-Defer-Length header required\n"
    ),
    "creation with a invalid length": Response(400, "Invalid upload-length\n"),
    "creation with invalid metadata": Response(400, "Invalid upload-metadata\n"),
    "creation with an extension that is not listed": Response(501),
    # Rules of Studio, which the peers are configured to follow.
    "creation without a token": Response(401),
    "creation again with the same token": Response(201),
    "creation again after completion": Response(201),
    # Creation With Upload
    "creation with the whole upload": Response(201),
    "creation with a part of the upload": Response(201),
    "PATCH after a creation with a part of the upload": Response(204),
    # HEAD
    "HEAD": Response(200),
    "HEAD with a slash added": Response(200),
    "HEAD with a query added": Response(404),
    "HEAD to an unknown upload": Response(404),
    "HEAD without Tus-Resumable": Response(412),
    "GET": Response(404),
    # PATCH
    "PATCH": Response(204),
    "PATCH of a body without Content-Length": Response(204),
    "PATCH through POST and X-HTTP-Method-Override": Response(204),
    "PATCH with a wrong offset": Response(409, "Upload-Offset conflict\n"),
    "PATCH with a wrong Content-Type": Response(415),
    "PATCH with a parameter in Content-Type": Response(415),
    "PATCH without Content-Type": Response(415),
    "PATCH without Tus-Resumable": Response(412, "Tus-Resumable Required\n"),
    "PATCH to an unknown upload": Response(404, "The file for this url was not found\n"),
    # No status specified: all servers respond 403 to a missing offset.
    "PATCH without an offset": Response(403, "Upload-Offset header required\n"),
    "PATCH with a invalid offset": Response(400, "Invalid upload-offset\n"),
    # No status specified: the newest server rejects bytes beyond the length.
    "PATCH beyond the length": Response(413),
    "PATCH of no bytes after completion": Response(204),
    "PATCH of more bytes after completion": Response(413),
    "PATCH at 0 after completion": Response(409, "Upload-Offset conflict\n"),
    # Upload-Defer-Length
    "PATCH that declares the length": Response(204),
    "PATCH that leaves the length open": Response(204),
    # Termination
    "DELETE": Response(204),
    "DELETE without Tus-Resumable": Response(412, "Tus-Resumable Required\n"),
    "DELETE again": Response(404, "The file for this url was not found\n"),
    "DELETE after completion": Response(204),
    "HEAD after DELETE": Response(404),
    "PATCH after DELETE": Response(404, "The file for this url was not found\n"),
    "creation again after DELETE": Response(201),
}

_S3_FORGETS: Final = "s3: an incomplete part is acknowledged, then discarded"
_S3_FINISHED: Final = "s3: the multipart upload is gone once it is completed"

DIFFERENCES: Final = (
    Difference(
        ALL,
        "creation with an unsupported version",
        Response(400, "Invalid tus-resumable\n"),
        "@tus/server checks the version like any other header",
    ),
    Difference(
        ALL,
        "PATCH with a wrong Content-Type",
        Response(400, "Invalid content-type\n"),
        "@tus/server checks the type like any other header",
    ),
    Difference(
        ALL,
        "PATCH with a parameter in Content-Type",
        Response(400, "Invalid content-type\n"),
        "@tus/server compares the whole value",
    ),
    Difference(
        ALL,
        "PATCH without Content-Type",
        Response(403, "Content-Type header required\n"),
        "@tus/server has its own status for a missing header",
    ),
    Difference(
        STUDIO,
        "creation again after completion",
        Response(422, '{"errors":["asset has already been uploaded"]}'),
        "Studio checks its database before it calls tus",
    ),
    Difference(
        (SANDBOX_S3,),
        "PATCH after a creation with a part of the upload",
        Response(409, "Upload-Offset conflict\n"),
        _S3_FORGETS,
    ),
    Difference(
        VERSION_1,
        "PATCH beyond the length",
        Response(204),
        "@tus/server 1.0.0 never compares the body with the length",
    ),
    Difference(
        (SANDBOX_FILE, TUS_1),
        "PATCH of more bytes after completion",
        Response(204),
        "@tus/server 1.0.0 never compares the body with the length",
    ),
    Difference((SANDBOX_S3,), "PATCH of more bytes after completion", Response(500), _S3_FINISHED),
    Difference((SANDBOX_S3,), "PATCH of no bytes after completion", Response(500), _S3_FINISHED),
    Difference((SANDBOX_S3,), "DELETE after completion", Response(500), _S3_FINISHED),
    Difference((SANDBOX_S3,), "DELETE again", Response(500), "s3: the key does not exist"),
    Difference(
        (TUS_2,),
        "PATCH through POST and X-HTTP-Method-Override",
        Response(400, "Upload-Length or Upload-Defer-Length header required\n"),
        "@tus/server 2 dropped the override and handles the request as a creation",
    ),
)

# Differences that are no status; each maps a server to the reason.

CLOSES_AFTER_REJECTION: Final = {
    TUS_2: "@tus/server 2 aborts a request that it rejects; others read the rest of the body first"
}
"""Servers that close the connection when they reject a request before its body has arrived."""

HEAD_INTERRUPTS_PATCH: Final = {
    TUS_2: "@tus/server 2 locks an upload; the holder of a requested lock releases it after 3 s"
}
"""Servers that end a running PATCH, with 204 and a low offset, when a HEAD arrives."""


def expected(server: str, exchange: str) -> Response:
    """Return the response of `server` to `exchange`."""
    for difference in DIFFERENCES:
        if difference.exchange == exchange and server in difference.servers:
            return difference.response
    return SPECIFIED[exchange]
