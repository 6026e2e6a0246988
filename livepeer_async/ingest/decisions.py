"""Decides whether a row is retried, and how an error affects the other rows.

Pure. `classify_error` considers the error alone, `may_retry` the row as well. `is_finished` reads
the record of an earlier run.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from livepeer_async.errors import (
    AmbiguousRequest,
    ClientClosed,
    Forbidden,
    JournalError,
    LivepeerError,
    NotAuthenticated,
    TooManyOpenFiles,
    UploadGone,
    UploadInUse,
    is_transient,
)
from livepeer_async.ingest.rows import Row
from livepeer_async.journal.records import (
    Record,
    RecordState,
    ResumeAction,
    access_fingerprints,
    plan_resume,
    url_fingerprint,
)
from livepeer_async.sources.identity import SourceIdentity

# Attempts of one row in a run.
MAX_ATTEMPTS = 3


class ErrorAction(Struct, frozen=True, kw_only=True):
    """The consequences of a row's error; by default, the row has failed.

    Attributes:
        retry_row: a later attempt may succeed.
        probe_server: the network, the server or the account may be the cause; no row starts until
            a ping succeeded.
        abort_run: every other row would fail as well.
    """

    retry_row: bool = False
    probe_server: bool = False
    abort_run: bool = False


FAIL = ErrorAction()
# The first matching class counts.
_ACTIONS: tuple[tuple[type[LivepeerError], ErrorAction], ...] = (
    # Another process owns this row and may still finish or die.
    (UploadInUse, ErrorAction(retry_row=True)),
    (JournalError, ErrorAction(abort_run=True)),
    (ClientClosed, ErrorAction(abort_run=True)),
    # It has lasted for a while, and concerns every row.
    (TooManyOpenFiles, ErrorAction(abort_run=True)),
    (NotAuthenticated, ErrorAction(abort_run=True)),
    # It may concern this row only, such as its object store, or the whole account.
    (Forbidden, ErrorAction(probe_server=True)),
)


def classify_error(error: LivepeerError) -> ErrorAction:
    """Return the consequences of a row's error."""
    for kind, action in _ACTIONS:
        if isinstance(error, kind):
            return action
    # Beyond `is_transient`: the next attempt looks for the asset of an ambiguous request, and
    # replaces an upload that is gone.
    may_succeed = is_transient(error) or isinstance(error, AmbiguousRequest | UploadGone)
    return ErrorAction(retry_row=True, probe_server=True) if may_succeed else FAIL


def may_retry(
    row: Row, error: LivepeerError, *, attempts: int, has_asset: bool, has_journal: bool
) -> bool:
    """Whether a row is retried after the other rows, rather than reported as failed.

    Args:
        row: the row.
        error: how its last attempt ended.
        attempts: its attempts so far; an outage of the server resets them.
        has_asset: whether the last attempt created an asset.
        has_journal: whether the next attempt can find that asset. Without a journal it would
            create a second one.
    """
    if not classify_error(error).retry_row or attempts >= MAX_ATTEMPTS:
        return False
    may_have_asset = has_asset or (row.is_url and isinstance(error, AmbiguousRequest))
    return has_journal or not may_have_asset


def finished_states(*, wait: bool) -> frozenset[RecordState]:
    """Return the states of finished records; `wait` as for `is_finished`."""
    ready = frozenset({RecordState.READY})
    return ready if wait else ready | {RecordState.UPLOADED}


def is_finished(row: Row, record: Record, *, wait: bool) -> bool:
    """Whether an earlier run left nothing to do for a row.

    Args:
        row: the row with the current length of its file; `None` if the file is missing.
        record: the journal's record of the row's key.
        wait: whether the asset must be ready; else the server must have all bytes.
    """
    if record.state not in finished_states(wait=wait):
        return False
    access, *older = access_fingerprints(row.new_asset)
    if record.access in older:
        record = replace(record, access=access)
    if row.is_url:
        return record.access == access and record.identity.url == url_fingerprint(row.source)
    if row.length is None:
        return record.access == access
    identity = SourceIdentity(length=row.length, modified_ns=row.modified_ns)
    return plan_resume(record, identity, access) is ResumeAction.RESUME
