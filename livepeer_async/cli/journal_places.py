"""Finds the journals that a command means: files, or accounts in a PostgreSQL database."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from shlex import quote

import anyio.to_thread
from msgspec import Struct

from livepeer_async.api.account import as_account
from livepeer_async.cli.output.console import print_note
from livepeer_async.cli.session import journal_path, state_folder
from livepeer_async.errors import ConfigurationError, JournalError
from livepeer_async.journal.extra import import_postgres
from livepeer_async.journal.journal import Journal
from livepeer_async.journal.location import hide_password, is_postgres_url


class JournalPlace(Struct, frozen=True):
    """A journal that a command means.

    Attributes:
        location: the file, or the URL of a database.
        account: a fingerprint of the account; `None` for that of the file.
    """

    location: str
    account: str | None = None

    def __str__(self) -> str:
        if self.account is None:
            return self.location
        return f"{hide_password(self.location)} (account {self.account})"

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Journal, None]:
        """Open the journal within the block.

        Raises:
            JournalError: it can't be used.
        """
        async with aclosing(Journal(self.location, account=self.account)) as journal:
            yield journal


def journal_option(journal: str | None) -> str:
    """Return the option that names a journal in suggested commands, without secrets."""
    if not journal:
        return ""
    return f" --journal {quote(hide_password(journal) if is_postgres_url(journal) else journal)}"


def journal_file(journal: str | None) -> str | None:
    """Return the file of a journal; `None` if it has none, or is the default one."""
    return None if is_postgres_url(journal) else journal


def check_exists(journal: str) -> None:
    """Check that the file of a journal exists.

    Raises:
        JournalError: it doesn't.
    """
    if not (is_postgres_url(journal) or Path(journal).exists()):
        raise JournalError(f"there is no journal {journal}", path=journal)


async def find_journals(journal: str | None) -> list[JournalPlace]:
    """Return the named journal, that of the API key, or all of the default folder.

    Raises:
        JournalError: there is none, or the database can't be used.
    """
    if is_postgres_url(journal):
        return await _find_accounts(journal)
    if journal is not None:
        check_exists(journal)
        return [JournalPlace(journal)]
    try:
        folder = state_folder()
    except RuntimeError as error:
        raise JournalError(f"{error}; use --journal FILE", path="") from error
    fingerprint = _current_account()
    if fingerprint is not None:
        file = journal_path(fingerprint)
        if not file.exists():
            print_note(f"there is no journal {file} yet")
        return [JournalPlace(str(file))] if file.exists() else []
    files = sorted(folder.glob("*.journal"))
    if not files:
        print_note(f"there is no journal in {folder}; --journal FILE names another one")
    return [JournalPlace(str(file)) for file in files]


async def _find_accounts(url: str) -> list[JournalPlace]:
    """Return the account of the API key in a database, or all accounts."""
    fingerprint = _current_account()
    if fingerprint is not None:
        return [JournalPlace(url, fingerprint)]
    accounts = await anyio.to_thread.run_sync(import_postgres("administration").find_accounts, url)
    if not accounts:
        print_note(f"the journal {hide_password(url)} is empty")
    return [JournalPlace(url, account) for account in accounts]


def _current_account() -> str | None:
    if os.environ.get("LIVEPEER_API_KEY", "").strip():
        with suppress(ConfigurationError):
            return as_account(None, None).fingerprint
    return None
