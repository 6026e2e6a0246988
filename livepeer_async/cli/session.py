"""Opens a client for a command: for Livepeer, another server, or the embedded sandbox."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec.structs import replace

from livepeer_async.api.account import BASE_URL
from livepeer_async.api.calls import check_account
from livepeer_async.cli.client_options import ClientOptions
from livepeer_async.cli.output.console import print_note, print_problem
from livepeer_async.cli.output.request_status import show_requests
from livepeer_async.client import AsyncLivepeer
from livepeer_async.errors import (
    ApiError,
    ConfigurationError,
    Forbidden,
    JournalError,
    NotAuthenticated,
    NotFound,
)
from livepeer_async.http.retry import RetryPolicy
from livepeer_async.http.timeouts import Timeouts

# Giving up early loses nothing before the first upload: two attempts take about a second.
MAX_FIRST_ATTEMPTS = 2
FIRST_CONNECT_TIMEOUT = 8.0
DEFAULTS = ClientOptions()


@asynccontextmanager
async def open_client(
    options: ClientOptions = DEFAULTS,
    *,
    check_connection: bool = True,
    is_upload: bool = False,
    on_sandbox: Callable[[dict[str, str]], None] | None = None,
) -> AsyncGenerator[AsyncLivepeer]:
    """Open a client for the account in the environment, or for an embedded sandbox.

    Args:
        options: options of the client.
        check_connection: whether to check first that the server responds and accepts the key.
        is_upload: whether the command uploads: it shows the requests of its uploads itself, and the
            key must be allowed to look at assets.
        on_sandbox: called with the variables of the embedded sandbox's account, for processes that
            share a journal with the client.

    Raises:
        ConfigurationError: the key or the base URL can't work.
        NetworkError: the server can't be reached.
        NotAuthenticated: the server rejects the key.
        Forbidden: the key can't be used for uploads.
        NotFound: there is no Livepeer API below the base URL.
    """
    async with AsyncExitStack() as stack:
        use_journal = options.use_journal and options.sandbox is None
        if options.sandbox is None:
            api_key, base_url = _api_key(), None
        else:
            from livepeer_async.sandbox import Sandbox  # noqa: PLC0415 - it needs an extra

            sandbox = await stack.enter_async_context(Sandbox(storage=options.sandbox))
            api_key, base_url = sandbox.api_key, sandbox.base_url
            if on_sandbox is not None:
                on_sandbox({"LIVEPEER_API_KEY": api_key, "LIVEPEER_BASE_URL": base_url})
                folder = stack.enter_context(TemporaryDirectory(prefix="livepeer-async-"))
                options = replace(options, journal=str(Path(folder, "sandbox.journal")))
                use_journal = True
            print_note(f"embedded sandbox (storage: {options.sandbox}), deleted at the end")
        with ExitStack() as checking:
            # Uploads show their requests themselves.
            (checking if is_upload else stack).enter_context(show_requests())
            if check_connection:
                await _check_connection(api_key, base_url, options.retry, is_upload=is_upload)
        make = partial(
            _make_client, api_key, base_url, retry=options.retry, timeout=options.timeouts
        )
        if use_journal and options.journal is None:
            yield await _open_with_default_journal(make, stack)
        else:
            journal = options.journal if use_journal else None
            yield await stack.enter_async_context(make(journal=journal))


async def _open_with_default_journal(
    make: Callable[..., AsyncLivepeer], stack: AsyncExitStack
) -> AsyncLivepeer:
    """Open a client with the default journal, or without one if it can't be created."""
    client, exists = make(), False
    try:
        path = journal_path(client.account_fingerprint)
        exists = path.exists()
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        return await stack.enter_async_context(make(journal=path))
    except (JournalError, OSError, RuntimeError) as error:
        if exists:
            # Without an existing journal, everything that it records would be uploaded again.
            raise
        print_problem(
            f"running without a journal ({error}); use --journal FILE to put it elsewhere"
        )
        return await stack.enter_async_context(client)


def journal_path(fingerprint: str) -> Path:
    """Return the path of the default journal for an account."""
    return state_folder() / f"{fingerprint}.journal"


def state_folder() -> Path:
    """Return the folder of the default journals and reports."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        # Source: XDG Base Directory Specification, $XDG_STATE_HOME.
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base, "livepeer-async")


def _api_key() -> str:
    api_key = os.environ.get("LIVEPEER_API_KEY", "")
    if not api_key.strip():
        raise ConfigurationError(
            "no API key: set LIVEPEER_API_KEY to one from https://livepeer.studio; "
            "`livepeer-async demo`, and `upload` and `ingest` with --sandbox, need none"
        )
    return api_key


async def _check_connection(
    api_key: str, base_url: str | None, retry: RetryPolicy, *, is_upload: bool
) -> None:
    """Check that the API responds and accepts the key, before each file fails on its own."""
    retry = RetryPolicy(attempts=min(retry.attempts, MAX_FIRST_ATTEMPTS))
    timeout = Timeouts(connect=FIRST_CONNECT_TIMEOUT)
    async with _make_client(api_key, base_url, retry=retry, timeout=timeout) as client:
        try:
            await client.ping(retry=True)
        except ApiError as error:
            # Other errors needn't affect the command's own requests.
            is_refused = isinstance(error, Forbidden) and is_upload
            if is_refused or isinstance(error, NotAuthenticated | NotFound):
                raise


def _make_client(api_key: str, base_url: str | None, **options: Any) -> AsyncLivepeer:
    try:
        return AsyncLivepeer(api_key, base_url=base_url, **options)
    except ConfigurationError as error:
        if error.advice:
            raise
        name = "LIVEPEER_BASE_URL" if _is_valid_key(api_key) else "LIVEPEER_API_KEY"
        raise ConfigurationError(f"{error}; check {name}") from None


def _is_valid_key(api_key: str) -> bool:
    try:
        check_account(BASE_URL, api_key)
    except ConfigurationError:
        return False
    return True
