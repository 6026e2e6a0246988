"""What the head of a request alone shows of a client that breaks the protocol.

In comes a request as it was logged; out come the rules that it breaks, as sentences. What needs
the server's state (two PATCHes at once, a HEAD meanwhile, a second creation) is judged there.
"""

from collections.abc import Iterator

from livepeer_async.sandbox.request_log import SeenRequest
from livepeer_async.sandbox.tus_headers import OFFSET_TYPE

CREATION_PATH = "/api/asset/upload/tus"
# What the upload token or the path alone opens; an API key has no business there.
UPLOAD_PATHS = (CREATION_PATH, "/api/asset/upload/direct")
TUS_METHODS = frozenset({"HEAD", "PATCH", "POST", "DELETE"})


def find_broken_rules(seen: SeenRequest) -> Iterator[str]:
    """Name each rule that a request breaks; it is judged whether or not a fault strikes it."""
    path, _, query = seen.path.partition("?")
    if seen.is_authorized and path.startswith(UPLOAD_PATHS):
        yield "an Authorization header on an upload URL"
    if not path.startswith(CREATION_PATH):
        return
    method = seen.headers.get("x-http-method-override", seen.method).upper()
    if method in TUS_METHODS and "tus-resumable" not in seen.headers:
        yield "Tus-Resumable is missing"
    if method == "PATCH":
        yield from _judge_patch(seen)
    if path != CREATION_PATH and query:
        yield "a query on an upload URL"
    if path == CREATION_PATH and method == "POST":
        yield from _judge_creation(seen)


def _judge_patch(seen: SeenRequest) -> Iterator[str]:
    """Source: tus 1.0, PATCH."""
    if seen.headers.get("content-type") != OFFSET_TYPE:
        yield f"the Content-Type of a PATCH is not {OFFSET_TYPE}"
    if "upload-offset" not in seen.headers:
        yield "Upload-Offset is missing"


def _judge_creation(seen: SeenRequest) -> Iterator[str]:
    """Source: tus 1.0, Creation."""
    if ("upload-length" in seen.headers) == ("upload-defer-length" in seen.headers):
        yield "a creation has Upload-Length or Upload-Defer-Length, one of both"
