"""Checks of the server, the journal and the bytes sent after a command has run to its end."""

import base64
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from livepeer_async.sandbox import Sandbox
from livepeer_async.sandbox.request_log import SeenRequest
from restarts.command import RestartedCommand, Result, carries_file_bytes
from restarts.plan import PART
from support.constants import MIB

# Bytes that the server has read but not stored when its client dies count as received.
READ_AHEAD = MIB


class ByteCounts(Struct, frozen=True):
    """Bytes that were sent.

    Attributes:
        length: Bytes of the files.
        received: Bytes that the server has read.
        cut: Requests that ended in the body or without a response.
        largest: Bytes of the largest of those.
        lost: Upper bound of the bytes of those that the server did not keep.
    """

    length: int
    received: int
    cut: int
    largest: int
    lost: int

    @property
    def repeated(self) -> int:
        """Bytes that were sent more than once."""
        return self.received - self.length


def assert_complete(command: RestartedCommand, end: Result) -> None:
    """All files are ready once with the right bytes, and all other assets are known."""
    assert (end.status, end.stderr.count("Traceback")) == (0, 0), end.stderr
    assert command.sandbox.violations == []
    assert_assets(command, end.lines)
    assert_leftovers_known(command, {line["asset_id"] for line in end.lines})
    assert command.names_beside_journal() == set()
    assert command.copy().finished == len(command.files)


def assert_assets(command: RestartedCommand, lines: list[dict]) -> None:
    """Each file has one ready asset, and the output names it."""
    assert {line["source"] for line in lines} == {str(path) for path in command.files}
    ready = [it for it in command.sandbox.assets if it.phase == "ready" and not it.is_deleted]
    assert sorted(it.name for it in ready) == sorted(path.name for path in command.files)
    assert {line["asset_id"] for line in lines} == {it.id for it in ready}
    for asset in ready:
        (path,) = (path for path in command.files if path.name == asset.name)
        assert is_stored(command.sandbox, asset.playback_id, path), path.name


def assert_leftovers_known(command: RestartedCommand, used: set[str]) -> None:
    """A killed process started the other assets, and the journal lists them."""
    leftovers = {
        it.id: it for it in command.sandbox.assets if not it.is_deleted and it.id not in used
    }
    orphans = command.list_orphans()
    assert {it.phase for it in leftovers.values()} <= {"uploading"}
    assert {line["asset_id"] for line in orphans} == set(leftovers)
    written = {orphan.asset_id for orphan in command.copy().orphans}
    for line in orphans:
        assert line["is_ours"] == (line["asset_id"] in written)


def assert_all_assets_known(command: RestartedCommand) -> None:
    """The journal leads to every asset on the server."""
    copy = command.copy()
    unknown = [it for it in command.sandbox.assets if not copy.knows(it.id, it.name)]
    assert [it for it in unknown if not it.is_deleted] == []


def check_amounts(command: RestartedCommand) -> ByteCounts:
    """Check that only bytes of cut requests that the server did not keep were repeated."""
    sums = []
    for path in command.files:
        requests = list(find_requests(command.sandbox, path.name))
        found = count_bytes(path.stat().st_size, requests)
        assert 0 <= found.repeated <= found.lost, f"{path.name}: {found}"
        assert found.lost <= found.cut * (PART + READ_AHEAD), f"{path.name}: {found}"
        sums.append(found)
    return sum_counts(sums)


def count_bytes(length: int, requests: Iterable[SeenRequest]) -> ByteCounts:
    """Count the bytes sent of one file."""
    requests = list(requests)
    cut = [it for it in requests if was_cut(it)]
    return ByteCounts(
        length=length,
        received=sum(it.received for it in requests),
        cut=len(cut),
        largest=max((int(it.headers["content-length"]) for it in cut), default=0),
        lost=sum(it.received - count_kept(it) for it in cut),
    )


def sum_counts(sums: Iterable[ByteCounts]) -> ByteCounts:
    """Sum the counts of several files."""
    sums = list(sums)
    return ByteCounts(
        length=sum(it.length for it in sums),
        received=sum(it.received for it in sums),
        cut=sum(it.cut for it in sums),
        largest=max((it.largest for it in sums), default=0),
        lost=sum(it.lost for it in sums),
    )


def find_requests(sandbox: Sandbox, name: str) -> Iterable[SeenRequest]:
    """Find the requests with bytes of a file."""
    urls = {it.playback_id for it in sandbox.assets if it.name == name}
    filename = base64.b64encode(name.encode()).decode()
    for request in filter(carries_file_bytes, sandbox.requests):
        metadata = request.headers.get("upload-metadata", "")
        if f"filename {filename}" in metadata or request.path.rpartition("%2F")[2] in urls:
            yield request


def was_cut(request: SeenRequest) -> bool:
    """Whether the request has no response or an incomplete body."""
    return request.status is None or request.received < int(request.headers["content-length"])


def count_kept(request: SeenRequest) -> int:
    """Return the kept bytes of a cut request, at least: each part that is followed by a byte."""
    return max(0, request.received - READ_AHEAD - 1) // PART * PART


def is_stored(sandbox: Sandbox, playback_id: str, path: Path) -> bool:
    """Whether exactly the file's bytes are stored."""
    stored = sandbox.stored(playback_id)
    return stored is not None and stored.read_bytes() == path.read_bytes()
