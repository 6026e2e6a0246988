"""Poolers and TLS in front of the journal's database: each refusal is one sentence."""

import pytest
import trustme

from journal.refusals import SECRET, fail_with
from livepeer_async import UploadInUse
from support.pgbouncer import run_pgbouncer
from support.postgres import PASSWORD, USER, Database, PostgresServer
from support.records import hold_key, read_record

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]

SHARED_SESSIONS = (
    "is behind a pooler that shares sessions between transactions, which breaks the locks of "
    "uploads: connect to PostgreSQL itself, or use pool_mode = session"
)
UNTRUSTED = "has a certificate that isn't trusted: check sslmode and sslrootcert "


@pytest.mark.parametrize("pool_mode", ["transaction", "statement"])
async def test_pooler_that_shares_sessions_is_refused(postgres, caplog, pool_mode):
    with run_pgbouncer(postgres.server, pool_mode) as port:
        message = await fail_with(postgres.url_of(port=port), caplog)
    assert message.startswith(SHARED_SESSIONS)


async def test_pooler_that_keeps_sessions_is_used(postgres, caplog):
    with run_pgbouncer(postgres.server, "session", pool_size=3) as port:
        url = postgres.url_of(port=port)
        with hold_key(url):
            with pytest.raises(UploadInUse):
                await read_record(url)
            with hold_key(url, key="speech"):
                message = await fail_with(url, caplog)
    assert message.startswith(
        "is behind a pooler that has no free session: its pool must be larger"
    )


async def test_pooler_forwards_refusals(postgres, caplog):
    with run_pgbouncer(postgres.server, "session") as port:
        message = await fail_with(postgres.url_of(port=port, password=SECRET), caplog)
        assert message.startswith("refuses the user or the password: check the URL, PGPASSWORD or")
        url = postgres.server.url("videos", USER, PASSWORD, port=port)
        message = await fail_with(url, caplog)
        assert message.startswith("isn't there: create the database, or correct the URL")


@pytest.fixture(scope="module")
def tls():
    """A server with TLS on 127.0.0.1, and its certificate authority."""
    authority = trustme.CA()
    with PostgresServer(certificate=authority.issue_cert("127.0.0.1")) as server:
        yield server, authority


async def test_certificate_is_verified(tls, tmp_path, caplog):
    server, authority = tls
    database = Database(server)
    trusted, other = tmp_path / "trusted.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(str(trusted))
    trustme.CA().cert_pem.write_to_path(str(other))
    url = database.url_of(sslmode="verify-full", sslrootcert=trusted)
    assert await read_record(url) is None
    for wrong in (
        database.url_of(sslmode="verify-full", sslrootcert=other),
        database.url_of(sslmode="verify-full", sslrootcert=tmp_path / "none"),
        url.replace("127.0.0.1", "localhost"),
    ):
        assert (await fail_with(wrong, caplog)).startswith(UNTRUSTED)
