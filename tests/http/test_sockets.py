"""TCP options that detect dead peers."""

import socket

import pytest

from livepeer_async.http.sockets import PROBES, tune_socket


@pytest.fixture
def sock():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sock,
    ):
        yield sock


def option(sock, name):
    return sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))


@pytest.mark.parametrize(
    ("dead_after", "idle", "interval"), [(30.0, 15, 3), (0.2, 1, 1), (600.0, 300, 75)]
)
def test_silent_peer_is_probed_in_time(sock, dead_after, idle, interval):
    tune_socket(sock, dead_after=dead_after)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    found = [option(sock, f"TCP_KEEP{name}") for name in ("IDLE", "INTVL", "CNT")]
    assert found == [idle, interval, PROBES]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has it")
def test_unacknowledged_bytes_have_a_time_limit(sock):
    tune_socket(sock, dead_after=30.0)
    assert option(sock, "TCP_USER_TIMEOUT") == 30_000
