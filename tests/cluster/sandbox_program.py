"""A sandbox with faults that reports what it has seen, for tests with many requests.

python sandbox_program.py SEED

Prints the account as a line of JSON. For each line of standard input, it prints another: for
`state` the progress, for `counts` what the test checks at the end. It ends with its input.
"""

import json
import sys
from base64 import b64decode
from collections import Counter, defaultdict

from livepeer_async.sandbox import (
    Answer,
    CutAnswer,
    CutConnection,
    Fault,
    LoseAnswer,
    On,
    Sandbox,
    Slow,
    request_log,
)
from restarts.checks import was_cut
from restarts.command import carries_file_bytes
from support.constants import MIB

# All requests count, also of 10,000 files.
request_log.MAX_REQUESTS = 10_000_000

# 5 % of the requests of each kind have a fault.
ACTIONS = {
    "/upload/tus": (
        CutConnection(after_bytes=700),
        CutConnection(after_bytes=5_000_000, how="fin"),
        LoseAnswer(),
        CutAnswer(),
        Answer(500),
    ),
    r"/asset($|/request|/[^/]+$)": (
        CutConnection(),
        LoseAnswer(),
        CutAnswer(),
        Answer(500),
        Answer(502),
    ),
}
FAULTS = [
    Fault(On(path=path, probability=0.01), action)
    for path, actions in ACTIONS.items()
    for action in actions
]
# A chunk takes long enough to be cut by a kill.
SLOW = Fault(On(method="PATCH"), Slow(6 * MIB))


def is_sending(request):
    """Whether a chunk is in flight."""
    return request.method == "PATCH" and request.received > MIB and not request.is_over


def show_state(sandbox):
    """Return the progress, and how many chunks are in flight."""
    phases = Counter(it.phase for it in sandbox.assets)
    sending = sum(map(is_sending, sandbox.requests))
    return {"assets": phases.total(), "ready": phases["ready"], "sending": sending}


def show_counts(sandbox):
    """Return the assets, the violations, and the bytes of each file."""
    assets = [it for it in sandbox.assets if not it.is_deleted]
    ready = [it for it in assets if it.phase == "ready"]
    requests = sandbox.requests
    by_name = group_requests(requests, {it.playback_id: it.name for it in sandbox.assets})
    return {
        "ready": [[it.id, it.name, sandbox.stored_sha256(it.playback_id)] for it in ready],
        "leftovers": Counter(it.phase for it in assets if it.phase != "ready"),
        "violations": [f"{it.rule}: {it.request}" for it in sandbox.violations],
        "requests": len(requests),
        "faults": sum(it.fired for it in FAULTS),
        "files": {
            it.name: count_file(sandbox.stored(it.playback_id).stat().st_size, by_name[it.name])
            for it in ready
        },
    }


def group_requests(requests, names):
    """Group the requests with bytes of a file by its name.

    Args:
        requests: the requests.
        names: the name of each asset, by its playback ID.
    """
    by_name = defaultdict(list)
    for request in filter(carries_file_bytes, requests):
        if request.method == "POST":
            encoded = request.headers["upload-metadata"].split(",")[0].removeprefix("filename ")
            name = b64decode(encoded).decode()
        else:
            name = names[request.path.rpartition("%2F")[2]]
        by_name[name].append(request)
    return by_name


def count_file(length, requests):
    """Count the bytes of a file that were sent again, and those of its chunks that kills cut."""
    faulty = [it for it in requests if it.fault not in {None, "Slow"}]
    killed = [it for it in requests if was_cut(it) and it not in faulty]
    return {
        "length": length,
        "repeated": sum(it.received for it in requests) - length,
        "lost": sum(it.received for it in faulty),
        "killed": [[int(it.headers["content-length"]), it.received] for it in killed],
    }


def main(seed):
    """Serve until the end of the input."""
    times = {"waiting_seconds": 0.05, "processing_seconds": 0.2}
    with Sandbox(storage="s3", faults=[*FAULTS, SLOW], seed=seed, **times) as sandbox:
        account = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
        write(account)
        for line in sys.stdin:
            write(show_state(sandbox) if line.strip() == "state" else show_counts(sandbox))


def write(document):
    """Print a line of JSON."""
    sys.stdout.write(f"{json.dumps(document)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
