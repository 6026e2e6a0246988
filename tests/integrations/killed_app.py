"""A uvicorn worker that passes bodies through, with a journal: API key, URL, journal."""

import asyncio
import sys

import anyio
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from integrations.web import serve_app
from livepeer_async import AsyncLivepeer
from support.sandbox import SMALL_LIMITS


async def main(api_key, base_url, journal):
    client = AsyncLivepeer(api_key, base_url=base_url, journal=journal, upload_limits=SMALL_LIMITS)

    async def pass_body(request):
        length, name = int(request.headers["Content-Length"]), request.path_params["name"]
        key = request.query_params.get("key")
        await client.upload(request.stream(), name, length=length, key=key, wait=False)
        return Response()

    app = Starlette(routes=[Route("/raw/{name}", pass_body, methods=["PUT"])])
    async with client, serve_app(app) as port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
