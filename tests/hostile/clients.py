"""Clients that send each request once."""

from contextlib import asynccontextmanager

import httpx

from livepeer_async import AsyncLivepeer
from livepeer_async.tus import ServerLimits, TusClient
from support.constants import LONG_TIMEOUTS, NO_RETRIES
from support.libraries import TLS_CONTEXT

KEY = "key-that-stays-here"


@asynccontextmanager
async def api_client(server, **options):
    """Open a client of the API."""
    options = {"timeout": LONG_TIMEOUTS, "retry": NO_RETRIES, **options}
    async with (
        httpx.AsyncClient(verify=TLS_CONTEXT) as http_client,
        AsyncLivepeer(
            KEY, base_url=f"{server.origin}/api", http_client=http_client, **options
        ) as livepeer,
    ):
        yield livepeer


@asynccontextmanager
async def tus_client(**options):
    """Open a tus client."""
    options = {
        "timeouts": LONG_TIMEOUTS,
        "retry": NO_RETRIES,
        "limits": ServerLimits(),
        **options,
    }
    async with (
        httpx.AsyncClient(verify=TLS_CONTEXT) as http_client,
        TusClient(http_client=http_client, **options) as tus,
    ):
        yield tus
