"""PgBouncer in front of a PostgreSQL server."""

import contextlib
import os
import shutil
import socket

import pytest

from support.constants import TIMEOUT
from support.daemons import DaemonFolder, free_port
from support.postgres import PASSWORD, USER

SETTINGS = """
[databases]
* = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {pool_mode}
# At least two, so that statements of one client can reach different sessions.
default_pool_size = {pool_size}
pidfile = {folder}/pgbouncer.pid
ignore_startup_parameters = extra_float_digits,options
"""


@contextlib.contextmanager
def run_pgbouncer(server, pool_mode, pool_size=2):
    """Run PgBouncer until the block ends; yield its port.

    Clients log in as `USER` with `PASSWORD`, to PgBouncer and by it to PostgreSQL.

    Args:
        server: The `PostgresServer`.
        pool_mode: "transaction", "session" or "statement".
        pool_size: The number of sessions with PostgreSQL.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer on the path: apt-get install pgbouncer")
    folder, port = DaemonFolder(), free_port()
    try:
        users = folder.write("users.txt", f'"{USER}" "{PASSWORD}"\n')
        config = SETTINGS.format(
            server=server,
            port=port,
            pool_mode=pool_mode,
            pool_size=pool_size,
            users=users,
            folder=folder.path,
        )
        path = folder.write("pgbouncer.ini", config)
        process = folder.start(
            program, path, log="pgbouncer.log", is_ready=lambda: is_listening(port)
        )
        try:
            yield port
        finally:
            process.terminate()
            process.wait(TIMEOUT)
    finally:
        folder.close()


def is_listening(port):
    """Whether a connection to a port succeeds."""
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False
