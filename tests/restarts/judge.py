"""What must hold on the server's side and beside the journal once the command was left alone."""

import base64
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from livepeer_async.sandbox import Sandbox
from livepeer_async.sandbox.request_log import SeenRequest
from restarts.plan import PART
from restarts.restarting import Ended, Restarting, has_body

# What the server had read of a body and not handed on when its client died is counted as received.
READ_AHEAD = 1024 * 1024


class Bytes(Struct, frozen=True):
    """What was sent of all files.

    Attributes:
        length: bytes of the files.
        received: bytes that the server read of them.
        cut: requests with bytes of a file that ended without an answer, or in their middle.
        largest: bytes of the largest of those.
        lost: bytes that came with those and that the server couldn't keep, at the most.
    """

    length: int
    received: int
    cut: int
    largest: int
    lost: int

    @property
    def again(self) -> int:
        """Bytes that were sent more than once."""
        return self.received - self.length


def judge_end(command: Restarting, end: Ended) -> None:
    """All files are ready, once, with the right bytes; nothing is left that nobody knows of."""
    assert (end.status, end.said.count("Traceback")) == (0, 0), end.said
    assert command.sandbox.violations == []
    judge_assets(command, end.lines)
    judge_leftovers(command, {line["asset_id"] for line in end.lines})
    assert command.names_beside_journal() == set()
    assert command.copy().finished == len(command.files)


def judge_assets(command: Restarting, lines: list[dict]) -> None:
    """Each file has become one ready asset, and that one is named."""
    assert {line["source"] for line in lines} == {str(path) for path in command.files}
    ready = [it for it in command.sandbox.assets if it.phase == "ready" and not it.is_deleted]
    assert sorted(it.name for it in ready) == sorted(path.name for path in command.files)
    assert {line["asset_id"] for line in lines} == {it.id for it in ready}
    for asset in ready:
        (path,) = (path for path in command.files if path.name == asset.name)
        assert is_stored(command.sandbox, asset.playback_id, path), path.name


def judge_leftovers(command: Restarting, used: set[str]) -> None:
    """What else there is was begun by a process that was killed, and the journal names it."""
    left = {it.id: it for it in command.sandbox.assets if not it.is_deleted and it.id not in used}
    orphans = command.list_orphans()
    assert {it.phase for it in left.values()} <= {"uploading"}
    assert {line["asset_id"] for line in orphans} == set(left)
    written = {orphan.asset_id for orphan in command.copy().orphans}
    for line in orphans:
        assert line["is_ours"] == (line["asset_id"] in written)


def judge_known(command: Restarting) -> None:
    """No asset is on the server that the journal couldn't lead to."""
    copy = command.copy()
    unknown = [it for it in command.sandbox.assets if not copy.knows(it.id, it.name)]
    assert [it for it in unknown if not it.is_deleted] == []


def judge_amounts(command: Restarting) -> Bytes:
    """Nothing is sent again but what the server couldn't keep of requests that were cut."""
    sums = []
    for path in command.files:
        requests = list(find_requests(command.sandbox, path.name))
        found = count_bytes(path.stat().st_size, requests)
        assert 0 <= found.again <= found.lost, f"{path.name}: {found}"
        assert found.lost <= found.cut * (PART + READ_AHEAD), f"{path.name}: {found}"
        sums.append(found)
    return add_up(sums)


def count_bytes(length: int, requests: Iterable[SeenRequest]) -> Bytes:
    """Count what was sent of one file."""
    requests = list(requests)
    cut = [it for it in requests if was_cut(it)]
    return Bytes(
        length=length,
        received=sum(it.received for it in requests),
        cut=len(cut),
        largest=max((int(it.headers["content-length"]) for it in cut), default=0),
        lost=sum(it.received - count_kept(it) for it in cut),
    )


def add_up(sums: Iterable[Bytes]) -> Bytes:
    """Count what was sent of many files."""
    sums = list(sums)
    return Bytes(
        length=sum(it.length for it in sums),
        received=sum(it.received for it in sums),
        cut=sum(it.cut for it in sums),
        largest=max((it.largest for it in sums), default=0),
        lost=sum(it.lost for it in sums),
    )


def find_requests(sandbox: Sandbox, name: str) -> Iterable[SeenRequest]:
    """Find the requests that carried bytes of a file."""
    urls = {it.playback_id for it in sandbox.assets if it.name == name}
    filename = base64.b64encode(name.encode()).decode()
    for request in filter(has_body, sandbox.requests):
        metadata = request.headers.get("upload-metadata", "")
        if f"filename {filename}" in metadata or request.path.rpartition("%2F")[2] in urls:
            yield request


def was_cut(request: SeenRequest) -> bool:
    """Whether its client died before the answer, as far as the server knows."""
    return request.status is None or request.received < int(request.headers["content-length"])


def count_kept(request: SeenRequest) -> int:
    """Count what is kept at the least of a request that was cut: each part that a byte followed."""
    return max(0, request.received - READ_AHEAD - 1) // PART * PART


def is_stored(sandbox: Sandbox, playback_id: str, path: Path) -> bool:
    """Whether exactly the bytes of a file are stored."""
    stored = sandbox.stored(playback_id)
    return stored is not None and stored.read_bytes() == path.read_bytes()
