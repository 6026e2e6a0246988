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
from livepeer_async.http.shortages import is_shortage
from livepeer_async.journal.busy_timeout import is_busy


class OwnerLock:
    """The lock of one open journal on a file beside it.

    The operating system releases it however the process ends, so nothing expires. It is SQLite's
    own lock, on an empty database, which works the same on every system.

    Args:
        journal: the path of the journal.

    Attributes:
        owner: the name of the owner in its claims, and the end of the file's name.
    """

    def __init__(self, journal: str) -> None:
        self.owner = uuid.uuid4().hex
        self._journal = journal
        path = self.path_of(journal, self.owner)
        Path(path).touch(0o600, exist_ok=False)
        try:
            self._lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._lock.execute("BEGIN EXCLUSIVE")
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise

    def release(self, *, keeps_file: bool) -> None:
        """Release the lock.

        Args:
            keeps_file: whether to keep the file, because the journal still names the owner. Only an
                unlocked file shows that the claims are void; a missing one doesn't.
        """
        self._lock.close()
        if not keeps_file:
            self.delete_files(self._journal, self.owner)

    @staticmethod
    def path_of(journal: str, owner: str) -> str:
        """Return the path of an owner's file."""
        return f"{journal}-owner-{owner}"

    @staticmethod
    def found_beside(journal: str) -> set[str]:
        """Return the owners that have a file beside a journal."""
        prefix = f"{Path(journal).name}-owner-"
        names = [path.name for path in Path(journal).parent.iterdir()]
        return {
            name.removeprefix(prefix).partition("-")[0] for name in names if name.startswith(prefix)
        }

    @classmethod
    def delete_files(cls, journal: str, owner: str) -> None:
        """Delete the files of an owner whose lock isn't held."""
        path = cls.path_of(journal, owner)
        # SQLite deletes the second one itself, unless the first one was deleted before.
        for name in (path, f"{path}-journal"):
            Path(name).unlink(missing_ok=True)

    @classmethod
    def is_held(cls, journal: str, owner: str, pid: int | None) -> bool:
        """Whether the claims of an owner are valid.

        Args:
            journal: the path of the journal.
            owner: the name in the claim.
            pid: the owner's process according to the journal. It is only used if the file was
                deleted, and errs on the safe side if another process has the ID now.

        Raises:
            JournalError: the file can't be opened, so the lock can't be checked.
        """
        path = cls.path_of(journal, owner)
        # `mode=rw` creates no file. Folder names may contain any bytes.
        uri = f"file:{quote(os.fsencode(path))}?mode=rw"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=0.0, isolation_level=None)) as lock:
                lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if is_busy(error):
                return True
            if not os.access(path, os.F_OK):
                return pid is not None and _is_running(pid)
            if is_shortage(error):
                raise
            raise JournalError(
                f"the journal {journal} can't tell whether process {pid} still runs, because the "
                f"file {path} can't be opened ({error}): if no such process of that file's user "
                "runs, delete the file",
                path=journal,
            ) from error
        return False


def _is_running(pid: int) -> bool:
    # On Windows `os.kill` would end the process, and an open file can't be deleted anyway.
    if os.name == "nt" or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
