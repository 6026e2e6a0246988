"""What must hold on the server's side after every case, whatever happened on the way.

The sandbox itself accuses clients of what the head of a request shows, of two PATCHes of one upload
at a time, and of a HEAD meanwhile. Here stands what only the whole log shows.
"""

from collections.abc import Iterator, Mapping

from chaos.cases import Case
from chaos.kinds import STOLEN
from studio import PART

TUS = "/upload/tus"
# Requests beside the chunks that an upload may need where nothing strikes, and after each strike.
MOST_REQUESTS = 40
MOST_REQUESTS_PER_STRIKE = 12


def judge(sandbox, case: Case, contents: Mapping[str, bytes]) -> list[str]:
    """List what is wrong; empty where all is right."""
    found = [f"{broken.rule} ({broken.request})" for broken in sandbox.violations]
    found += judge_ready(sandbox, contents)
    requests = sandbox.requests
    found += judge_order(requests)
    found += judge_amounts(requests, case)
    if case.storage == "s3":
        found += judge_layout(requests, case)
    found += [f"a redirect was followed to {r.path}" for r in requests if STOLEN in r.path]
    return found


def judge_ready(sandbox, contents: Mapping[str, bytes]) -> Iterator[str]:
    """Nothing that is ready may hold other bytes than those that were read, error or not."""
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


def was_taken(request) -> bool:
    """Whether the client was told that all is well."""
    return request.fault is None and request.status is not None and request.status < 300


def judge_order(requests) -> Iterator[str]:
    """After any doubt the offset has to be asked for before more bytes are sent."""
    doubtful: dict[str, bool] = {}
    for request in requests:
        if f"{TUS}/" not in request.path:
            continue
        if is_patch(request):
            if doubtful.get(request.path):
                yield f"a PATCH follows a failed one without a HEAD ({request.path})"
            doubtful[request.path] = request.status is None or request.status >= 300
        elif request.method == "HEAD":
            doubtful[request.path] = False


def judge_layout(requests, case: Case) -> Iterator[str]:
    """On S3 a chunk is a whole number of parts, and the rest travels alone."""
    lengths = {source.length for source in case.sources}
    for request in requests:
        names = ("content-length", "upload-offset")
        if not is_patch(request) or not all(name in request.headers for name in names):
            continue
        size, offset = (int(request.headers[name]) for name in names)
        is_rest = size < PART and offset + size in lengths
        if size % PART and not is_rest:
            yield f"a chunk of {size} bytes at {offset} is no whole number of parts"


def judge_amounts(requests, case: Case) -> Iterator[str]:
    """Each doubt costs at most a chunk and a few requests; a lost ticket the upload once more."""
    tus = [request for request in requests if TUS in request.path]
    unconfirmed_requests = sum(not was_taken(request) for request in tus)
    asset_requests = sum(request.path.endswith("/request-upload") for request in requests)
    longest = max(source.length for source in case.sources)
    received = sum(request.received for request in tus)
    most = longest * max(asset_requests, 1) + unconfirmed_requests * (
        case.limits.max_chunk or longest
    )
    if received > most:
        yield f"{received} bytes were sent; wanted at most {most}"
    chunks = sum(source.length // PART + 1 for source in case.sources)
    congestion_events = sum(not was_taken(request) for request in requests)
    wanted = (
        MOST_REQUESTS * len(case.sources)
        + 2 * chunks
        + MOST_REQUESTS_PER_STRIKE * congestion_events
    )
    if len(requests) > wanted:
        yield f"{len(requests)} requests were sent; wanted at most {wanted}"
