"""A FastAPI application that passes bodies of visitors through to Livepeer.

python application.py PORT
"""

import sys

import uvicorn
from fastapi import FastAPI, Request

from livepeer_async import Asset
from livepeer_async.integrations.fastapi import LivepeerDep, lifespan

app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    """Respond at once."""
    return "pong"


@app.put("/raw")
async def raw(request: Request, livepeer: LivepeerDep) -> Asset:
    """Upload the body."""
    length = int(request.headers["Content-Length"])
    return await livepeer.upload(request.stream(), "raw", length=length, wait=False)


uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
