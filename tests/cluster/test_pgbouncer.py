"""PgBouncer as the tests of the shared journal run it."""

import psycopg
import pytest

from support.pgbouncer import run_pgbouncer

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(("pool_mode", "leaks"), [("session", False), ("transaction", True)])
def test_lock_of_a_pooled_session(postgres, pool_mode, leaks):
    with run_pgbouncer(postgres.server, pool_mode) as port:
        url = postgres.url_of(port=port)
        with psycopg.connect(url, autocommit=True) as first:
            first.execute("SELECT pg_advisory_lock(1, 2)")
            with psycopg.connect(url, autocommit=True) as second:
                query = "SELECT pg_try_advisory_lock(1, 2)"
                assert second.execute(query).fetchone() == (leaks,)


def test_statement_pooling_refuses_transactions(postgres):
    with (
        run_pgbouncer(postgres.server, "statement") as port,
        psycopg.connect(postgres.url_of(port=port)) as connection,
        pytest.raises(psycopg.OperationalError, match="transaction blocks not allowed"),
    ):
        connection.execute("SELECT 1")
