"""Account settings from arguments or environment variables."""

from __future__ import annotations

import os
from math import inf

from livepeer_async.api.calls import Account, check_account
from livepeer_async.errors import ConfigurationError
from livepeer_async.http.messages import origin_of
from livepeer_async.redaction import hides_variables

BASE_URL = "https://livepeer.studio/api"


@hides_variables
def as_account(api_key: str | None, base_url: str | None) -> Account:
    """Return the account; LIVEPEER_API_KEY and LIVEPEER_BASE_URL replace missing arguments.

    Raises:
        ConfigurationError: the key or the URL is invalid. The advice names the variable.
    """
    key = os.environ.get("LIVEPEER_API_KEY", "") if api_key is None else api_key
    url = base_url or os.environ.get("LIVEPEER_BASE_URL") or BASE_URL
    try:
        return check_account(url, key)
    except ConfigurationError as error:
        arguments = {"LIVEPEER_API_KEY": api_key, "LIVEPEER_BASE_URL": base_url}
        variable = "LIVEPEER_BASE_URL" if _is_valid_key(key) else "LIVEPEER_API_KEY"
        if not arguments[variable] and os.environ.get(variable):
            error.advice = f"check {variable}"
        raise


def check_speed(speed: float, account: Account) -> float:
    """Return the speed of a client's delays.

    Raises:
        ConfigurationError: it isn't a number above 0, or Livepeer itself would get more requests.
    """
    if not 0 < speed < inf:
        raise ConfigurationError(f"speed is {speed!r}; wanted a number above 0")
    if speed > 1 and origin_of(account.base_url) == origin_of(BASE_URL):
        raise ConfigurationError(
            f"speed is {speed!r}, and the server {origin_of(BASE_URL)}",
            advice="speed is for tests with a sandbox: pass its base_url, or leave speed out",
        )
    return speed


def _is_valid_key(api_key: str) -> bool:
    try:
        check_account(BASE_URL, api_key)
    except ConfigurationError:
        return False
    return True
