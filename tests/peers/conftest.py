from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from peers.peer import VERSIONS, Peer, run_peer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", params=VERSIONS)
def peer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Peer]:
    """Run each version; tests that use it are marked `peers`."""
    with run_peer(request.param, tmp_path_factory.mktemp(f"tus-{request.param}")) as running:
        yield running
