"""The servers and the proxy that tests of the shared journal need."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import trustme

from support.clock import wait_until
from support.constants import TIMEOUT
from support.cut_proxy import CutProxy, can_drop_packets
from support.postgres import PostgresServer

DROPS = pytest.mark.skipif(not can_drop_packets(), reason="this system forbids packet filters")
SUPPORT = Path(__file__).parents[1]
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from support.postgres import PostgresServer
with PostgresServer() as server:
    print(server.socket_folder, flush=True)
    sys.stdin.read()
"""


def connect(url):
    return psycopg.connect(url, autocommit=True)


def test_database_is_reached_over_tcp_with_a_password(postgres):
    with connect(postgres.url) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (postgres.name,)
        connection.execute("CREATE TABLE mine (x int)")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(postgres.url_of(password="wrong"))


def test_database_is_reached_over_a_unix_socket(postgres):
    with connect(postgres.url_of(host=postgres.server.socket_folder)) as connection:
        assert connection.info.hostaddr == ""


def test_each_database_is_new(postgres):
    assert postgres.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'mine'") == [(0,)]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_ends_sessions_and_keeps_rows(postgres, mode):
    with connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
        postgres.server.restart(mode)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert postgres.execute("SELECT x FROM kept") == [(1,)]


@pytest.mark.cluster
def test_server_has_tls(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with PostgresServer(certificate=authority.issue_cert("127.0.0.1")) as server:
        options = {"sslmode": "verify-full", "sslrootcert": tmp_path / "ca.pem"}
        with connect(server.url(**options)) as connection:
            assert connection.pgconn.ssl_in_use
        with pytest.raises(psycopg.OperationalError, match="certificate"):
            connect(server.url(sslmode="verify-full", sslrootcert="system"))


def test_lock_session_is_found_and_terminated(postgres):
    with connect(postgres.url) as connection, connect(postgres.url):
        connection.execute("SELECT pg_advisory_lock(1, 2)")
        assert postgres.lock_backends() == [connection.info.backend_pid]
        assert len(postgres.backends()) == 2
        postgres.server.terminate(*postgres.lock_backends())
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_killed_tests_leave_no_server_and_no_folder(postgres_server):
    command = [sys.executable, "-c", PROGRAM, str(SUPPORT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        folder = Path(process.stdout.readline().decode().strip())
        server = int((folder / "data/postmaster.pid").read_text().split()[0])
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not folder.exists())
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


@pytest.fixture
def echo():
    """A connection through a proxy: the proxy, the client's socket and the server's."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        CutProxy(listener.getsockname()[1]) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
        listener.accept()[0] as server,
    ):
        for sock in (client, server):
            sock.settimeout(TIMEOUT)
        yield proxy, client, server


def is_silent(*sockets):
    """Whether nothing arrives: no bytes and no end."""
    return select.select(sockets, [], [], 0.05)[0] == []


def exchange(client, server):
    client.sendall(b"question")
    assert server.recv(100) == b"question"
    server.sendall(b"answer")
    assert client.recv(100) == b"answer"


@pytest.mark.parametrize("how", ["silent", pytest.param("lost", marks=DROPS)])
def test_held_bytes_arrive_after_a_cut_of_both_sides(echo, how):
    proxy, client, server = echo
    exchange(client, server)
    proxy.cut("both", how)
    client.sendall(b"late question")
    server.sendall(b"late answer")
    assert is_silent(client, server)
    proxy.heal()
    assert server.recv(100) == b"late question"
    assert client.recv(100) == b"late answer"
    exchange(client, server)


@pytest.mark.parametrize("side", ["client", "server"])
def test_silence_holds_the_bytes_to_one_side(echo, side):
    proxy, client, server = echo
    deaf, heard = (client, server) if side == "client" else (server, client)
    proxy.cut(side, "silent")
    deaf.sendall(b"this arrives")
    assert heard.recv(100) == b"this arrives"
    heard.sendall(b"this doesn't")
    assert is_silent(deaf)
    proxy.heal()
    assert deaf.recv(100) == b"this doesn't"


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("side", ["client", "server"])
def test_one_side_is_closed_and_the_other_silent_until_healed(echo, side, how):
    proxy, client, server = echo
    closed, open_side = (client, server) if side == "client" else (server, client)
    proxy.cut(side, how)
    if how == "close":
        assert closed.recv(100) == b""
    else:
        with pytest.raises(ConnectionResetError):
            closed.recv(100)
    open_side.sendall(b"into the void")
    assert is_silent(open_side)
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        open_side.recv(100)


@pytest.mark.parametrize("how", ["silent", pytest.param("lost", marks=DROPS)])
def test_end_of_one_side_is_told_after_the_cut(echo, how):
    proxy, client, server = echo
    proxy.cut("both", how)
    client.close()
    assert is_silent(server)
    proxy.heal()
    assert server.recv(100) == b""


def test_end_of_one_side_is_told_at_once_without_a_cut(echo):
    _, client, server = echo
    client.close()
    assert server.recv(100) == b""


def test_new_connections_wait_for_the_end_of_the_cut(echo):
    proxy, client, server = echo
    proxy.cut("both", "silent")
    with socket.create_connection(("127.0.0.1", proxy.port)) as late:
        late.sendall(b"hello")
        assert is_silent(late)
        proxy.heal()
        exchange(client, server)


def test_session_goes_on_after_a_silent_cut(postgres, postgres_proxy):
    with connect(postgres.url_of(port=postgres_proxy.port)) as connection:
        postgres_proxy.cut("both", "silent")
        postgres_proxy.heal()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_server_ends_the_session_if_its_side_is_closed(postgres, postgres_proxy):
    with connect(postgres.url_of(port=postgres_proxy.port)) as connection:
        connection.execute("SELECT pg_advisory_lock(1, 2)")
        postgres_proxy.cut("server", "close")
        wait_until(lambda: postgres.lock_backends() == [])
        assert is_silent(connection)
