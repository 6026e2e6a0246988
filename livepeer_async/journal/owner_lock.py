"""A file lock that shows whether the process that owns a claim still runs.

Everything here blocks.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from livepeer_async.errors import JournalError
from livepeer_async.journal.database import is_busy


class OwnerLock:
    """The lock of one open journal on a file beside it, for as long as it is open.

    The operating system drops it however the process ends, so nothing runs out with time. It is
    SQLite's own lock, on a database that stays empty: the same on every system.

    Args:
        journal: the path of the journal.

    Attributes:
        owner: the name under which claims are written down; the file's name ends in it.
    """

    def __init__(self, journal: str) -> None:
        self.owner = uuid.uuid4().hex
        self._journal = journal
        path = self.path_of(journal, self.owner)
        Path(path).touch(0o600, exist_ok=False)
        self._lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._lock.execute("BEGIN EXCLUSIVE")

    def release(self, *, keeps_file: bool) -> None:
        """Drop the lock.

        Args:
            keeps_file: whether the journal still names the owner: its file, without a lock, says
                that the claims are void; that there is no file says nothing.
        """
        self._lock.close()
        if not keeps_file:
            self.delete_files(self._journal, self.owner)

    @staticmethod
    def path_of(journal: str, owner: str) -> str:
        """Name the file of an owner."""
        return f"{journal}-owner-{owner}"

    @staticmethod
    def found_beside(journal: str) -> set[str]:
        """List the owners that have a file beside a journal."""
        mark = f"{Path(journal).name}-owner-"
        names = [path.name for path in Path(journal).parent.iterdir()]
        return {
            name.removeprefix(mark).partition("-")[0] for name in names if name.startswith(mark)
        }

    @classmethod
    def delete_files(cls, journal: str, owner: str) -> None:
        """Delete what is left of an owner whose lock nobody holds."""
        path = cls.path_of(journal, owner)
        # SQLite deletes the second one itself, unless somebody has deleted the first before it.
        for name in (path, f"{path}-journal"):
            Path(name).unlink(missing_ok=True)

    @classmethod
    def is_held(cls, journal: str, owner: str, pid: int | None) -> bool:
        """Whether the claims of an owner hold.

        Args:
            journal: the path of the journal.
            owner: the name in the claim.
            pid: the owner's process as the journal knows it. It counts only where somebody deleted
                the file: another process may have got its number since, and then the claims hold
                until that one ends, which is the safe side.

        Raises:
            JournalError: its file can't be opened, so nobody knows.
        """
        path = cls.path_of(journal, owner)
        # Not made where it is missing. Names of folders can be any bytes.
        uri = f"file:{quote(os.fsencode(path))}?mode=rw"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=0.0, isolation_level=None)) as lock:
                lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if is_busy(error):
                return True
            if not os.access(path, os.F_OK):
                return pid is not None and _is_running(pid)
            raise JournalError(
                f"the journal {journal} can't tell whether process {pid} still runs, because the "
                f"file {path} can't be opened ({error}): if no such process of that file's user "
                "runs, delete the file",
                path=journal,
            ) from error
        return False


def _is_running(pid: int) -> bool:
    # On Windows `os.kill` would end the process, and there a file that is open can't be deleted.
    if os.name == "nt" or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
