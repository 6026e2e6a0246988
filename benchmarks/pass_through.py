"""Measure a FastAPI application that passes videos of visitors through to the sandbox.

    python benchmarks/pass_through.py [--visitors 16] [--mib 512]

The sandbox, the application on uvicorn and the visitors have a process each; pings come from this
one. `raw` is the body, `form` FastAPI's `UploadFile`, which is stored first, and `form_file` a form
that is passed through. Memory is the peak resident set above that of the idle application.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from uploads import SERVE

MIB = 1 << 20
BOUNDARY = "boundary-of-the-form"
FIELD = 'Content-Disposition: form-data; name="video"; filename="talk.mp4"'
HEAD = f"--{BOUNDARY}\r\n{FIELD}\r\n\r\n".encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
PING_SECONDS, IDLE_PINGS = 0.02, 150


def serve_app(port):
    """Serve the application."""
    import uvicorn
    from fastapi import FastAPI, Request, UploadFile

    from livepeer_async import Asset
    from livepeer_async.integrations.fastapi import LivepeerDep, form_file, lifespan

    app = FastAPI(lifespan=lifespan)

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.put("/raw")
    async def raw(request: Request, livepeer: LivepeerDep) -> Asset:
        length = int(request.headers["Content-Length"])
        return await livepeer.upload(request.stream(), "raw", length=length, wait=False)

    @app.put("/form")
    async def form(video: UploadFile, livepeer: LivepeerDep) -> Asset:
        return await livepeer.upload(video, wait=False)

    @app.put("/form_file")
    async def passed_form(request: Request, livepeer: LivepeerDep) -> Asset:
        async with form_file(request) as video:
            return await livepeer.upload(video, length=video.length, wait=False)

    uvicorn.run(app, port=port, log_level="warning")


async def visit_all(port, way, options):
    """Send all videos at once."""
    await asyncio.gather(*(visit(port, way, options.mib) for _ in range(options.visitors)))


async def visit(port, way, mib):
    """Send one video."""
    head, tail = (b"", b"") if way == "raw" else (HEAD, TAIL)
    length = len(head) + mib * MIB + len(tail)
    kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n" if head else ""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    start = f"PUT /{way} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{kind}\r\n".encode()
    writer.write(start + head)
    for _ in range(mib):
        writer.write(bytes(MIB))
        await writer.drain()
    writer.write(tail)
    if b" 200 " not in await reader.readline():
        raise SystemExit(1)
    writer.close()


def usage(pid):
    """Return the peak resident set of a process in MiB, and its CPU seconds."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024, ticks / os.sysconf("SC_CLK_TCK")


def ping(http, until):
    """Ping until a condition holds; return percentiles in ms."""
    times = []
    while not until(len(times)):
        began = time.perf_counter()
        http.get("/ping").raise_for_status()
        times.append(1000 * (time.perf_counter() - began))
        time.sleep(PING_SECONDS)
    times.sort()
    return f"{times[len(times) // 2]:.1f} / {times[int(len(times) * 0.99)]:.0f} ms"


def measure(way, options, script, sandbox):
    """Measure one way to upload."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    env = {**os.environ, "LIVEPEER_API_KEY": sandbox[0], "LIVEPEER_BASE_URL": sandbox[1]}
    url, transport = f"http://127.0.0.1:{port}", httpx.HTTPTransport(retries=10)
    pings = httpx.Client(base_url=url, timeout=60, transport=transport)
    with subprocess.Popen([*script, "--serve", port], env=env) as app, pings as http:
        idle = ping(http, lambda count: count >= IDLE_PINGS)
        Path(f"/proc/{app.pid}/clear_refs").write_text("5")  # counts the peak from now on
        (memory, cpu), began = usage(app.pid), time.monotonic()
        with subprocess.Popen([*script, "--visit", port, way]) as visitors:
            busy = ping(http, lambda _: visitors.poll() is not None)
        peak, end = usage(app.pid)
        print(
            f"{way:10} {peak - memory:.0f} MiB above {memory:.0f}, "
            f"{(end - cpu) * 1024 / options.visitors / options.mib:.1f} CPU s/GiB, "
            f"{time.monotonic() - began:.0f} s; ping p50/p99 {idle} idle, {busy} busy"
        )
        app.terminate()


def main():
    """Run the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=16)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--serve", help="for this script")
    parser.add_argument("--visit", nargs=2, help="for this script")
    options = parser.parse_args()
    if options.serve:
        serve_app(int(options.serve))
    elif options.visit:
        asyncio.run(visit_all(*options.visit, options))
    else:
        for way in ("raw", "form", "form_file"):
            command = [sys.executable, "-c", SERVE]
            with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as server:
                sandbox = json.loads(server.stdout.readline())
                measure(way, options, [sys.executable, *sys.argv], sandbox)
                server.communicate("\n")


if __name__ == "__main__":
    main()
