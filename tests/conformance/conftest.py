from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from conformance.exchange import Exchanges
from conformance.expected import SANDBOX_FILE, SANDBOX_S3, TUS_1, TUS_2
from conformance.servers import TusServer, run_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(
    scope="session",
    params=[
        SANDBOX_FILE,
        SANDBOX_S3,
        pytest.param(TUS_1, marks=pytest.mark.peers),
        pytest.param(TUS_2, marks=pytest.mark.peers),
    ],
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TusServer]:
    with run_server(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture
def tus(server: TusServer) -> Iterator[Exchanges]:
    # No timeout but pytest's: the response to 8 MiB may take long.
    with httpx.Client(timeout=None, trust_env=False) as http:
        yield Exchanges(server=server, http=http)
