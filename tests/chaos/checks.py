"""Checks of the server's state and of the whole request log after each case.

The sandbox itself reports violations that a single request shows, concurrent PATCHes of one upload,
and a HEAD during a PATCH.
"""

from collections.abc import Iterator, Mapping

from chaos.cases import Case
from chaos.fault_kinds import REDIRECT_TARGET
from support.sandbox import PART

TUS = "/upload/tus"
# Requests of an upload besides its chunks: without faults, and for each fault.
MAX_REQUESTS = 40
MAX_REQUESTS_PER_FAULT = 12


def check_case(sandbox, case: Case, contents: Mapping[str, bytes]) -> list[str]:
    """List the problems of a case."""
    found = [f"{broken.rule} ({broken.request})" for broken in sandbox.violations]
    found += check_stored_bytes(sandbox, contents)
    requests = sandbox.requests
    found += check_order(requests)
    found += check_amounts(requests, case)
    if case.storage == "s3":
        found += check_alignment(requests, case)
    found += [f"a redirect was followed to {r.path}" for r in requests if REDIRECT_TARGET in r.path]
    return found


def check_stored_bytes(sandbox, contents: Mapping[str, bytes]) -> Iterator[str]:
    """A ready asset has exactly the bytes of its source, even if the upload raised an error."""
    for asset in sandbox.assets:
        if asset.is_deleted or asset.phase != "ready":
            continue
        path = sandbox.stored(asset.playback_id)
        if path is None or path.read_bytes() != contents[asset.name]:
            size = None if path is None else path.stat().st_size
            yield (
                f"wrong bytes: {asset.name} is ready with {size} bytes stored, "
                f"{len(contents[asset.name])} were read"
            )


def is_patch(request) -> bool:
    return request.headers.get("x-http-method-override", request.method) == "PATCH"


def was_accepted(request) -> bool:
    """Whether the client has received a success."""
    return request.fault is None and request.status is not None and request.status < 300


def check_order(requests) -> Iterator[str]:
    """After a failed PATCH the client requests the offset before it sends more bytes."""
    is_uncertain: dict[str, bool] = {}
    for request in requests:
        if f"{TUS}/" not in request.path:
            continue
        if is_patch(request):
            if is_uncertain.get(request.path):
                yield f"a PATCH follows a failed one without a HEAD ({request.path})"
            is_uncertain[request.path] = request.status is None or request.status >= 300
        elif request.method == "HEAD":
            is_uncertain[request.path] = False


def check_alignment(requests, case: Case) -> Iterator[str]:
    """On S3 a chunk is a whole number of parts, and the rest has a PATCH of its own."""
    lengths = {source.length for source in case.sources}
    for request in requests:
        names = ("content-length", "upload-offset")
        if not is_patch(request) or not all(name in request.headers for name in names):
            continue
        size, offset = (int(request.headers[name]) for name in names)
        is_rest = size < PART and offset + size in lengths
        if size % PART and not is_rest:
            yield f"a chunk of {size} bytes at {offset} is not a whole number of parts"


def check_amounts(requests, case: Case) -> Iterator[str]:
    """A fault costs at most a chunk and a few requests; a lost ticket costs the whole upload."""
    tus = [request for request in requests if TUS in request.path]
    failures = sum(not was_accepted(request) for request in tus)
    tickets = sum(request.path.endswith("/request-upload") for request in requests)
    longest = max(source.length for source in case.sources)
    received = sum(request.received for request in tus)
    max_received = longest * max(tickets, 1) + failures * (case.limits.max_chunk or longest)
    if received > max_received:
        yield f"{received} bytes were sent; wanted at most {max_received}"
    chunks = sum(source.length // PART + 1 for source in case.sources)
    faults = sum(not was_accepted(request) for request in requests)
    max_requests = MAX_REQUESTS * len(case.sources) + 2 * chunks + MAX_REQUESTS_PER_FAULT * faults
    if len(requests) > max_requests:
        yield f"{len(requests)} requests were sent; wanted at most {max_requests}"
