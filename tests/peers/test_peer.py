"""The servers of other projects: configuration and clean-up."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from peers.peer import VERSIONS, Peer, run_peer

pytestmark = pytest.mark.peers

CREATION = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}

# Runs in a process of its own, prints the URL of the peer, and waits for its end.
START_PEER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from peers.peer import run_peer
with run_peer(sys.argv[2], Path(sys.argv[3])) as peer:
    print(peer.base_url, flush=True)
    time.sleep(60)
"""


def listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1).close()
    except OSError:
        return False
    return True


def test_token_becomes_the_upload_id(peer: Peer) -> None:
    response = httpx.post(peer.creation_url("ab12"), headers=CREATION, trust_env=False)
    assert response.status_code == httpx.codes.CREATED
    assert response.headers["Location"] == f"{peer.base_url}/ab12"
    assert peer.stored("ab12") == b""


def test_size_limit_is_enforced(tmp_path: Path) -> None:
    with run_peer("2.x", tmp_path, max_size=9) as peer:
        response = httpx.post(peer.creation_url("ab12"), headers=CREATION, trust_env=False)
    assert response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE


def test_server_ends_with_its_block(tmp_path: Path) -> None:
    with run_peer("1.0.0", tmp_path) as peer:
        assert listens(peer.base_url)
    assert not listens(peer.base_url)


@pytest.mark.parametrize("version", VERSIONS)
def test_server_ends_when_its_parent_is_killed(version: str, tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", START_PEER, tests, version, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        base_url = starter.stdout.readline().strip()
        assert listens(base_url)
        starter.kill()
    deadline = time.monotonic() + 30
    while listens(base_url) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not listens(base_url)
