"""Imports the journal on PostgreSQL, which needs an extra."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from livepeer_async.errors import ConfigurationError
from livepeer_async.http.shortages import is_shortage


def import_postgres(name: str) -> Any:
    """Import a module of `journal.postgres`.

    Raises:
        ConfigurationError: psycopg can't be imported.
    """
    try:
        return import_module(f"livepeer_async.journal.postgres.{name}")
    except ImportError as error:
        if is_shortage(error):
            raise
        raise ConfigurationError(
            "a journal on PostgreSQL needs psycopg, which can't be imported here",
            advice='pip install "psycopg[binary]"',
        ) from error
