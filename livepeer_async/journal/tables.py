"""The tables of a journal within one transaction, whichever database has them.

A call of the journal is a function of `Tables`. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from livepeer_async.concurrency import Reservations
from livepeer_async.errors import UploadInUse
from livepeer_async.journal.busy_timeout import BusyTimeout
from livepeer_async.journal.records import Orphan, Record, UnconfirmedRequest
from livepeer_async.redaction import show_source

T = TypeVar("T")
# A name, for messages, and an encoded record, orphan or unconfirmed request.
Row = tuple[str, bytes]

# The state column of records of uploads without a key.
KEYLESS = "keyless"


class Statements(Struct, frozen=True, kw_only=True):
    """The statements for one database; each `select` returns the columns of a `Row`."""

    select_record: str
    select_records: str
    select_keyed: str
    select_keyless: str
    put_record: str
    delete_record: str
    delete_claim: str
    select_orphans: str
    put_orphan: str
    replace_orphan: str
    delete_orphan: str
    select_doubts: str
    add_doubt: str
    replace_doubt: str
    delete_doubt: str


class Tables(Protocol):
    """The tables of one journal.

    Attributes:
        statements: for its database.
        claimed: the keys that are claimed in the transaction.
    """

    statements: Statements
    claimed: set[str]

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """Execute a statement and return its rows."""
        ...

    def find_records(self, keys: Sequence[str]) -> list[Row]:
        """Return the records of the given keys."""
        ...


class ClaimPending(Exception):
    """The owner of a claim is gone, but may not have stopped yet.

    Args:
        seconds: until it certainly has.
        owner: of the claim, for messages.
    """

    def __init__(self, seconds: float, owner: str) -> None:
        super().__init__(owner)
        self.seconds = seconds
        self.owner = owner


class Store(Protocol):
    """The database of a journal, and the claims of one open journal in it.

    Attributes:
        location: the file's path, or the database's URL without its password.
        held: the keys in use, in all event loops.
        written: the keys whose claims may be in the database; the next transaction deletes those
            that aren't held.
    """

    location: str
    held: Reservations[str]
    written: set[str]

    @property
    def is_forked(self) -> bool:
        """Whether it was opened before a fork, so that this process must not use it."""
        ...

    def busy_timeout(self) -> BusyTimeout:
        """Return the busy timeout of a call that starts now."""
        ...

    def transact(self, work: Callable[[Tables], T], busy_timeout: BusyTimeout, /) -> T:
        """Call a function in a transaction that also deletes released claims.

        The function may be called again after a rollback.

        Raises:
            JournalError: the database can't be used; it is unchanged.
            TooManyOpenFiles: no file descriptor was free; it is unchanged.
            WaitCancelled: the wait was cancelled; it is unchanged.
        """
        ...

    @property
    def is_certain(self) -> bool:
        """Whether the claims certainly hold, now and for the next seconds."""
        ...

    def identify(self, tables: Tables) -> str:
        """Return an ID of the database, which is the same for all of its clients."""
        ...

    def claim(self, tables: Tables, key: str) -> None:
        """Write the claim on a key.

        Raises:
            UploadInUse: another open journal has it.
            ClaimPending: it will be free once its owner has certainly stopped.
            JournalError: it is unknown whether that journal is still open.
        """
        ...

    def is_in_use(self, tables: Tables, key: str) -> bool:
        """Whether this journal or another open one has the claim on a key.

        Raises:
            JournalError: it is unknown whether that journal is still open.
        """
        ...

    def is_abandoned(self, tables: Tables, key: str) -> bool:
        """Whether no process will come back to a key; raises as `is_in_use` does."""
        ...

    def check_claim(self, key: str) -> None:
        """Check that the claim on a key wasn't lost.

        Raises:
            UploadInUse: it was: another process may have the upload now.
        """
        ...

    def watch(self, on_lost: Callable[[], None]) -> AbstractContextManager[None]:
        """Call a function, in any thread, if the claims may be lost within the block."""
        ...

    def close(self, busy_timeout: BusyTimeout, *, loop: Any) -> None:
        """Delete all claims and close; it stays open while another loop than `loop` holds a key."""
        ...


def find_record(tables: Tables, key: str) -> bytes | None:
    """Return the encoded record of a key."""
    rows: list[Row] = tables.execute(tables.statements.select_record, key)
    return rows[0][1] if rows else None


def find_asset_id(tables: Tables, key: str) -> str | None:
    """Return the asset of a key; an unreadable record has none."""
    row = find_record(tables, key)
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(row, type=Record).asset_id if row else None
    return None


def in_use_error(tables: Tables, location: str, key: str, process: str) -> UploadInUse:
    """Return the error for a key that a process is using."""
    shown: str = show_source(key)
    message = f"the upload of {shown!r} is in use by {process}"
    asset_id = find_asset_id(tables, key)
    return UploadInUse(message, path=location, key=shown, asset_id=asset_id)


def put_record(tables: Tables, record: Record) -> None:
    """Insert or replace the record of a key."""
    state = KEYLESS if record.is_keyless else record.state
    row = msgspec.json.encode(record)
    tables.execute(tables.statements.put_record, record.key, str(state), row)


def abandon(tables: Tables, key: str, leftover: Orphan | UnconfirmedRequest) -> None:
    """Replace a record with an orphan or an unconfirmed request."""
    row = msgspec.json.encode(leftover)
    if isinstance(leftover, Orphan):
        tables.execute(tables.statements.put_orphan, leftover.asset_id, row)
    else:
        tables.execute(tables.statements.add_doubt, row)
    tables.execute(tables.statements.delete_record, key)
