"""Opens the client that a command works with: Livepeer's, another server's, or the sandbox's."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path

from livepeer_async.api.account import BASE_URL
from livepeer_async.api.requests import check_account
from livepeer_async.api.responses import error_from_response
from livepeer_async.cli.options import FIRST_RETRIES, RETRIES, Storage
from livepeer_async.cli.output.console import say
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import ConfigurationError, JournalError
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts

FIRST_CONNECT_SECONDS = 8.0
RETRY = RetryPolicy(attempts=RETRIES)


@asynccontextmanager
async def open_client(  # noqa: PLR0913 - the options of a client, all with a default
    *,
    storage: Storage | None = None,
    retry: RetryPolicy = RETRY,
    timeouts: Timeouts | None = None,
    journal: str | None = None,
    is_remembered: bool = False,
    is_knocking: bool = True,
) -> AsyncGenerator[AsyncLivepeer]:
    """Open a client by the environment, once its server has answered.

    Args:
        storage: how the embedded sandbox stores, which is then started for this command alone;
            `None` for the server of the environment.
        retry: which setbacks are borne once the server has answered.
        timeouts: the time limits of the network, once the server has answered.
        journal: the file that remembers uploads; by default one in the user's own folder.
        is_remembered: whether there is a journal; the embedded sandbox has none.
        is_knocking: whether to see first if the server answers.

    Raises:
        ConfigurationError: key or base URL can't work.
        NetworkError: the server can't be reached.
        NotAuthenticated: it doesn't know the key.
        NotFound: it has no such API below the base URL.
    """
    async with AsyncExitStack() as stack:
        if storage is None:
            api_key, base_url = _key_of_environment(), None
        else:
            from livepeer_async.sandbox import Sandbox  # noqa: PLC0415 - it needs an extra

            sandbox = await stack.enter_async_context(Sandbox(storage=storage))
            api_key, base_url = sandbox.api_key, sandbox.base_url
            say(f"embedded sandbox (storage: {storage}): a trial, gone when the command ends")
            is_remembered = False
        if is_knocking:
            await _knock(api_key, base_url, retries=min(retry.attempts, FIRST_RETRIES))
        make = partial(_make_client, api_key, base_url, retry, timeout=timeouts)
        if is_remembered and journal is None:
            yield await _with_own_journal(make, stack)
        else:
            yield await stack.enter_async_context(make(journal=journal if is_remembered else None))


async def _with_own_journal(
    make: Callable[..., AsyncLivepeer], stack: AsyncExitStack
) -> AsyncLivepeer:
    """Open the client with the journal in the user's own folder.

    Nobody asked for it by name: a home that can't be written to keeps nobody from uploading.
    """
    forgetful, had_one = make(), False
    try:
        path = journal_path(forgetful.account_fingerprint)
        had_one = path.exists()
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        return await stack.enter_async_context(make(journal=path))
    except (JournalError, OSError, RuntimeError) as error:
        if had_one:
            # It knows what was uploaded, which would be uploaded a second time without it.
            raise
        say(f"nothing will be remembered of this run: {error}; --journal FILE takes another file")
        return await stack.enter_async_context(forgetful)


def journal_path(fingerprint: str) -> Path:
    """Name the journal of an account in the user's own folder."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        # Source: XDG Base Directory Specification, $XDG_STATE_HOME.
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base, "livepeer-async", f"{fingerprint}.journal")


def _key_of_environment() -> str:
    api_key = os.environ.get("LIVEPEER_API_KEY", "")
    if not api_key.strip():
        raise ConfigurationError(
            "no API key: set LIVEPEER_API_KEY to one from https://livepeer.studio; "
            "`livepeer-async demo` and --sandbox with `upload` or `ingest` need none"
        )
    return api_key


async def _knock(api_key: str, base_url: str | None, *, retries: int) -> None:
    """See whether the API answers, and knows the key, before many files fail one by one."""
    retry = RetryPolicy(attempts=retries)
    limits = Timeouts(connect=FIRST_CONNECT_SECONDS)
    async with _make_client(api_key, base_url, retry, timeout=limits) as client:
        answer = await client.request("GET", "/asset", params={"limit": 1})
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}:
            raise error_from_response(answer, api_key)


def _make_client(
    api_key: str,
    base_url: str | None,
    retry: RetryPolicy,
    *,
    timeout: Timeouts | None = None,
    journal: str | Path | None = None,
) -> AsyncLivepeer:
    try:
        return AsyncLivepeer(
            api_key, base_url=base_url, retry=retry, timeout=timeout, journal=journal
        )
    except ConfigurationError as error:
        if error.advice:
            raise
        name = "LIVEPEER_BASE_URL" if _is_key_fine(api_key) else "LIVEPEER_API_KEY"
        raise ConfigurationError(f"{error}; check {name}") from None


def _is_key_fine(api_key: str) -> bool:
    try:
        check_account(BASE_URL, api_key)
    except ConfigurationError:
        return False
    return True
