"""Opens the client that a command works with: Livepeer's, another server's, or the sandbox's."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

from livepeer_async.api.answers import error_from
from livepeer_async.api.calls import check_account
from livepeer_async.cli.choices import FIRST_RETRIES, RETRIES, Storage
from livepeer_async.cli.screen import say
from livepeer_async.client import BASE_URL, AsyncLivepeer
from livepeer_async.errors import ConfigurationError
from livepeer_async.transport import Timeouts
from livepeer_async.uploads.retry import RetryPolicy

FIRST_CONNECT_SECONDS = 8.0


@asynccontextmanager
async def open_client(
    *, storage: Storage | None = None, retries: int = RETRIES
) -> AsyncGenerator[AsyncLivepeer]:
    """Open a client by the environment, once its server has answered.

    Args:
        storage: how the embedded sandbox stores, which is then started for this command alone;
            `None` for the server of the environment.
        retries: setbacks without progress that are borne.

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
        await _knock(api_key, base_url, retries=min(retries, FIRST_RETRIES))
        retry = RetryPolicy(attempts=retries)
        yield await stack.enter_async_context(_make_client(api_key, base_url, retry))


def _key_of_environment() -> str:
    api_key = os.environ.get("LIVEPEER_API_KEY", "")
    if not api_key.strip():
        raise ConfigurationError(
            "no API key: set LIVEPEER_API_KEY to one from https://livepeer.studio; "
            "`livepeer-async demo` and `livepeer-async upload --sandbox` need none"
        )
    return api_key


async def _knock(api_key: str, base_url: str | None, *, retries: int) -> None:
    """See whether the API answers, and knows the key, before many files fail one by one."""
    retry = RetryPolicy(attempts=retries)
    limits = Timeouts(connect=FIRST_CONNECT_SECONDS)
    async with _make_client(api_key, base_url, retry, limits) as client:
        answer = await client.request("GET", "/asset", params={"limit": 1})
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}:
            raise error_from(answer, api_key)


def _make_client(
    api_key: str, base_url: str | None, retry: RetryPolicy, timeout: Timeouts | None = None
) -> AsyncLivepeer:
    try:
        return AsyncLivepeer(api_key, base_url=base_url, retry=retry, timeout=timeout)
    except ConfigurationError as error:
        name = "LIVEPEER_BASE_URL" if _is_key_fine(api_key) else "LIVEPEER_API_KEY"
        raise ConfigurationError(f"{error}; check {name}") from None


def _is_key_fine(api_key: str) -> bool:
    try:
        check_account(BASE_URL, api_key)
    except ConfigurationError:
        return False
    return True
