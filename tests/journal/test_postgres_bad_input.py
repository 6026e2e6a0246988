"""Databases that can't be a journal: each is one sentence, and nothing is lost."""

import re
import subprocess
import sys

import pytest

from journal.refusals import SECRET, fail_with
from livepeer_async.journal.journal import Journal
from support.fake_postgres import FakePostgres, fatal, welcome
from support.postgres import USER
from support.records import RECORD, read_record

pytestmark = pytest.mark.anyio

READER = "reader"
NO_RIGHTS = (
    "can't be used, the role lacks rights: the first start needs CREATE on the database, or a "
    "schema livepeer_async that the role owns; later ones need USAGE on that schema, and SELECT, "
    "INSERT, UPDATE and DELETE on its tables"
)
UNREADABLE = (
    "has a URL that libpq can't read: wanted postgresql://USER:PASSWORD@HOST:PORT/DATABASE with "
    "parameters of libpq, and @ / : % and spaces in its parts as %40 %2F %3A %25 %20"
)
INCOMPLETE = (
    "has the schema livepeer_async, but not all of its tables: restore them from a backup, or drop "
    "the schema, which forgets all uploads"
)
UNREACHABLE = "can't be reached: start its server, or correct the URL"
READ_ONLY = "is read-only: wanted the primary server, and a role whose transactions may write"
FULL = (
    "has no free connection: close others, or raise max_connections of the server, or the limit of "
    "the role or database"
)


@pytest.fixture
def reader(postgres, postgres_server):
    """The URL of a role that may only connect."""
    postgres_server.execute(f"CREATE ROLE {READER} LOGIN")
    yield postgres.url_of(user=READER, password=SECRET)
    postgres.execute(f"DROP OWNED BY {READER}")
    postgres_server.execute(f"DROP ROLE {READER}")


# What follows the user in the URL of a good database, and the sentence.
URLS = {
    "wrong password": (
        f":{SECRET}@{{server}}/{{name}}",
        (
            "refuses the user or the password: check the URL, PGPASSWORD or .pgpass (password "
            'authentication failed for user "{user}")'
        ),
    ),
    "no password": (
        "@{server}/{name}",
        (
            "wants a password: set PGPASSWORD, .pgpass or the URL's password (fe_sendauth: no "
            "password supplied)"
        ),
    ),
    "unknown database": (
        ":correct%20horse@{server}/videos",
        'isn\'t there: create the database, or correct the URL (database "videos" does not exist)',
    ),
    "unknown role": (
        f"2:{SECRET}@{{server}}/{{name}}",
        (
            'refuses the role: create it with LOGIN, or correct the URL (role "{user}2" does not '
            "exist)"
        ),
    ),
    "unknown host": (
        f":{SECRET}@db.invalid/videos",
        "has an unknown host: correct the URL (failed to resolve host 'db.invalid': ...)",
    ),
    "refused port": (f":{SECRET}@127.0.0.1:9/videos", f"{UNREACHABLE} (Connection refused)"),
    "refused ports": (
        f":{SECRET}@127.0.0.1:9,127.0.0.1:19/videos",
        f"{UNREACHABLE} (Connection refused)",
    ),
    "missing socket": (
        f":{SECRET}@/videos?host=/nonexistent",
        (
            f'{UNREACHABLE} (connection to server on socket "/nonexistent/.s.PGSQL.5432" failed: '
            "No such file or directory)"
        ),
    ),
    "@ in the password": (f":{SECRET}@{SECRET}@{{server}}/{{name}}", UNREADABLE),
    "/ in the password": (f":{SECRET}/{SECRET}@{{server}}/{{name}}", UNREADABLE),
    "% in the password": (f":{SECRET}%{SECRET}@{{server}}/{{name}}", UNREADABLE),
    "space in the password": (f":{SECRET} {SECRET}@{{server}}/{{name}}", UNREADABLE),
    "@ in a parameter": (f"@{{server}}/{{name}}?password={SECRET}@{SECRET}", UNREADABLE),
    "no host": (f":{SECRET}/{{name}}", UNREADABLE),
    "line break": (f":{SECRET}\n@{{server}}/{{name}}", UNREADABLE),
    "NUL": (f":{SECRET}\0@{{server}}/{{name}}", UNREADABLE),
    "no UTF-8": (f":{SECRET}\udcff@{{server}}/{{name}}", UNREADABLE),
    "unknown parameter": (f":{SECRET}@{{server}}/{{name}}?sslmodes=require", UNREADABLE),
    "wrong parameter": (
        f":{SECRET}@{{server}}/{{name}}?sslmode=on",
        'has a wrong setting in its URL (invalid sslmode value: "on")',
    ),
    "wrong port": (
        f":{SECRET}@127.0.0.1:99999/{{name}}",
        'has a wrong setting in its URL (invalid port number: "99999")',
    ),
    "wrong timeout": (
        f":{SECRET}@{{server}}/{{name}}?connect_timeout=soon",
        "has a wrong setting in its URL (bad value for connect_timeout: 'soon')",
    ),
    "unknown setting": (
        ":correct%20horse@{server}/{name}?options=-c%20colour%3Dred",
        'has a wrong setting in its URL (unrecognized configuration parameter "colour")',
    ),
    "unknown service": (
        f":{SECRET}@/?service=videos",
        'has a wrong setting in its URL (definition of service "videos" not found)',
    ),
    "no TLS": (
        f":{SECRET}@{{server}}/{{name}}?sslmode=require",
        "has no TLS, and sslmode wants it (server does not support SSL, but SSL was required)",
    ),
}


