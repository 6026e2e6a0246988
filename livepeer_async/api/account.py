"""The account that requests are made for, from arguments or the environment."""

from __future__ import annotations

import os

from livepeer_async.api.requests import Account, check_account
from livepeer_async.errors import ConfigurationError

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


def _is_fine(api_key: str) -> bool:
    try:
        check_account(BASE_URL, api_key)
    except ConfigurationError:
        return False
    return True
