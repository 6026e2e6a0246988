"""Journals in a file and on PostgreSQL, for tests that run on both."""

import os
import sqlite3
from contextlib import closing

import pytest

from livepeer_async.journal.journal import Journal


@pytest.fixture
def postgres(empty_database):
    """A `Database` without tables, whose role has a password."""
    return empty_database


@pytest.fixture(params=["sqlite", "postgres"])
def location(request, tmp_path):
    """The path of a journal, or the URL of a database."""
    if request.param == "sqlite":
        return tmp_path / "uploads.journal"
    return request.getfixturevalue("postgres").url


@pytest.fixture
async def journal(location):
    """A journal that isn't open yet."""
    journal = Journal(location, account="a")
    yield journal
    await journal.aclose()


@pytest.fixture
def execute(request, location):
    """Execute a statement in the journal's database, as another program does."""

    def execute_in_file(statement):
        with closing(sqlite3.connect(location, isolation_level=None)) as other:
            other.execute(statement)

    def execute_in_schema(statement):
        postgres.execute(f"SET search_path TO livepeer_async; {statement}")

    if not isinstance(location, str):
        return execute_in_file
    postgres = request.getfixturevalue("postgres")
    return execute_in_schema


@pytest.fixture
def is_closed(request, location):
    """Return whether no journal is open: a session on PostgreSQL ends in the background."""
    if not isinstance(location, str):
        return lambda: os.listdir(location.parent) == [location.name]
    postgres = request.getfixturevalue("postgres")
    return lambda: not postgres.backends()