@pytest.mark.parametrize("row", URLS)
async def test_wrong_url(row, postgres, caplog):
    rest, sentence = URLS[row]
    names = {"server": f"127.0.0.1:{postgres.server.port}", "name": postgres.name, "user": USER}
    message = await fail_with(f"postgresql://{USER}{rest.format(**names)}", caplog)
    message = re.sub(r"('db.invalid': ).*\)", r"\1...)", message)
    assert message == sentence.format(**names)


@pytest.mark.parametrize("scheme", ["postgres", "POSTGRESQL"])
async def test_other_spellings_of_the_scheme(scheme, postgres):
    assert await read_record(postgres.url.replace("postgresql", scheme)) is None


# What an administrator does to a journal and undoes again, and the sentence.
DATABASES = {
    "newer version": (
        "UPDATE journal SET version = 2",
        "UPDATE journal SET version = 1",
        (
            "was written by a newer livepeer-async (version 2 of the tables; this one knows 1): "
            "upgrade, or use another database"
        ),
    ),
    "no version": ("DELETE FROM journal", "INSERT INTO journal VALUES (1)", INCOMPLETE),
    "no claims": (
        "ALTER TABLE claims RENAME TO gone",
        "ALTER TABLE gone RENAME TO claims",
        INCOMPLETE,
    ),
    "no table journal": (
        "ALTER TABLE journal RENAME TO gone",
        "ALTER TABLE gone RENAME TO journal",
        INCOMPLETE,
    ),
    "another journal": (
        "ALTER TABLE journal RENAME version TO edition",
        "ALTER TABLE journal RENAME edition TO version",
        INCOMPLETE,
    ),
    "no USAGE": (
        f"REVOKE USAGE ON SCHEMA livepeer_async FROM {READER}",
        f"GRANT USAGE ON SCHEMA livepeer_async TO {READER}",
        NO_RIGHTS,
    ),
    **{
        f"no {right}": (
            f"REVOKE {right} ON ALL TABLES IN SCHEMA livepeer_async FROM {READER}",
            f"GRANT {right} ON ALL TABLES IN SCHEMA livepeer_async TO {READER}",
            NO_RIGHTS,
        )
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE")
    },
    "no CONNECT": (
        "REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {name} TO PUBLIC",
        (
            "refuses the role, which needs CONNECT on the database (permission denied for database "
            '"{name}")'
        ),
    ),
    "no LOGIN": (
        f"ALTER ROLE {READER} NOLOGIN",
        f"ALTER ROLE {READER} LOGIN",
        (
            "refuses the role: create it with LOGIN, or correct the URL (role "
            f'"{READER}" is not permitted to log in)'
        ),
    ),
    "read-only role": (
        f"ALTER ROLE {READER} SET default_transaction_read_only = on",
        f"ALTER ROLE {READER} RESET ALL",
        READ_ONLY,
    ),
    "too many connections": (
        f"ALTER ROLE {READER} CONNECTION LIMIT 0",
        f"ALTER ROLE {READER} CONNECTION LIMIT -1",
        f'{FULL} (too many connections for role "{READER}")',
    ),
    "closed database": (
        "UPDATE pg_database SET datallowconn = false WHERE datname = '{name}'",
        "UPDATE pg_database SET datallowconn = true WHERE datname = '{name}'",
        'can\'t be reached or used: database "{name}" is not currently accepting connections',
    ),
    # With the code that PostgreSQL uses.
    "full disk": (
        (
            "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
            "'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$; "
            "CREATE TRIGGER fill BEFORE INSERT ON claims EXECUTE FUNCTION fill()"
        ),
        "DROP FUNCTION fill CASCADE",
        (
            "can't be written, the server's disk is full: make room and run again; nothing in it "
            "is lost"
        ),
    ),
}


async def test_wrong_database(postgres, reader, caplog):
    await write_record(postgres.url)
    grant_all(postgres)
    assert await read_record(reader) == RECORD
    for name, (breaking, mending, sentence) in DATABASES.items():
        execute(postgres, breaking)
        try:
            message = await fail_with(reader, caplog)
        finally:
            execute(postgres, mending)
        assert message == sentence.format(name=postgres.name), name
        assert await read_record(reader) == RECORD, name


async def write_record(url):
    journal = Journal(url, account="a")
    await journal.write(RECORD)
    await journal.aclose()


