"""Takes the short forms of a client's options for what they stand for."""

from __future__ import annotations

import os
from collections.abc import Callable

from livepeer_async.api.calls import Account, check_account
from livepeer_async.errors import ConfigurationError
from livepeer_async.timeouts import Timeouts
from livepeer_async.tus.limits import ServerLimits, livepeer_limits

BASE_URL = "https://livepeer.studio/api"


def as_account(api_key: str | None, base_url: str | None) -> Account:
    """Take LIVEPEER_API_KEY and LIVEPEER_BASE_URL where nothing is given.

    Raises:
        ConfigurationError: the key or the URL can't work; the advice names the variable.
    """
    key = os.environ.get("LIVEPEER_API_KEY", "") if api_key is None else api_key
    url = base_url or os.environ.get("LIVEPEER_BASE_URL") or BASE_URL
    try:
        return check_account(url, key)
    except ConfigurationError as error:
        is_given = {"LIVEPEER_API_KEY": api_key, "LIVEPEER_BASE_URL": base_url}
        variable = "LIVEPEER_BASE_URL" if _is_fine(key) else "LIVEPEER_API_KEY"
        if not is_given[variable] and os.environ.get(variable):
            error.advice = f"check {variable}"
        raise


def as_timeouts(timeout: Timeouts | float | None) -> Timeouts:
    """Take a number for the stall time-out, in seconds, and `None` for the defaults."""
    if isinstance(timeout, Timeouts):
        return timeout
    return Timeouts() if timeout is None else Timeouts(stall=timeout)


def as_limits_for(
    limits: ServerLimits | Callable[[int], ServerLimits] | None,
) -> Callable[[int], ServerLimits]:
    """Take limits for those of any length, and `None` for Livepeer's."""
    if isinstance(limits, ServerLimits):
        return lambda _: limits
    return livepeer_limits if limits is None else limits


def _is_fine(api_key: str) -> bool:
    try:
        check_account(BASE_URL, api_key)
    except ConfigurationError:
        return False
    return True
