"""What becomes of a row, decided by values.

In come the journal's record of a row, or the error that it ended with; out comes whether anything
is left to do, or what the error says of this row and of all others. Pure.
"""

from __future__ import annotations

from msgspec import Struct

from livepeer_async.errors import (
    AmbiguousRequest,
    Forbidden,
    JournalError,
    LivepeerError,
    NotAuthenticated,
    UploadGone,
    UploadInUse,
    is_transient,
)
from livepeer_async.ingest.rows import Row
from livepeer_async.journal.records import (
    Record,
    RecordState,
    ResumeAction,
    access_fingerprint,
    plan_resume,
    url_fingerprint,
)
from livepeer_async.sources.identity import SourceIdentity


class ErrorAction(Struct, frozen=True, kw_only=True):
    """What an error says.

    Attributes:
        retry_row: whether the row may do better after the others; else it has failed.
        probe_server: whether the network, the server or the account may be at fault, which a
            probe finds out before more rows meet the same error.
        abort_run: whether no row can do better in this run.
    """

    retry_row: bool = False
    probe_server: bool = False
    abort_run: bool = False


FAILED = ErrorAction()
# The first class that fits counts.
_VERDICTS: tuple[tuple[type[LivepeerError], ErrorAction], ...] = (
    # Somebody else carries this row; he may end, or be ended.
    (UploadInUse, ErrorAction(retry_row=True)),
    (JournalError, ErrorAction(abort_run=True)),
    (NotAuthenticated, ErrorAction(abort_run=True)),
    # Of this row, for an object store of somebody else for instance, or of the whole account.
    (Forbidden, ErrorAction(probe_server=True)),
)


def classify_error(error: LivepeerError) -> ErrorAction:
    """Say what an error means for its row and for the others."""
    for kind, verdict in _VERDICTS:
        if isinstance(error, kind):
            return verdict
    # Beyond `is_transient`: a row looks for what an ambiguous request made, and a lost upload
    # begins again with another asset.
    may_succeed = is_transient(error) or isinstance(error, AmbiguousRequest | UploadGone)
    return ErrorAction(retry_row=True, probe_server=True) if may_succeed else FAILED


def finished_states(*, is_ready_wanted: bool) -> frozenset[RecordState]:
    """Give the states of records of which nothing is left to do; as for `is_finished`."""
    ready = frozenset({RecordState.READY})
    return ready if is_ready_wanted else ready | {RecordState.UPLOADED}


def is_finished(row: Row, record: Record, *, is_ready_wanted: bool) -> bool:
    """Whether an earlier run has done all that there is to do for a row.

    Args:
        row: with what its file looks like today; one that is gone has no length.
        record: of the row's key.
        is_ready_wanted: whether its asset must have been seen ready; else it is enough that the
            server has all bytes.
    """
    if record.state not in finished_states(is_ready_wanted=is_ready_wanted):
        return False
    access = access_fingerprint(row.new_asset) if row.new_asset else ""
    if row.is_url:
        return record.access == access and record.identity.url == url_fingerprint(row.source)
    if row.length is None:
        return record.access == access
    identity = SourceIdentity(length=row.length, modified_ns=row.modified_ns)
    return plan_resume(record, identity, access) is ResumeAction.RESUME