def grant_all(postgres):
    """Give the reader what it needs once there are tables."""
    rights = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"
    execute(postgres, f"GRANT USAGE ON SCHEMA livepeer_async TO {READER}")
    execute(postgres, f"GRANT {rights} IN SCHEMA livepeer_async TO {READER}")


def execute(postgres, statement):
    """Execute a statement on the tables, or on what the whole server has."""
    statement = statement.format(name=postgres.name)
    if "ROLE" in statement or "pg_database" in statement:
        postgres.server.execute(statement)
    else:
        postgres.execute(f"SET search_path TO livepeer_async; {statement}")


async def test_first_client_needs_the_right_to_create(postgres, reader, caplog):
    assert await fail_with(reader, caplog) == NO_RIGHTS
    execute(postgres, f"ALTER ROLE {READER} SET default_transaction_read_only = on")
    assert await fail_with(reader, caplog) == READ_ONLY
    execute(postgres, f"ALTER ROLE {READER} RESET ALL")
    postgres.execute(f"CREATE SCHEMA livepeer_async AUTHORIZATION {READER}")
    assert await read_record(reader) is None


@pytest.mark.parametrize(("encoding", "is_usable"), [("LATIN1", False), ("SQL_ASCII", True)])
async def test_encoding_of_the_database(postgres_server, caplog, encoding, is_usable):
    name = encoding.lower()
    postgres_server.execute(
        f"CREATE DATABASE {name} OWNER {USER} TEMPLATE template0 ENCODING '{encoding}'"
    )
    url = postgres_server.url(name, USER, "correct horse")
    try:
        if is_usable:
            await write_record(url)
            assert await read_record(url) == RECORD
            assert await read_record(url, "日本語") is None
        else:
            message = await fail_with(url, caplog)
            assert message == f"has the encoding {encoding}; wanted UTF8"
    finally:
        postgres_server.drop_database(name)


async def test_settings_of_the_role_and_the_url_do_not_matter(postgres, postgres_server):
    settings = {
        "bytea_output": "escape",
        "client_encoding": "LATIN1",
        "datestyle": "German",
        "default_transaction_isolation": "serializable",
        "search_path": "nowhere",
        "statement_timeout": "100",
        "synchronous_commit": "off",
        "timezone": "<+0330>-03:30",
    }
    try:
        for name, value in settings.items():
            postgres_server.execute(f"ALTER ROLE {USER} SET {name} = '{value}'")
        url = postgres.url_of(client_encoding="latin1", application_name="videos")
        assert await read_record(url, "日本語") is None
        await write_record(url)
        assert await read_record(url) == RECORD
    finally:
        postgres_server.execute(f"ALTER ROLE {USER} RESET ALL")


ANSWERS = {
    "old version": (welcome("11.22"), "is on PostgreSQL 11; wanted 12 or newer"),
    "too many clients": (
        fatal("53300", "sorry, too many clients already"),
        f"{FULL} (sorry, too many clients already)",
    ),
    "no entry in pg_hba.conf": (
        fatal("28000", 'no pg_hba.conf entry for host "10.0.0.5", no encryption'),
        (
            "refuses this host, user or encryption: pg_hba.conf must permit it (no pg_hba.conf "
            'entry for host "10.0.0.5", no encryption)'
        ),
    ),
    "another language": (
        fatal("3D000", "Datenbank »videos« existiert nicht"),
        "can't be reached or used: Datenbank »videos« existiert nicht",
    ),
    "no certificate of the client": (
        fatal("28000", "connection requires a valid client certificate"),
        (
            "wants a certificate of the client: set sslcert and sslkey (connection requires a "
            "valid client certificate)"
        ),
    ),
    "another server": (
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "can't be reached or used: expected authentication request from server, but received H",
    ),
}


@pytest.mark.parametrize("row", ANSWERS)
async def test_server_that_refuses(row, caplog):
    answer, sentence = ANSWERS[row]
    with FakePostgres(answer, answer) as server:
        message = await fail_with(f"postgresql://u:{SECRET}@127.0.0.1:{server.port}/videos", caplog)
    assert message == sentence


@pytest.mark.parametrize(
    "state",
    [
        "starting up",
        "shutting down",
        "in recovery mode",
        "not yet accepting connections",
    ],
)
async def test_server_that_starts_is_waited_for(state, postgres):
    answer = fatal("57P03", f"the database system is {state}")
    with FakePostgres(answer, answer, target=postgres.server.port) as server:
        assert await read_record(postgres.url_of(port=server.port)) is None
        assert server.connections > 2


def test_missing_package_is_named():
    program = (
        "import sys; sys.modules['psycopg'] = None; from livepeer_async import AsyncLivepeer;"
        "AsyncLivepeer('key', journal=sys.argv[1])"
    )
    url = f"postgresql://u:{SECRET}@127.0.0.1/videos"
    command = [sys.executable, "-c", program, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "livepeer_async.errors.base.ConfigurationError: a journal on PostgreSQL needs psycopg, "
        'which can\'t be imported here; pip install "psycopg[binary]"'
    )
    assert SECRET not in done.stderr
